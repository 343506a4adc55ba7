# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches of texts of about the same length, and of few pictures."""

import itertools

import datasets
import pytest
import torch

from hf_multimodal.data.captions import spread_captions
from hf_multimodal.data.loading import load_rows
from hf_multimodal.modeling.modeling_towers import ImageTower
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.row_orders import LengthOrder, PictureOrder, picture_keys, text_lengths
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import tiny_pictures, tiny_processor
from tests.training.test_run_generation import caption_run
from tests.training.tiny_run import tiny_run


def test_lengths_are_those_of_the_tokens():
    rows = [{"said": "a b c"}, {"said": None}, {"said": "a " * 40}]
    loaded = load_rows(
        [{**row, "picture": b""} for row in rows], split=None, columns={"text": "said", "image": "picture"}
    )
    processor = tiny_processor()
    counts = text_lengths(loaded, processor)
    assert counts == [len(processor.tokenizer(text, truncation=True)["input_ids"]) for text in ("a b c", "", "a " * 40)]
    assert counts[2] == 16  # cut


def test_lengths_of_captions():
    loaded = load_rows([{"said": ["a", "a b c"]}, {"said": []}], split=None, columns={"text": "said"}, text_lists=True)
    counts = text_lengths(spread_captions(loaded), tiny_processor())
    assert len(counts) == 3
    assert counts[1] == counts[0] + 2
    assert counts[2] < counts[0]


def test_lengths_of_questions_with_several_answers():
    rows = [{"asked": "a b c", "said": ["x", "y"]}, {"asked": "a", "said": ["x"]}]
    loaded = load_rows(rows, split=None, columns={"text": "asked", "label": "said"})
    counts = text_lengths(spread_captions(loaded, column="label"), tiny_processor())
    assert counts[0] == counts[1] == counts[2] + 2


def test_neighbours_are_about_as_long():
    lengths = torch.randint(1, 100, (640,), generator=torch.Generator().manual_seed(0)).tolist()
    epoch = torch.zeros((), dtype=torch.long)
    order = LengthOrder(lengths, 8, 0, epoch)
    first = list(order)
    assert sorted(first) == list(range(640))
    assert first == list(order)  # of the same epoch
    batches = [[lengths[i] for i in first[start : start + 8]] for start in range(0, 640, 8)]
    padded = sum(8 * max(batch) for batch in batches)
    assert padded < 1.1 * sum(lengths)
    assert max(batches[0]) == max(lengths)
    epoch.fill_(1)
    assert list(order) != first


def test_a_run(tmp_path):
    values = tiny_run(tmp_path / "run")
    values["training"].update(train_sampling_strategy="group_by_length", num_train_epochs=2)
    assert train(RunConfig.from_dict(values)).metrics["training"]["steps"] == 6


def test_a_model_without_texts(tmp_path):
    values = caption_run(tmp_path / "run")
    values["training"]["train_sampling_strategy"] = "group_by_length"
    with pytest.raises(ValueError, match=r"groups rows by their texts, and this model reads none \(image\)"):
        train(RunConfig.from_dict(values))


def test_rows_of_a_picture_stand_together():
    keys = [row // 7 for row in range(70)]  # ten pictures of seven rows
    epoch = torch.zeros((), dtype=torch.long)
    order = PictureOrder(keys, 3, 0, epoch)
    first = list(order)
    assert sorted(first) == list(range(70))
    assert first == list(order)
    runs = [len(list(group)) for _, group in itertools.groupby(first, key=lambda row: keys[row])]
    assert sum(runs) / len(runs) > 2
    epoch.fill_(1)
    assert list(order) != first


def test_the_same_picture():
    pictures = [b"one", b"two", b"one", None, None]
    rows = load_rows([{"picture": x} for x in pictures], split=None, columns={"image": "picture"})
    keys = picture_keys(rows)
    assert keys[0] == keys[2]
    assert len(set(keys)) == 4
    decoded = datasets.Dataset.from_dict({"image": [tiny_pictures(1)[0]] * 2}).cast_column("image", datasets.Image())
    assert len(set(picture_keys(decoded))) == 1
    with pytest.raises(ValueError, match="rows_per_picture is for rows with pictures"):
        picture_keys(load_rows([{"said": "a"}], split=None, columns={"text": "said"}))


def test_a_run_of_shared_pictures(tmp_path, monkeypatch):
    """The scenes' pictures have two statements each: half of them go through the tower."""
    values = tiny_run(tmp_path / "run")
    values["training"].update(rows_per_picture=2, per_device_train_batch_size=10)
    seen = []
    original = ImageTower.encode_pictures
    monkeypatch.setattr(ImageTower, "encode_pictures", lambda self, x: seen.append(len(x)) or original(self, x))
    train(RunConfig.from_dict(values))
    assert seen[:2] == [5, 5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows_per_picture": 0}, "rows_per_picture=0: give 1 or more"),
        ({"rows_per_picture": 2, "train_sampling_strategy": "group_by_length"}, "are two orders of the rows"),
    ],
)
def test_mistakes(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        MultimodalTrainingArguments(str(tmp_path), **changes)
