# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A greedy soup: the mean of a run's checkpoints, as long as it gets better (Wortsman et al. 2022)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from hf_multimodal.training.checkpoints import list_checkpoints
from hf_multimodal.training.trainer import MultimodalTrainer

Weights = Mapping[str, torch.Tensor]


def cook_soup(trainer: MultimodalTrainer, count: int) -> list[str]:
    """Averages the last checkpoints greedily, by their scores on the validation rows, and leaves the mean in the model.

    They are tried from the best one on; each is kept if the mean of all that are kept is not worse with it. Of adapters
    their factors are averaged, not the updates that these come to.

    Args:
        trainer: After its training; `metric_for_best_model` chooses.
        count: How many of the last checkpoints are tried.

    Returns:
        Names of those that are kept, the best one first.

    Raises:
        ValueError: if no checkpoint has weights in one file, or none was scored.
    """
    folder = str(trainer.args.output_dir)
    found = [path for path in list_checkpoints(folder) if (path / SAFE_WEIGHTS_NAME).is_file()]
    metric = str(trainer.args.metric_for_best_model or "loss").removeprefix("eval_")
    sign = 1.0 if trainer.args.greater_is_better else -1.0
    scored = {path: score for path in found[:count] if (score := _score(path, f"eval_{metric}")) is not None}
    if not scored:
        raise ValueError(
            f"No checkpoint in {folder!r} has weights in one file and a score {metric}: nothing to average."
        )
    ordered = sorted(scored, key=lambda path: -sign * scored[path])
    model = cast(PreTrainedModel, trainer.model)
    kept, mean, best = ordered[:1], load_file(ordered[0] / SAFE_WEIGHTS_NAME), sign * scored[ordered[0]]
    for path in ordered[1:]:
        tried = mean_weights(mean, load_file(path / SAFE_WEIGHTS_NAME), len(kept))
        _load(model, tried)
        score = sign * trainer.evaluate(metric_key_prefix="soup")[f"soup_{metric}"]
        if score >= best:
            kept, mean, best = [*kept, path], tried, score
    _load(model, mean)
    return [path.name for path in kept]


def _score(checkpoint: Path, name: str) -> float | None:
    state: dict[str, Any] = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    now = [entry for entry in state["log_history"] if entry.get("step") == state["global_step"]]
    return next((entry[name] for entry in reversed(now) if name in entry), None)


def mean_weights(mean: Weights, other: Weights, count: int) -> dict[str, torch.Tensor]:
    """Takes one more into a mean of `count`; whole numbers, such as batch norm's counter, stay as they are."""
    return {
        name: value + (other[name] - value) / (count + 1) if value.is_floating_point() else value
        for name, value in mean.items()
    }


def _load(model: PreTrainedModel, weights: Weights) -> None:
    with torch.no_grad():
        own = model.state_dict()
        for name, value in weights.items():
            own[name].copy_(value)


__all__ = ["cook_soup", "mean_weights"]
