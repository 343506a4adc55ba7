# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The language side of the built-in scenes: statements, questions and captions that tell two scenes apart."""

import random
from collections.abc import Callable
from typing import NamedTuple

from hf_multimodal.data.scene_pictures import COLOURS, SHAPES, Scene, Thing

NUMBERS = ("none", "one", "two")
ANSWERS = COLOURS + SHAPES + NUMBERS
_DIRECTIONS = {"x": ("left of", "right of"), "y": ("above", "below")}
_COUNT_WORDS = {2: "two", 3: "three"}


class Statement(NamedTuple):
    """A sentence that is true of one scene and false of another.

    `needs_binding` says that the false scene holds both the shape and the colour, on different objects, or both
    objects in the other order: knowing which attributes occur does not settle it. `true_thing` and `false_thing` are
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


def _relation_statements(true: Scene, false: Scene) -> list[Statement]:
    found = []
    shared = [thing for thing in true.things if thing in false.things]
    for subject in shared:
        for other in shared:
            before = _is_before(true, subject, other)
            if subject != other and before != _is_before(false, subject, other):
                direction = _DIRECTIONS[true.axis][0 if before else 1]
                found.append(Statement(f"the {subject} is {direction} the {other}", True, subject, subject))
    return found


STATEMENTS: dict[str, Callable[[Scene, Scene], list[Statement]]] = {
    "colour": _colour_statements,
    "shape": _shape_statements,
    "existence": _existence_statements,
    "relation": _relation_statements,
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
    """Asks for the objects on one side of an object that both scenes hold; answered only where both share the axis."""
    found = []
    for thing in asked.things if asked.axis == other.axis else ():
        if thing not in other.things:
            continue
        here, there = asked.things.index(thing), other.things.index(thing)
        counts = ((here, there), (len(asked.things) - 1 - here, len(other.things) - 1 - there))
        for direction, (count, count_there) in zip(_DIRECTIONS[asked.axis], counts, strict=True):
            if count > 0 and count_there == 0:
                found.append(Question(f"how many objects are {direction} the {thing}", NUMBERS[count]))
    return found


QUESTIONS: dict[str, Callable[[Scene, Scene], list[Question]]] = {
    "colour": _colour_questions,
    "shape": _shape_questions,
    "count": _count_questions,
}


def captions(scene: Scene, rng: random.Random) -> list[str]:
    """Writes two or three sentences that describe one scene."""
    things = rng.sample(scene.things, len(scene.things))
    names = [f"a {thing}" for thing in things]
    first, second = rng.sample(scene.things, 2)
    direction = _DIRECTIONS[scene.axis][0 if _is_before(scene, first, second) else 1]
    sentences = [
        f"{', '.join(names[:-1])} and {names[-1]}",
        f"a {first} is {direction} a {second}",
        f"{_COUNT_WORDS[len(things)]} objects, one of them {names[0]}",
    ]
    return sentences[: rng.choice((2, 3))]


def _is_before(scene: Scene, first: Thing, second: Thing) -> bool:
    return scene.things.index(first) < scene.things.index(second)
