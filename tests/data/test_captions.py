# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Lists of captions become rows of one caption that share an item; item ids become labels."""

import pytest

from hf_multimodal import load_rows, make_scenes
from hf_multimodal.data.captions import CaptionRows, each_text, spread_captions
from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.labels import ItemSchema, LabelError, check_labels
from tests.tiny import tiny_pictures, tiny_processor

LISTED = [
    {"words": ["a red square", "one square"], "n": "x", "photo": "p"},
    {"words": [], "n": "y", "photo": "q"},
    {"words": ["a blue circle"], "n": "z", "photo": "p"},
]


def listed(**columns):
    return load_rows(LISTED, split=None, columns={"text": "words", **columns}, text_lists=True)


def test_one_row_per_caption():
    rows = spread_captions(listed(id="n"))
    assert isinstance(rows, CaptionRows)
    assert [(row["row_id"], row["item"], row["text"]) for row in rows] == [
        ("x#0", "x", "a red square"),
        ("x#1", "x", "one square"),
        ("y#0", "y", None),
        ("z#0", "z", "a blue circle"),
    ]
    assert list(each_text(listed())) == ["a red square", "one square", "a blue circle"]
    assert [row["text"] for row in spread_captions(listed(), first_only=True)] == [
        "a red square",
        None,
        "a blue circle",
    ]


def test_the_item_column_says_what_belongs_together():
    assert [row["item"] for row in spread_captions(listed(item="photo"))] == ["p", "p", "q", "p"]


def test_rows_of_one_text_stay_as_they_are():
    rows = load_rows([{"t": "a"}, {"t": None}], split=None, columns={"text": "t"}, text_lists=True)
    assert spread_captions(rows) is rows
    assert list(each_text(rows)) == ["a"]


def test_lists_are_refused_where_a_row_is_one_text():
    with pytest.raises(ValueError, match="Column 'words' holds .*which cannot be text"):
        load_rows(LISTED, split=None, columns={"text": "words"})


def test_items_become_equal_numbers():
    collator = MultimodalCollator(tiny_processor(), ItemSchema())
    pictures = tiny_pictures(3)
    rows = [{"text": "a", "image": p, "item": item} for p, item in zip(pictures, ["x", "y", "x"], strict=True)]
    labels = collator(rows)["labels"].tolist()
    assert labels[0] == labels[2] != labels[1]
    assert all(0 <= label < 2**63 for label in labels)
    # without items each row is its own, and ids of any type will do
    by_id = collator([{"text": "a", "image": p, "row_id": i} for i, p in enumerate(pictures)])["labels"].tolist()
    assert len(set(by_id)) == 3
    assert ItemSchema.encode(5, row=0, column="n") == ItemSchema.encode("5", row=0, column="n")


def test_a_missing_item_is_named_with_its_row():
    rows = load_rows([{"t": "a", "n": "x"}, {"t": "b", "n": None}], split=None, columns={"text": "t", "item": "n"})
    with pytest.raises(LabelError, match="Row 1, column 'n': the item is missing"):
        check_labels(rows, ItemSchema(), columns={"text": "t", "item": "n"})


def test_scenes_name_their_pictures():
    rows = make_scenes(num_rows=8, image_size=32)
    pictures = {}
    for row in rows:
        pictures.setdefault(row["picture"], []).append(row["captions"])
    assert len(pictures) == 4
    assert all(len(captions) == 2 and captions[0] == captions[1] for captions in pictures.values())


def test_a_caption_that_an_item_has_had_is_left_out():
    rows = [{"words": ["a", "b"], "n": "x"}, {"words": ["b", "c"], "n": "x"}, {"words": ["b"], "n": "y"}]
    rows = load_rows(rows, split=None, columns={"text": "words", "item": "n"}, text_lists=True)
    assert [(row["item"], row["text"]) for row in spread_captions(rows)] == [
        ("x", "a"),
        ("x", "b"),
        ("x", "c"),
        ("y", "b"),
    ]
    assert len(spread_captions(rows, first_only=True)) == 3
