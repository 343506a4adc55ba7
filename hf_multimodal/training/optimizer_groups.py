# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Parameter groups with their own learning rate: towers, their layers, the head."""

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

# The first number in a parameter's name is its block's, and the second where blocks stand in stages.
_BLOCK = re.compile(r"^(.*?\.\d+)(?=\.)(\.\d+(?=\.)|\.(?:blocks?|layers?)\.\d+(?=\.))?")


def set_learning_rates(
    optimizer: torch.optim.Optimizer,
    model: PreTrainedModel,
    *,
    tower: float | None = None,
    head: float | None = None,
    layer_decay: float | None = None,
) -> None:
    """Moves parameters into groups with a learning rate of their own.

    Args:
        optimizer: A fresh optimizer; its groups are split in place and keep their other settings.
        model: The model that it trains.
        tower: Learning rate of the towers' backbones; None takes the optimizer's.
        head: Learning rate of all that follows the fusion.
        layer_decay: Factor by which each block of a backbone learns slower than the one after it (Clark et al. 2020).
    """
    if tower is head is layer_decay is None:
        return  # also of DeepSpeed's own optimizer, which has no groups
    body: Any = model.base_model
    rates: dict[int, float] = {}
    default = optimizer.defaults["lr"]
    if head is not None and body is not model:
        inside = {id(p) for p in body.parameters()}
        rates.update({id(p): head for p in model.parameters() if id(p) not in inside})
    if tower is not None or layer_decay is not None:
        for own in body.towers.values():
            rates.update(_backbone_rates(own.backbone, default if tower is None else tower, layer_decay or 1.0))
    for group in list(optimizer.param_groups):
        moved: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            moved.setdefault(rates.get(id(parameter), group["lr"]), []).append(parameter)
        group["params"] = moved.pop(group["lr"], [])
        for rate, parameters in moved.items():
            optimizer.add_param_group({**group, "params": parameters, "lr": rate})


def _backbone_rates(backbone: nn.Module, rate: float, decay: float) -> dict[int, float]:
    depths = block_depths(name for name, _ in backbone.named_parameters())
    highest = max(depths.values(), default=0)
    return {id(p): rate * decay ** (highest - depths[name]) for name, p in backbone.named_parameters()}


def block_depths(names: Iterable[str]) -> dict[str, int]:
    """Says how deep each parameter of an encoder lies: 0 before the first block, then 1, 2, … block by block.

    What stands behind the last block is as deep as it.

    Args:
        names: The parameters, in the order in which the encoder registered them.
    """
    depths: dict[str, int] = {}
    blocks: dict[str, int] = {}
    for name in names:
        found = _BLOCK.match(name)
        if found is None:
            depths[name] = len(blocks)
        else:
            depths[name] = blocks.setdefault(found.group(0), len(blocks) + 1)
    return depths


__all__ = ["block_depths", "set_learning_rates"]
