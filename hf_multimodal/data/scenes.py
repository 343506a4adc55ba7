# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The built-in scenes dataset: small drawn pictures with sentences that only the picture can settle.

Rows come in blocks of four. A block has two pictures, two statements and two questions:

| | statement 1 | statement 2 | question 1 | question 2 |
|---|---|---|---|---|
| picture 1 | true | false | an answer | none |
| picture 2 | false | true | none | an answer |

So in every split each picture and each statement goes with `true` exactly as often as with `false`, and each picture
and each question has the answer `none` in exactly half of its rows: whatever looks at one modality alone is right in
half of the rows at most, by construction and not only on average.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import datasets

from hf_multimodal.data.scene_pictures import AXES, MIN_IMAGE_SIZE, Picture, Scene, draw, sample_things
from hf_multimodal.data.scene_sentences import ANSWERS, QUESTIONS, STATEMENTS, Question, Statement, captions

SPLITS = ("train", "validation", "test")
LABELS = ("false", "true")
NO_ANSWER = "none"
_ROWS_PER_BLOCK = 4
# Share of the colour, shape and existence blocks that need binding. The others can be settled by which attributes
# occur, which gives a model trained from scratch something to start from.
_BINDING_SHARE = 0.6

_Candidate = TypeVar("_Candidate", Statement, Question)


class _Block(NamedTuple):
    template: str
    scenes: tuple[Scene, Scene]
    statements: tuple[Statement, Statement]
    questions: tuple[Question, Question]


def make_scenes(num_rows: int = 2000, seed: int = 0, split: str = "train", image_size: int = 64) -> datasets.Dataset:
    """Draws one split of the scenes dataset in memory, always the same for the same arguments.

    Each row holds `image` (PNG), `statement` with `label` (`false`, `true`), `question` with `answer`, `captions`,
    `template` (which kind of statement it is), `objects` (shape, colour and box `[x0, y0, x1, y1]` in pixels),
    `decisive_box` (of the object that settles the statement) and `id`.

    Args:
        num_rows: Rows of the split, a multiple of four (see the module's text).
        seed: Seed of the whole dataset; its splits are drawn independently of one another.
        split: One of `SPLITS`.
        image_size: Height and width of the pictures in pixels.

    Raises:
        ValueError: if the split is unknown, `num_rows` is no positive multiple of four, or the pictures are too small.
    """
    if split not in SPLITS:
        raise ValueError(f"The scenes dataset has no split {split!r}. Splits there are: {', '.join(SPLITS)}.")
    if num_rows < _ROWS_PER_BLOCK or num_rows % _ROWS_PER_BLOCK:
        raise ValueError(
            f"num_rows={num_rows} is not a positive multiple of {_ROWS_PER_BLOCK}: scenes come in blocks of two "
            f"pictures times two statements. The next that fits is {max(1, -(-num_rows // 4)) * _ROWS_PER_BLOCK}."
        )
    if image_size < MIN_IMAGE_SIZE:
        raise ValueError(f"image_size={image_size} is too small to tell shapes apart; give {MIN_IMAGE_SIZE} or more.")
    rng = random.Random(f"scenes-{seed}-{split}")
    rows: list[dict[str, Any]] = []
    for _ in range(num_rows // _ROWS_PER_BLOCK):
        rows += _block_rows(_sample_block(rng), rng, image_size)
    rng.shuffle(rows)
    for index, row in enumerate(rows):
        row["id"] = f"{split}-{index:06d}"
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return datasets.Dataset.from_dict(columns, features=_features(), split=datasets.NamedSplit(split))


def _features() -> datasets.Features:
    box = [datasets.Value("int32")]
    thing = {"shape": datasets.Value("string"), "colour": datasets.Value("string"), "box": box}
    return datasets.Features(
        {
            "image": datasets.Image(),
            "statement": datasets.Value("string"),
            "label": datasets.ClassLabel(names=list(LABELS)),
            "question": datasets.Value("string"),
            "answer": datasets.ClassLabel(names=list(ANSWERS)),
            "captions": [datasets.Value("string")],
            "template": datasets.Value("string"),
            "objects": [thing],
            "decisive_box": box,
            "id": datasets.Value("string"),
        }
    )


def _sample_block(rng: random.Random) -> _Block:
    """Draws pairs of scenes until statements and questions exist that tell them apart in both directions."""
    template = rng.choice(list(STATEMENTS))
    needs_binding = template == "relation" or rng.random() < _BINDING_SHARE
    while True:
        scenes = _sample_reordered(rng) if template == "relation" else _sample_independent(rng)
        first, second = scenes
        statements = [
            [statement for statement in STATEMENTS[template](*order) if statement.needs_binding == needs_binding]
            for order in ((first, second), (second, first))
        ]
        asked = [[ask(first, second), ask(second, first)] for ask in QUESTIONS.values()]
        asked = [candidates for candidates in asked if all(candidates)]
        if all(statements) and asked:
            return _Block(template, scenes, _choose_pair(rng, statements), _choose_pair(rng, rng.choice(asked)))


def _choose_pair(rng: random.Random, candidates: Sequence[Sequence[_Candidate]]) -> tuple[_Candidate, _Candidate]:
    return rng.choice(candidates[0]), rng.choice(candidates[1])


def _sample_independent(rng: random.Random) -> tuple[Scene, Scene]:
    return Scene(sample_things(rng, 3), rng.choice(AXES)), Scene(sample_things(rng, 3), rng.choice(AXES))


def _sample_reordered(rng: random.Random) -> tuple[Scene, Scene]:
    """Draws two scenes that share two objects and their axis, and perhaps have one more object each."""
    shared = sample_things(rng, 2)
    num_more = rng.choice((0, 1))
    axis = rng.choice(AXES)
    first, second = (
        Scene(tuple(rng.sample(things, len(things))), axis)
        for things in (shared + sample_things(rng, num_more, exclude=shared) for _ in range(2))
    )
    return first, second


def _block_rows(block: _Block, rng: random.Random, image_size: int) -> list[dict[str, Any]]:
    rows = []
    for here, scene in enumerate(block.scenes):
        picture = draw(scene, rng, image_size)
        sentences = captions(scene, rng)
        # Which question goes with which statement is left to chance, so that neither hints at the other's answer.
        for index, asked in enumerate(rng.sample((0, 1), 2)):
            statement, question = block.statements[index], block.questions[asked]
            holds = index == here
            rows.append(
                {
                    **_picture_columns(picture),
                    "statement": statement.text,
                    "label": int(holds),
                    "question": question.text,
                    "answer": ANSWERS.index(question.answer if asked == here else NO_ANSWER),
                    "captions": sentences,
                    "template": block.template,
                    "decisive_box": picture.boxes[statement.true_thing if holds else statement.false_thing],
                }
            )
    return rows


def _picture_columns(picture: Picture) -> dict[str, Any]:
    things = [
        {"shape": thing.shape, "colour": thing.colour, "box": picture.boxes[thing]} for thing in picture.scene.things
    ]
    return {"image": {"bytes": picture.png, "path": None}, "objects": things}
