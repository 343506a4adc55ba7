# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A step without a finite loss or gradient changes nothing, is written down, and too many end the training."""

import json

import pytest
import torch

from hf_multimodal.data.loading import load_rows
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.nonfinite_steps import NonFiniteError
from hf_multimodal.training.trainer import MultimodalTrainer
from tests.tiny import tiny_model, tiny_processor

COLUMNS = {"text": "statement", "image": "image", "label": "label", "id": "id"}


class Spoiled(MultimodalTrainer):
    """A trainer that meets what is not finite in some steps.

    Args:
        spoiled: Numbers of the steps, from 0.
        loss: Whether it is the loss, too, and not the gradient alone.
    """

    def __init__(self, *args, spoiled, loss, **kwargs):
        super().__init__(*args, **kwargs)
        self.spoiled, self.loss, self.seen = spoiled, loss, []

    def training_step(self, model, inputs, *args, **kwargs):
        self.seen.append(inputs["row_ids"])
        return super().training_step(model, inputs, *args, **kwargs)

    def compute_loss(self, model, inputs, *args, **kwargs):
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if self.state.global_step not in self.spoiled:
            return loss
        if self.loss:
            return loss * float("nan")
        weight = next(p for p in model.parameters() if p.requires_grad)
        return loss + torch.sqrt((weight * 0).sum())  # its gradient is 0 · infinity


def trainer_of(folder, spoiled, loss=True, **values):
    rows = load_rows("scenes", split="train", columns=COLUMNS, num_rows=12)
    torch.manual_seed(0)
    arguments = MultimodalTrainingArguments(
        str(folder), max_steps=3, per_device_train_batch_size=4, report_to="none", save_strategy="no", **values
    )
    model = tiny_model(num_labels=2)
    return Spoiled(model, arguments, processing_class=tiny_processor(), train_dataset=rows, spoiled=spoiled, loss=loss)


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


@pytest.mark.parametrize("loss", [True, False])
@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
def test_a_step_that_is_not_finite_changes_nothing(tmp_path, loss, max_grad_norm):
    trainer = trainer_of(tmp_path, {0, 1, 2}, loss, max_grad_norm=max_grad_norm)
    before = weights(trainer)
    trainer.train()
    assert all(torch.equal(before[name], p) for name, p in weights(trainer).items())
    assert trainer.training_facts()["skipped_steps"] == 3
    told = [json.loads(line) for line in (tmp_path / "skipped_steps-0.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in told] == [1, 2, 3]
    assert [entry["row_ids"] for entry in told] == trainer.seen
    assert sorted(row for entry in told for row in entry["row_ids"]) == [f"train-{i:06d}" for i in range(12)]
    assert told[0]["gradient_norm"] == "nan"


def test_the_others_are_made(tmp_path):
    trainer = trainer_of(tmp_path, {1})
    before = weights(trainer)
    trainer.train()
    after = weights(trainer)
    assert not all(torch.equal(before[name], p) for name, p in after.items())
    assert all(torch.isfinite(p).all() for p in after.values())
    assert trainer.training_facts()["skipped_steps"] == 1


def test_too_many_end_the_training_and_name_the_file(tmp_path):
    trainer = trainer_of(tmp_path, {0, 1, 2}, max_skipped_steps=1)
    with pytest.raises(NonFiniteError, match=r"2 steps, the last of them 2, .* 1 may .*skipped_steps-0\.jsonl"):
        trainer.train()


def test_nothing_is_written_of_a_training_that_is_well(tmp_path):
    trainer = trainer_of(tmp_path, set())
    trainer.train()
    assert trainer.training_facts()["skipped_steps"] == 0
    assert not (tmp_path / "skipped_steps-0.jsonl").exists()
