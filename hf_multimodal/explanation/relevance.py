# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What the fusion's attention says: its maps, and the relevance of each token by the rules of Chefer et al. 2021.

Shapes: L_m tokens of modality m.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hf_multimodal.explanation.target import Target

ATTENDING_FUSIONS = ("cross_attention", "merged_attention")


def fusion_relevance(
    model: Any,  # noqa: ANN401 (a model that predicts, with eager attention)
    batch: Mapping[str, torch.Tensor],
    target: Target,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Computes how much each token of the towers matters to a logit through the fusion's attention.

    The rules are those of Chefer et al. (Generic attention-model explainability, ICCV 2021, arXiv 2103.15679),
    equations 5 to 11, for any number of modalities. The pooled vector is the mean over a modality's tokens, so the
    relevances of their rows are averaged.

    Args:
        model: The model.
        batch: Of one row.
        target: What is explained.

    Returns:
        Modality -> (L_m,) relevance; and modality -> (L_m,) mean attention that the other modalities pay to it in the
        last layer. Both empty where the fusion does not attend from token to token.
    """
    if model.config.fusion not in ATTENDING_FUSIONS:
        return {}, {}
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # as for integrated gradients
        towers = model.model.encode(batch, batch.get("modality_mask"))
        output = model(**batch, output_attentions=True)
        attentions = list(output.attentions)
        crossing = list(output.cross_attentions or ())
        gradients = torch.autograd.grad(
            target.of(output).sum(), [*attentions, *crossing], allow_unused=True, materialize_grads=True
        )
    weighted = [_weighted(a, g) for a, g in zip([*attentions, *crossing], gradients, strict=True)]
    real = {modality: tower.mask[0] for modality, tower in towers.items()}
    lengths = {modality: len(mask) for modality, mask in real.items()}
    if model.config.fusion == "merged_attention":
        relevance = _merged(weighted, sum(lengths.values()))
    else:
        relevance = _crossing(weighted[: len(attentions)], weighted[len(attentions) :], lengths)
    present = dict(zip(model.config.modalities, batch["modality_mask"][0].tolist(), strict=True))
    rows = torch.cat([mask & present[m] for m, mask in real.items()])
    totals = _mean_of_modalities(relevance, rows, lengths)
    mean = _last_attention(attentions, crossing, model.config.fusion, real, present)
    return _split(totals, lengths), mean


def _weighted(attention: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The mean over the heads of attention times its gradient where that is positive (equation 5): (L, L_context)."""
    return (attention * gradient)[0].clamp(min=0).mean(0).detach()


def _merged(weighted: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    relevance = torch.eye(length, device=weighted[0].device)
    for attention in weighted:
        relevance = relevance + attention @ relevance  # equation 6
    return relevance


def _crossing(
    own: Sequence[torch.Tensor], crossing: Sequence[torch.Tensor], lengths: Mapping[str, int]
) -> torch.Tensor:
    """Applies the rules layer by layer; returns the relevance of every token (columns) to every token (rows)."""
    names, device = list(lengths), own[0].device
    relevance = {
        (m, n): torch.eye(lengths[m], device=device) if m == n else torch.zeros(lengths[m], lengths[n], device=device)
        for m in names
        for n in names
    }
    for layer in range(len(own) // len(names)):
        before = dict(relevance)
        for i, m in enumerate(names):
            place = layer * len(names) + i
            if crossing:
                others = [n for n in names if n != m]
                parts = crossing[place].split([lengths[n] for n in others], dim=1)
                for n, attention in zip(others, parts, strict=True):
                    mixed = _normalised(before[m, m]).T @ attention @ _normalised(before[n, n])
                    relevance[m, n] = relevance[m, n] + mixed  # equation 10
                    relevance[m, m] = relevance[m, m] + attention @ before[n, m]  # equation 11
            for n in names:
                relevance[m, n] = relevance[m, n] + own[place] @ relevance[m, n]  # equations 6 and 7
    return torch.cat([torch.cat([relevance[m, n] for n in names], dim=1) for m in names])


def _normalised(relevance: torch.Tensor) -> torch.Tensor:
    """What self-attention has added, each row to a sum of one, with the token itself (equations 8 and 9)."""
    identity = torch.eye(len(relevance), device=relevance.device)
    added = relevance - identity
    return added / added.sum(1, keepdim=True).clamp(min=1e-8) + identity


def _mean_of_modalities(relevance: torch.Tensor, rows: torch.Tensor, lengths: Mapping[str, int]) -> torch.Tensor:
    """Averages over the rows that count, modality by modality, without what a token is to itself."""
    relevance = relevance - torch.eye(len(relevance), device=relevance.device)
    means, start = [], 0
    for length in lengths.values():
        part = rows[start : start + length]
        if part.any():
            means.append(relevance[start : start + length][part].mean(0))
        start += length
    return torch.stack(means).mean(0)


def _last_attention(
    own: Sequence[torch.Tensor],
    crossing: Sequence[torch.Tensor],
    fusion: str,
    real: Mapping[str, torch.Tensor],
    present: Mapping[str, bool],
) -> dict[str, torch.Tensor]:
    """Modality -> mean attention that real tokens of the other modalities pay to its tokens in the last layer."""
    names = list(real)
    lengths = {m: len(mask) for m, mask in real.items()}
    paid: dict[str, list[torch.Tensor]] = {m: [] for m in names}
    if fusion == "merged_attention":
        rows = _split(own[-1][0].mean(0).detach(), lengths)
        for m in names:
            for n, part in _split(rows[m].T, lengths).items():
                if n != m and present[m]:
                    paid[n].append(part.T[real[m]].mean(0))
    elif crossing:
        for m, attention in zip(names, crossing[-len(names) :], strict=True):
            others = [n for n in names if n != m]
            if present[m]:
                seen = attention[0].mean(0)[real[m]].mean(0).detach()
                for n, part in _split(seen, {n: lengths[n] for n in others}).items():
                    paid[n].append(part)
    return {m: torch.stack(parts).mean(0) for m, parts in paid.items() if parts}


def _split(values: torch.Tensor, lengths: Mapping[str, int]) -> dict[str, torch.Tensor]:
    return dict(zip(lengths, values.split(list(lengths.values())), strict=True))


__all__ = ["ATTENDING_FUSIONS", "fusion_relevance"]
