# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Contrastive and matching objectives: pure functions of similarities. Rows of the same item are never negatives.

Shapes: B rows of this process, G rows of all processes (G = B on one), D width of an embedding.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)


def info_nce_loss(logits: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """InfoNCE of each anchor (van den Oord et al. 2018), with any number of positives.

    The loss of a positive p of anchor i is -log(exp(s_ip) / (exp(s_ip) + sum over negatives n of exp(s_in))), and the
    anchor's is their mean. Other positives are left out of the denominator, where they would be pushed away (SINCERE,
    Feeney and Hughes 2023); with one positive each it is the usual cross-entropy.

    Args:
        logits: (B, G) scaled similarities of the anchors to all candidates.
        positives: (B, G) bool, the candidates of the anchor's own item.
        negatives: (B, G) bool, those of other items. What is in neither is left out.

    Returns:
        (B,) losses, zero for anchors without a positive.
    """
    logits = logits.float()
    lowest = torch.finfo(logits.dtype).min
    against = logits.masked_fill(~negatives, lowest).logsumexp(dim=1, keepdim=True)  # (B, 1)
    losses = F.softplus(against - logits).masked_fill(~positives, 0.0)
    return losses.sum(1) / positives.sum(1).clamp(min=1)


def sigmoid_loss(logits: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """Pairwise sigmoid loss of each anchor (SigLIP, Zhai et al. 2023): the sum over its pairs.

    Args:
        logits: (B, G) similarities of the anchors to all candidates, scaled and shifted by the bias.
        positives: (B, G) bool, the candidates of the anchor's own item.
        negatives: (B, G) bool, those of other items. What is in neither is left out.

    Returns:
        (B,) losses, zero for anchors without a positive.
    """
    logits = logits.float()
    losses = F.softplus(torch.where(positives, -logits, logits)).masked_fill(~(positives | negatives), 0.0)
    return losses.sum(1) * positives.any(dim=1)


# keys: configuration_multimodal.CONTRASTIVE_OBJECTIVES
CONTRASTIVE_LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "infonce": info_nce_loss,
    "sigmoid": sigmoid_loss,
}


def draw_negatives(
    logits: torch.Tensor, negatives: torch.Tensor, noise: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws hard negatives of each anchor: candidates of other items, in proportion to exp(logits) (ALBEF, Li 2021).

    They are drawn without replacement, by the Gumbel trick (Kool et al. 2019).

    Args:
        logits: (B, G) scaled similarities.
        negatives: (B, G) bool, whom to draw from.
        noise: (B, G) uniform numbers in [0, 1).
        count: How many to draw of each anchor.

    Returns:
        (B, N) indices of candidates, N = `count` or G if that is less, and (B, N) bool, False where an anchor has not
        so many negatives.
    """
    noise = noise.clamp(min=torch.finfo(noise.dtype).tiny)
    scores = logits.detach().float() - torch.log(-torch.log(noise))
    chosen = scores.masked_fill(~negatives, -torch.inf).topk(min(count, logits.shape[1]), dim=1)
    return chosen.indices, torch.isfinite(chosen.values)


def match_loss(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the binary cross-entropies of pairs that match or do not (image-text matching).

    Args:
        logits: (P,) scores of pairs.
        targets: (P,) 1 where a pair matches, else 0.
        weights: (P,) weight of each pair; zero leaves it out.
    """
    return (F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none") * weights).sum()


__all__ = ["CONTRASTIVE_LOSSES", "draw_negatives", "info_nce_loss", "match_loss", "sigmoid_loss"]
