# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The drawn side of the built-in scenes: what stands where, and the PNG of it."""

import io
import math
import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = ("red", "green", "blue", "yellow")
# Corners of a picture as (column, row): an object stands in one of them.
CELLS = ((0, 0), (1, 0), (0, 1), (1, 1))
MIN_IMAGE_SIZE = 32

_RGB = {"red": (214, 44, 44), "green": (40, 160, 64), "blue": (52, 84, 214), "yellow": (236, 200, 40)}
_SUPERSAMPLING = 4  # Drawn larger, then averaged down: PIL draws polygons without anti-aliasing.
# Of the image size. Less than a quarter, to fit into a cell; more than an eighth, so that objects of one column (or
# row) always overlap along it and neither counts as left of the other.
_RADIUS = (0.155, 0.215)


class Thing(NamedTuple):
    """One object of a scene, known by its shape and its colour."""

    shape: str
    colour: str

    def __str__(self) -> str:
        """Names the object as the sentences do, such as `red circle`."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Objects of distinct shapes and distinct colours, and the cell of `CELLS` that each stands in."""

    cells: dict[Thing, tuple[int, int]]

    @property
    def things(self) -> tuple[Thing, ...]:
        """The objects."""
        return tuple(self.cells)

    @property
    def shapes(self) -> dict[str, Thing]:
        """The object of each shape there is."""
        return {thing.shape: thing for thing in self.things}

    @property
    def colours(self) -> dict[str, Thing]:
        """The object of each colour there is."""
        return {thing.colour: thing for thing in self.things}


@dataclass(frozen=True)
class Picture:
    """A scene as drawn: its PNG and the box `[x0, y0, x1, y1]` of each object, in pixels."""

    scene: Scene
    png: bytes
    boxes: dict[Thing, list[int]]


def sample_things(rng: random.Random, count: int, exclude: tuple[Thing, ...] = ()) -> tuple[Thing, ...]:
    """Draws objects of distinct shapes and colours that are not those of `exclude`."""
    shapes = [shape for shape in SHAPES if all(shape != thing.shape for thing in exclude)]
    colours = [colour for colour in COLOURS if all(colour != thing.colour for thing in exclude)]
    pairs = zip(rng.sample(shapes, count), rng.sample(colours, count), strict=True)
    return tuple(Thing(shape, colour) for shape, colour in pairs)


def draw(scene: Scene, rng: random.Random, image_size: int) -> Picture:
    """Draws a scene, each object within its own cell so that none overlap and left, right, above, below are plain."""
    cell_size = image_size / 2
    canvas_size = image_size * _SUPERSAMPLING
    paper = rng.randint(226, 244)
    canvas = Image.new("RGB", (canvas_size, canvas_size), (paper, paper, paper))
    pen = ImageDraw.Draw(canvas)
    boxes = {}
    for thing, cell in scene.cells.items():
        radius = rng.uniform(*_RADIUS) * image_size
        x, y = (side * cell_size + rng.uniform(radius + 0.5, cell_size - radius - 0.5) for side in cell)
        colour = tuple(channel + rng.randint(-12, 12) for channel in _RGB[thing.colour])
        _draw_thing(pen, thing.shape, [value * _SUPERSAMPLING for value in (x, y, radius)], colour)
        corners = (x - radius, y - radius, x + radius, y + radius)
        boxes[thing] = [math.floor(v) for v in corners[:2]] + [math.ceil(v) for v in corners[2:]]
    return Picture(scene, _noisy_png(canvas.reduce(_SUPERSAMPLING), rng), boxes)


def _draw_thing(pen: ImageDraw.ImageDraw, shape: str, place: list[float], colour: tuple[int, ...]) -> None:
    """Draws one filled shape inside the circle `place` = (x, y, radius)."""
    x, y, radius = place
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        return
    corner_radii = {
        "square": [radius] * 4,
        "triangle": [radius] * 3,
        "star": [radius, radius * 0.42] * 5,
    }[shape]
    # Corner 0 points up; the square is turned by half a corner so that it stands on a side.
    start = -math.pi / 2 + (math.pi / 4 if shape == "square" else 0.0)
    step = 2 * math.pi / len(corner_radii)
    angles = [start + step * index for index in range(len(corner_radii))]
    corners = [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(corner_radii, angles, strict=True)]
    pen.polygon(corners, fill=colour)


def _noisy_png(image: Image.Image, rng: random.Random) -> bytes:
    """Adds faint grey noise, so that no two pictures share their background, and encodes the image."""
    # RandomState, because numpy keeps its streams unchanged for good, and those of Generator not.
    noise = np.random.RandomState(rng.getrandbits(32)).randint(-3, 4, size=(image.height, image.width, 1))
    pixels = np.clip(np.asarray(image, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
