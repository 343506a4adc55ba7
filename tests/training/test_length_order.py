# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches of texts of about the same length."""

import pytest
import torch

from hf_multimodal.data.captions import spread_captions
from hf_multimodal.data.loading import load_rows
from hf_multimodal.training.length_order import LengthOrder, text_lengths
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import tiny_processor
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
