# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The drawn side of the built-in scenes: what stands where, and the PNG of it."""

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = ("red", "green", "blue", "yellow")
# Corners of a picture as (column, row): an object stands in one of them.
CELLS = ((0, 0), (1, 0), (0, 1), (1, 1))
MIN_IMAGE_SIZE = 32
# Ways in which an object moves in a scene's clip, as (columns, rows) to the right and down.
MOTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))
NUM_FRAMES = 6
_REACH = 0.14  # how far an object moves in either direction from where the picture shows it, of the image size

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
    """Objects of distinct shapes and distinct colours, the cell of `CELLS` that each stands in, and how each moves."""

    cells: dict[Thing, tuple[int, int]]
    motions: dict[Thing, tuple[int, int]] = field(default_factory=dict)

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


class Placed(NamedTuple):
    """Where an object is drawn, in pixels, and in which colour."""

    x: float
    y: float
    radius: float
    colour: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """A scene as drawn: its PNG and the box `[x0, y0, x1, y1]` of each object, in pixels."""

    scene: Scene
    png: bytes
    boxes: dict[Thing, list[int]]
    places: dict[Thing, Placed]
    paper: int


def sample_things(rng: random.Random, count: int, exclude: tuple[Thing, ...] = ()) -> tuple[Thing, ...]:
    """Draws objects of distinct shapes and colours that are not those of `exclude`."""
    shapes = [shape for shape in SHAPES if all(shape != thing.shape for thing in exclude)]
    colours = [colour for colour in COLOURS if all(colour != thing.colour for thing in exclude)]
    pairs = zip(rng.sample(shapes, count), rng.sample(colours, count), strict=True)
    return tuple(Thing(shape, colour) for shape, colour in pairs)


def draw(scene: Scene, rng: random.Random, image_size: int) -> Picture:
    """Draws a scene, each object within its own cell so that none overlap and left, right, above, below are plain."""
    cell_size = image_size / 2
    paper = rng.randint(226, 244)
    places, boxes = {}, {}
    for thing, cell in scene.cells.items():
        radius = rng.uniform(*_RADIUS) * image_size
        x, y = (side * cell_size + rng.uniform(radius + 0.5, cell_size - radius - 0.5) for side in cell)
        colour = tuple(channel + rng.randint(-12, 12) for channel in _RGB[thing.colour])
        places[thing] = Placed(x, y, radius, colour)
        corners = (x - radius, y - radius, x + radius, y + radius)
        boxes[thing] = [math.floor(v) for v in corners[:2]] + [math.ceil(v) for v in corners[2:]]
    pixels = _noisy(_drawn(places, paper, image_size), rng)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return Picture(scene, buffer.getvalue(), boxes, places, paper)


def draw_clip(picture: Picture, rng: random.Random, image_size: int, num_frames: int = NUM_FRAMES) -> np.ndarray:
    """Draws a picture's objects moving through where it shows them: (num_frames, image_size, image_size, 3) uint8.

    In a clip they may pass over one another, and beyond the edge.
    """
    frames = []
    for time in np.linspace(-1, 1, num_frames):
        reach = float(time) * _REACH * image_size
        moved = {
            thing: place._replace(x=place.x + reach * right, y=place.y + reach * down)
            for thing, place in picture.places.items()
            for right, down in (picture.scene.motions[thing],)
        }
        frames.append(_noisy(_drawn(moved, picture.paper, image_size), rng))
    return np.stack(frames)


def _drawn(places: dict[Thing, Placed], paper: int, image_size: int) -> Image.Image:
    canvas_size = image_size * _SUPERSAMPLING
    canvas = Image.new("RGB", (canvas_size, canvas_size), (paper, paper, paper))
    pen = ImageDraw.Draw(canvas)
    for thing, place in places.items():
        _draw_thing(pen, thing.shape, [value * _SUPERSAMPLING for value in place[:3]], place.colour)
    return canvas.reduce(_SUPERSAMPLING)


def _draw_thing(pen: ImageDraw.ImageDraw, shape: str, place: Sequence[float], colour: tuple[int, ...]) -> None:
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


def _noisy(image: Image.Image, rng: random.Random) -> np.ndarray:
    """Adds faint grey noise, so that no two pictures share their background."""
    # RandomState, because numpy keeps its streams unchanged for good, and those of Generator not.
    noise = np.random.RandomState(rng.getrandbits(32)).randint(-3, 4, size=(image.height, image.width, 1))
    return np.clip(np.asarray(image, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
