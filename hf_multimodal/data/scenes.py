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

from hf_multimodal.data.scene_pictures import (
    CELLS,
    MIN_IMAGE_SIZE,
    MOTIONS,
    Picture,
    Scene,
    Thing,
    draw,
    draw_clip,
    sample_things,
)
from hf_multimodal.data.scene_sentences import ANSWERS, QUESTIONS, STATEMENTS, Question, Statement, captions
from hf_multimodal.data.scene_sounds import speak
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.modeling.video_opening import encode_video

SPLITS = ("train", "validation", "test")
LABELS = ("false", "true")
NO_ANSWER = "none"
_ROWS_PER_BLOCK = 4
# "relation" is left out: telling subject from object as well takes far more training than the others.
DEFAULT_TEMPLATES = ("presence", "colour", "shape", "existence", "place")
# Objects that the two scenes of a block have in common, placed anew; the others of a scene are its own.
_NUM_SHARED = {"place": 1, "relation": 2, "motion": 1}
MEDIA = ("clip", "sound")
# Share of the colour, shape and existence blocks that need binding. The others can be settled by which attributes
# occur, as presence always can, which gives a model trained from scratch something to start from.
_BINDING_SHARE = 0.6

_Candidate = TypeVar("_Candidate", Statement, Question)


class _Block(NamedTuple):
    template: str
    scenes: tuple[Scene, Scene]
    statements: tuple[Statement, Statement]
    questions: tuple[Question, Question]


def make_scenes(
    num_rows: int = 2000,
    seed: int = 0,
    split: str = "train",
    image_size: int = 64,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    media: Sequence[str] = (),
) -> datasets.Dataset:
    """Draws one split of the scenes dataset in memory, always the same for the same arguments.

    Each row holds `image` (PNG), `statement` with `label` (`false`, `true`), `question` with `answer`, `captions`,
    `template` (which kind of statement it is), `needs_binding` (whether it takes more than knowing which attributes
    occur), `objects` (shape, colour and box `[x0, y0, x1, y1]` in pixels), `decisive_box` (of the object that settles
    the statement, of any object where all do together), `picture` (the same in rows that show one picture) and `id`;
    where asked for, `clip` (the objects moving, an
    animated PNG of six frames) and `sound` (tones that name the objects, WAV).

    Args:
        num_rows: Rows of the split, a multiple of four (see the module's text).
        seed: Seed of the whole dataset; its splits are drawn independently of one another.
        split: One of `SPLITS`.
        image_size: Height and width of the pictures in pixels.
        templates: The kinds of statement: `presence` ("there is a red object", "there is a star"), `colour` ("the star
            is red"), `shape` ("the red object is a star"), `existence` ("there is a red star"), `place` ("the red star
            is on the left") and the harder `relation` ("the red star is left of the blue square") and `motion` ("the
            red star moves up"), which only the clip tells.
        media: What else to make beside the picture: `clip`, `sound`.

    Raises:
        ValueError: if the split or a template is unknown, `num_rows` is no positive multiple of four, or the pictures
            are too small.
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
    for template in templates:
        check_known("template", template, tuple(STATEMENTS))
    for name in media:
        check_known("medium of the scenes", name, MEDIA)
    if "motion" in templates and "clip" not in media:
        raise ValueError("Only a clip shows a motion: ask for media=['clip'], or leave out the template motion.")
    if not templates:
        raise ValueError(f"templates is empty: name at least one of {', '.join(STATEMENTS)}.")
    rng = random.Random(f"scenes-{seed}-{split}")
    media_rng = random.Random(f"media-{seed}-{split}")  # its own, so that pictures are the same with and without them
    rows: list[dict[str, Any]] = []
    for number in range(num_rows // _ROWS_PER_BLOCK):
        drawn = _block_rows(_sample_block(rng, media_rng, templates), rng, media_rng, image_size, media)
        rows += [{**row, "picture": f"{split}-{number:06d}-{row['picture']}"} for row in drawn]
    rng.shuffle(rows)
    for index, row in enumerate(rows):
        row["id"] = f"{split}-{index:06d}"
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return datasets.Dataset.from_dict(columns, features=_features(media), split=datasets.NamedSplit(split))


def _features(media: Sequence[str]) -> datasets.Features:
    encoded = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
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
            "needs_binding": datasets.Value("bool"),
            "objects": [thing],
            "decisive_box": box,
            "id": datasets.Value("string"),
            "picture": datasets.Value("string"),
            **dict.fromkeys(media, encoded),  # `datasets` could open neither without torchcodec
        }
    )


def _sample_block(rng: random.Random, media_rng: random.Random, templates: Sequence[str]) -> _Block:
    """Draws pairs of scenes until statements and questions exist that tell them apart in both directions."""
    template = rng.choice(templates)
    needs_binding = template in _NUM_SHARED or (template != "presence" and rng.random() < _BINDING_SHARE)
    while True:
        scenes = _sample_scenes(rng, media_rng, _NUM_SHARED.get(template, 0))
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


def _sample_scenes(rng: random.Random, media_rng: random.Random, num_shared: int) -> tuple[Scene, Scene]:
    """Draws two scenes that have some objects in common, perhaps in other places."""
    shared = sample_things(rng, num_shared)
    size = rng.choice((2, 3)) if num_shared else 3
    first, second = (shared + sample_things(rng, size - num_shared, exclude=shared) for _ in range(2))
    return _place(first, rng, media_rng), _place(second, rng, media_rng)


def _place(things: tuple[Thing, ...], rng: random.Random, media_rng: random.Random) -> Scene:
    motions = {thing: media_rng.choice(MOTIONS) for thing in things}
    return Scene(dict(zip(things, rng.sample(CELLS, len(things)), strict=True)), motions)


def _block_rows(
    block: _Block, rng: random.Random, media_rng: random.Random, image_size: int, media: Sequence[str]
) -> list[dict[str, Any]]:
    rows = []
    for here, scene in enumerate(block.scenes):
        picture = draw(scene, rng, image_size)
        made = _media_columns(picture, media_rng, image_size, media)
        sentences = captions(scene, rng)
        # Which question goes with which statement is left to chance, so that neither hints at the other's answer.
        for index, asked in enumerate(rng.sample((0, 1), 2)):
            statement, question = block.statements[index], block.questions[asked]
            holds = index == here
            rows.append(
                {
                    **_picture_columns(picture),
                    **made,
                    "statement": statement.text,
                    "label": int(holds),
                    "question": question.text,
                    "answer": ANSWERS.index(question.answer if asked == here else NO_ANSWER),
                    "captions": sentences,
                    "template": block.template,
                    "picture": here,
                    "needs_binding": statement.needs_binding,
                    "decisive_box": picture.boxes[statement.true_thing if holds else statement.false_thing],
                }
            )
    return rows


def _media_columns(
    picture: Picture, rng: random.Random, image_size: int, media: Sequence[str]
) -> dict[str, dict[str, Any]]:
    made = {}
    if "clip" in media:
        made["clip"] = {"bytes": encode_video(draw_clip(picture, rng, image_size)), "path": None}
    if "sound" in media:
        made["sound"] = {"bytes": speak(picture.scene, rng), "path": None}
    return made


def _picture_columns(picture: Picture) -> dict[str, Any]:
    things = [
        {"shape": thing.shape, "colour": thing.colour, "box": picture.boxes[thing]} for thing in picture.scene.things
    ]
    return {"image": {"bytes": picture.png, "path": None}, "objects": things}
