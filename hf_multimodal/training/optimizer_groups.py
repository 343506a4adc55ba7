# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Parameter groups with their own learning rate."""

from typing import Any

import torch
from transformers import PreTrainedModel


def set_tower_learning_rate(optimizer: torch.optim.Optimizer, model: PreTrainedModel, learning_rate: float) -> None:
    """Moves the towers' backbone parameters into groups of their own, with their own learning rate.

    Args:
        optimizer: A fresh optimizer; its groups are split in place and keep their other settings.
        model: The model whose towers are meant.
        learning_rate: Learning rate of the backbones.
    """
    base: Any = getattr(model, model.base_model_prefix, model)
    in_towers = {id(p) for tower in base.towers.values() for p in tower.backbone.parameters()}
    for group in list(optimizer.param_groups):
        moved = [p for p in group["params"] if id(p) in in_towers]
        group["params"] = [p for p in group["params"] if id(p) not in in_towers]
        if moved:
            optimizer.add_param_group({**group, "params": moved, "lr": learning_rate})


__all__ = ["set_tower_learning_rate"]
