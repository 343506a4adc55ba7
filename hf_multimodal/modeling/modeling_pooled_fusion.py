# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Fusion strategies over one vector per modality; the tokens pass through.

Shapes: B rows, M modalities, L tokens of one modality, H width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init

from .modeling_attention import GatedMLP, masked_mean
from .modeling_outputs import FusionOutput, TowerOutput


def presence(towers: Mapping[str, TowerOutput]) -> torch.Tensor:
    """Which modalities each row has: (B, M) bool. A row that has none counts as having all (their absent tokens)."""
    columns = [
        torch.ones(tower.tokens.shape[0], dtype=torch.bool, device=tower.tokens.device)
        if tower.present is None
        else tower.present
        for tower in towers.values()
    ]
    present = torch.stack(columns, dim=1)
    return present | ~present.any(dim=1, keepdim=True)


def present_softmax(scores: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Softmax over the modalities a row has: (B, M) or (M,) scores, (B, M) bool -> (B, M), zero where absent."""
    return scores.expand(present.shape).masked_fill(~present, torch.finfo(scores.dtype).min).softmax(-1)


class JointPooler(nn.Module):
    """One vector per row from one vector per modality: (B, M, H) -> (B, H).

    The gated layer lets it answer to what the modalities say together, not only to the sum of what each says.
    """

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        size = config.hidden_size
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.mlp = GatedMLP(len(modalities) * size, config.intermediate_size, size, config.hidden_act)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, modality_embeds: torch.Tensor) -> torch.Tensor:
        """Joins the modalities' vectors side by side and projects them."""
        return self.dropout(self.mlp(self.norm(modality_embeds).flatten(1)))


class PooledFusion(nn.Module):
    """A fusion of each modality's mean token; subclasses say how."""

    def forward(self, towers: Mapping[str, TowerOutput]) -> FusionOutput:
        """Fuses the towers' mean tokens."""
        embeds = torch.stack([masked_mean(tower.tokens, tower.mask) for tower in towers.values()], dim=1)
        embeds, pooled, weights = self.pool(embeds, presence(towers))
        tokens = {m: tower.tokens for m, tower in towers.items()}
        return FusionOutput(tokens=tokens, modality_embeds=embeds, pooled=pooled, modality_weights=weights)

    def pool(
        self, embeds: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Joins (B, M, H) vectors, of which (B, M) are there.

        Returns:
            Each modality's own output (B, M, H), the joint one (B, H), and the weights (B, M) if there are any.
        """
        raise NotImplementedError


class ConcatFusion(PooledFusion):
    """The modalities' vectors side by side, through one gated layer."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        self.pooler = JointPooler(config, modalities)

    def pool(self, embeds: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Joins the vectors; an absent modality's is its absent token."""
        return embeds, self.pooler(embeds), None


class _OutputLayer(nn.Module):
    """Layer norm and a gated layer on vectors of width H, whatever stands before it."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.mlp = GatedMLP(size, config.intermediate_size, size, config.hidden_act)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (..., H) to (..., H)."""
        return self.dropout(self.mlp(self.norm(x)))


class MeanFusion(PooledFusion):
    """The mean of the vectors that are there, through one gated layer."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        self.output = _OutputLayer(config)

    def pool(self, embeds: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Averages."""
        # so that the absent tokens have a gradient, be it zero: DDP waits for every parameter
        zero = 0.0 * embeds.sum(1)
        return embeds, self.output(masked_mean(embeds, present) + zero), None


class WeightedFusion(PooledFusion):
    """A weighted mean of the vectors that are there; the weights come from the vectors themselves.

    One score per modality, softmax over the present ones, as in gated multimodal units (Arevalo et al. 2017) with one
    gate per modality instead of one per channel.
    """

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        size = config.hidden_size
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.gate = nn.Linear(len(modalities) * size, len(modalities))
        self.outputs = nn.ModuleDict({m: _OutputLayer(config) for m in modalities})

    def pool(self, embeds: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weighs and sums."""
        weights = present_softmax(self.gate(self.norm(embeds).flatten(1)), present)  # (B, M)
        outputs = torch.stack([layer(embeds[:, i]) for i, layer in enumerate(self.outputs.values())], dim=1)
        return outputs, (weights.unsqueeze(-1) * outputs).sum(1), weights


class DecisionFusion(PooledFusion):
    """Late fusion: every modality decides by itself, and learned weights combine the decisions of those present.

    The decisions are made by the model's head, which has a copy per modality; `pooled` is the weighted mean.
    """

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        self.outputs = nn.ModuleDict({m: _OutputLayer(config) for m in modalities})
        self.scores = nn.Parameter(torch.zeros(len(modalities)))

    def init_own_parameters(self, std: float) -> None:
        """Starts with equal weights."""
        init.zeros_(self.scores)

    def pool(self, embeds: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weighs and sums."""
        weights = present_softmax(self.scores, present)  # (B, M)
        outputs = torch.stack([layer(embeds[:, i]) for i, layer in enumerate(self.outputs.values())], dim=1)
        return outputs, (weights.unsqueeze(-1) * outputs).sum(1), weights


__all__ = ["ConcatFusion", "DecisionFusion", "JointPooler", "MeanFusion", "WeightedFusion"]
