# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The language side of the built-in scenes: statements, questions and captions that tell two scenes apart."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from typing import NamedTuple

from hf_multimodal.data.scene_pictures import COLOURS, SHAPES, Scene, Thing

NUMBERS = ("none", "one", "two")
ANSWERS = COLOURS + SHAPES + NUMBERS
# Per axis, the words for the side of the lower and of the higher coordinate.
_DIRECTIONS = (("left of", "right of"), ("above", "below"))
_PLACES = (("on the left", "on the right"), ("at the top", "at the bottom"))
_MOTION_WORDS = {(-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}
_COUNT_WORDS = {2: "two", 3: "three"}


class Statement(NamedTuple):
    """A sentence that is true of one scene and false of another.

    `needs_binding` says that the false scene holds all the shapes and colours that the statement names, on other
    objects or in other places: knowing which attributes occur does not settle it. `true_thing` and `false_thing` are
    the objects to look at in the two scenes.
    """

    text: str
    needs_binding: bool
    true_thing: Thing
    false_thing: Thing


class Question(NamedTuple):
    """A question with its answer in one scene; in the other scene the answer is `none`."""

    text: str
    answer: str


def _presence_statements(true: Scene, false: Scene) -> list[Statement]:
    other = false.things[0]  # every object of the false scene shows it alike
    colours = [(f"there is a {t.colour} object", t) for t in true.things if t.colour not in false.colours]
    shapes = [(f"there is a {t.shape}", t) for t in true.things if t.shape not in false.shapes]
    return [Statement(text, False, thing, other) for text, thing in colours + shapes]


def _colour_statements(true: Scene, false: Scene) -> list[Statement]:
    return [
        Statement(f"the {thing.shape} is {thing.colour}", thing.colour in false.colours, thing, other)
        for thing in true.things
        if (other := false.shapes.get(thing.shape)) is not None and other != thing
    ]


def _shape_statements(true: Scene, false: Scene) -> list[Statement]:
    return [
        Statement(f"the {thing.colour} object is a {thing.shape}", thing.shape in false.shapes, thing, other)
        for thing in true.things
        if (other := false.colours.get(thing.colour)) is not None and other != thing
    ]


def _existence_statements(true: Scene, false: Scene) -> list[Statement]:
    found = []
    for thing in true.things:
        near = [m for m in (false.shapes.get(thing.shape), false.colours.get(thing.colour)) if m is not None]
        if near and thing not in near:
            found.append(Statement(f"there is a {thing}", len(near) == 2, thing, near[0]))
    return found


def _place_statements(true: Scene, false: Scene) -> list[Statement]:
    return [
        Statement(f"the {thing} is {words[here]}", True, thing, thing)
        for thing in true.things
        if thing in false.things
        for words, here, there in zip(_PLACES, true.cells[thing], false.cells[thing], strict=True)
        if here != there
    ]


def _relation_statements(true: Scene, false: Scene) -> list[Statement]:
    found = []
    shared = [thing for thing in true.things if thing in false.things]
    for subject, other in permutations(shared, 2):
        reversed_ = set(_directions(true, subject, other)) & set(_directions(false, other, subject))
        for direction in sorted(reversed_):
            found.append(Statement(f"the {subject} is {direction} the {other}", True, subject, subject))
    return found


def _motion_statements(true: Scene, false: Scene) -> list[Statement]:
    return [
        Statement(f"the {thing} moves {_MOTION_WORDS[true.motions[thing]]}", True, thing, thing)
        for thing in true.things
        if thing in false.things and true.motions[thing] != false.motions[thing]
    ]


STATEMENTS: dict[str, Callable[[Scene, Scene], list[Statement]]] = {
    "presence": _presence_statements,
    "colour": _colour_statements,
    "shape": _shape_statements,
    "existence": _existence_statements,
    "place": _place_statements,
    "relation": _relation_statements,
    "motion": _motion_statements,
}


def _colour_questions(asked: Scene, other: Scene) -> list[Question]:
    return [
        Question(f"what colour is the {thing.shape}", thing.colour)
        for thing in asked.things
        if thing.shape not in other.shapes
    ]


def _shape_questions(asked: Scene, other: Scene) -> list[Question]:
    return [
        Question(f"what shape is the {thing.colour} object", thing.shape)
        for thing in asked.things
        if thing.colour not in other.colours
    ]


def _count_questions(asked: Scene, other: Scene) -> list[Question]:
    """Asks for the objects on one side of an object that both scenes hold."""
    found = []
    for thing in asked.things:
        if thing in other.things:
            counts = Counter(direction for more in asked.things for direction in _directions(asked, more, thing))
            counts_there = {direction for more in other.things for direction in _directions(other, more, thing)}
            for direction in sorted(set(counts) - counts_there):
                found.append(Question(f"how many objects are {direction} the {thing}", NUMBERS[counts[direction]]))
    return found


QUESTIONS: dict[str, Callable[[Scene, Scene], list[Question]]] = {
    "colour": _colour_questions,
    "shape": _shape_questions,
    "count": _count_questions,
}


def captions(scene: Scene, rng: random.Random) -> list[str]:
    """Writes two or three sentences that describe one scene: two say all there is to see, the third a part of it."""
    things = rng.sample(scene.things, len(scene.things))
    names = [f"a {thing} {_corner(scene, thing)}" for thing in things]
    first, second = rng.sample(scene.things, 2)
    direction = rng.choice(_directions(scene, first, second))
    sentences = [
        f"{', '.join(names[:-1])} and {names[-1]}",
        f"{_COUNT_WORDS[len(things)]} objects: "
        + ", ".join(f"{_corner(scene, thing)} a {thing}" for thing in sorted(things, key=scene.cells.__getitem__)),
        f"a {first} is {direction} a {second}",
    ]
    return sentences[: rng.choice((2, 3))]


def _corner(scene: Scene, thing: Thing) -> str:
    column, row = scene.cells[thing]
    return f"at the {('top', 'bottom')[row]} {('left', 'right')[column]}"


def _directions(scene: Scene, first: Thing, second: Thing) -> list[str]:
    """Says where the first object is as seen from the second; nothing along an axis on which they share a side."""
    places = zip(_DIRECTIONS, scene.cells[first], scene.cells[second], strict=True)
    return [words[0 if here < there else 1] for words, here, there in places if here != there]
