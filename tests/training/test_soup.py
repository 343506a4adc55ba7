# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A soup takes in the checkpoints that make it better, and those only."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.soup import cook_soup, mean_weights
from tests.training.tiny_run import tiny_run


class Judge:
    """Stands in for a trainer: a model of one weight whose validation loss is its distance from a target."""

    def __init__(self, folder, target):
        self.args = MultimodalTrainingArguments(str(folder), metric_for_best_model="loss", report_to="none")
        self.args.greater_is_better = False
        self.model, self.target = torch.nn.Linear(1, 1, bias=False), target

    def evaluate(self, metric_key_prefix):
        return {f"{metric_key_prefix}_loss": abs(self.model.weight.item() - self.target)}


def make_checkpoints(folder, weights, target):
    for step, weight in enumerate(weights, start=1):
        checkpoint = folder / f"checkpoint-{step}"
        checkpoint.mkdir()
        save_file({"weight": torch.tensor([[weight]])}, checkpoint / "model.safetensors")
        history = [{"step": step, "loss": 9.0}, {"step": step, "eval_loss": abs(weight - target)}]
        state = {"global_step": step, "log_history": history}
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))


def test_only_what_makes_it_better_goes_in(tmp_path):
    # 1.25 is the best; with 0.5 the mean is nearer to 1 still; with 4 it is not; 0.9 is older than the three tried
    make_checkpoints(tmp_path, [0.9, 4.0, 1.25, 0.5], target=1.0)
    judge = Judge(tmp_path, 1.0)
    assert cook_soup(judge, 3) == ["checkpoint-3", "checkpoint-4"]
    assert judge.model.weight.item() == pytest.approx((1.25 + 0.5) / 2)


def test_the_best_alone_where_no_mean_is_better(tmp_path):
    make_checkpoints(tmp_path, [3.0, 1.0, 2.0], target=1.0)
    judge = Judge(tmp_path, 1.0)
    assert cook_soup(judge, 3) == ["checkpoint-2"]
    assert judge.model.weight.item() == 1.0


def test_means_of_three_and_of_whole_numbers():
    first, second, third = ({"w": torch.tensor([x]), "n": torch.tensor(int(x))} for x in (1.0, 2.0, 6.0))
    mean = mean_weights(mean_weights(first, second, 1), third, 2)
    assert mean["w"].item() == pytest.approx(3.0)
    assert mean["n"].item() == 1


def test_nothing_to_average(tmp_path):
    with pytest.raises(ValueError, match="has weights in one file and a score loss"):
        cook_soup(Judge(tmp_path, 1.0), 2)
    with pytest.raises(ValueError, match="soup_checkpoints=3, but 2 are kept: raise save_total_limit"):
        MultimodalTrainingArguments(str(tmp_path), soup_checkpoints=3)


def test_a_run_ends_with_its_soup(tmp_path):
    values = tiny_run(tmp_path / "run")
    values["training"].update(num_train_epochs=3, save_total_limit=3, soup_checkpoints=3, metric_for_best_model="loss")
    result = train(RunConfig.from_dict(values))
    kept = result.metrics["training"]["soup"]
    files = [load_file(tmp_path / "run" / "checkpoints" / name / "model.safetensors") for name in kept]
    saved = load_file(tmp_path / "run" / "model.safetensors")
    assert 1 <= len(kept) <= 3
    for name, value in saved.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, torch.stack([file[name] for file in files]).mean(0))
