# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Each modality's share of a decision: exact Shapley values over the modalities."""

from collections.abc import Mapping
from itertools import combinations
from math import factorial
from typing import Any

import torch

from hf_multimodal.explanation.target import Target


@torch.no_grad()
def modality_shares(model: Any, batch: Mapping[str, torch.Tensor], target: Target) -> dict[str, float]:  # noqa: ANN401 (a model that predicts)
    """Computes the exact Shapley value (Shapley 1953) of every modality that a row has, in logits of the target.

    The model is asked with every subset of the modalities, 2^M times in one batch, the others marked absent. The values
    add up to the logit with all of them less the logit with none.

    Args:
        model: The model.
        batch: Of one row.
        target: What is explained.

    Returns:
        Modality -> value.
    """
    modalities = model.config.modalities
    there = _present(batch, modalities)
    subsets = [frozenset(chosen) for size in range(len(there) + 1) for chosen in combinations(there, size)]
    mask = torch.tensor([[m in subset for m in modalities] for subset in subsets], device=model.device)
    repeated = {
        name: tensor.repeat_interleave(len(subsets), dim=0) for name, tensor in batch.items() if name != "modality_mask"
    }
    logits = target.of(model(**repeated, modality_mask=mask)).tolist()
    worth = dict(zip(subsets, logits, strict=True))
    count = len(there)
    shares = {}
    for modality in there:
        others = [subset for subset in subsets if modality not in subset]
        shares[modality] = sum(
            factorial(len(s)) * factorial(count - len(s) - 1) / factorial(count) * (worth[s | {modality}] - worth[s])
            for s in others
        )
    return shares


def _present(batch: Mapping[str, torch.Tensor], modalities: tuple[str, ...]) -> list[str]:
    mask = batch["modality_mask"][0].tolist()
    return [modality for modality, is_there in zip(modalities, mask, strict=True) if is_there]


__all__ = ["modality_shares"]
