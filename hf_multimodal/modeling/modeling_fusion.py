# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Fusion strategies over tokens, and the table of all fusions: the towers' tokens in, fused ones and one vector out.

Shapes: B rows, M modalities, L tokens of one modality, L_all tokens of all, N shared tokens, H width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer

from .modeling_attention import FusionAttention, GatedMLP, ResidualGate, masked_mean
from .modeling_outputs import FusionOutput, TowerOutput
from .modeling_pooled_fusion import (
    ConcatFusion,
    DecisionFusion,
    JointPooler,
    MeanFusion,
    WeightedFusion,
    presence,
)
from .modeling_tower_base import POSITION_STD


class FusionLayer(GradientCheckpointingLayer):
    """One layer of a fusion over tokens; its (first) output is all modalities' tokens side by side, (B, L_all, H)."""


class ModalityBlock(nn.Module):
    """One modality's part of a cross-attention layer: look at the others, at itself, then think (pre-norm).

    The order cross-attention, self-attention, feed-forward is LXMERT's (Tan and Bansal 2019).
    """

    def __init__(self, config: PreTrainedConfig, has_context: bool) -> None:
        super().__init__()
        size, eps = config.hidden_size, config.layer_norm_eps
        heads = (config.num_attention_heads, config.attention_probs_dropout_prob)
        if has_context:
            self.cross_norm = nn.LayerNorm(size, eps=eps)
            self.context_norm = nn.LayerNorm(size, eps=eps)
            self.cross_attention = FusionAttention(config, size, *heads)
            self.cross_gate = ResidualGate() if config.fusion_gates else nn.Identity()
        self.self_norm = nn.LayerNorm(size, eps=eps)
        self.self_attention = FusionAttention(config, size, *heads)
        self.mlp_norm = nn.LayerNorm(size, eps=eps)
        self.mlp = GatedMLP(size, config.intermediate_size, size, config.hidden_act)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        hidden_states: torch.Tensor,
        context: torch.Tensor | None,
        self_mask: torch.Tensor | None,
        cross_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Updates one modality's tokens (B, L, H) from the others' (B, L_context, H)."""
        if context is not None:
            normed = self.context_norm(context)
            crossed, _ = self.cross_attention(self.cross_norm(hidden_states), normed, cross_mask)
            hidden_states = hidden_states + self.cross_gate(self.dropout(crossed))
        normed = self.self_norm(hidden_states)
        hidden_states = hidden_states + self.dropout(self.self_attention(normed, normed, self_mask)[0])
        return hidden_states + self.dropout(self.mlp(self.mlp_norm(hidden_states)))


class TokenFusion(nn.Module):
    """A fusion that lets the modalities' tokens meet; subclasses say how."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str], layer_class: type[FusionLayer]) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList([layer_class(config, modalities) for _ in range(config.num_hidden_layers)])
        self.norms = nn.ModuleDict({m: nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) for m in modalities})
        self.pooler = JointPooler(config, modalities)

    def attention_mask(
        self, query: torch.Tensor, context: torch.Tensor | None, mask: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Makes the mask for attention from (B, L, H) over (B, L_context, H), of which (B, L_context) are real."""
        if context is None:
            return None
        made: Any = create_bidirectional_mask(
            config=self.config, inputs_embeds=query, attention_mask=mask, encoder_hidden_states=context
        )
        return made  # a tensor, or flex attention's own kind of mask

    def fuse(
        self, tokens: Sequence[torch.Tensor], masks: Sequence[torch.Tensor], present: torch.Tensor
    ) -> torch.Tensor:
        """Lets the tokens meet.

        Args:
            tokens: (B, L, H) per modality.
            masks: (B, L) bool per modality.
            present: (B, M) bool.

        Returns:
            (B, L_all, H).
        """
        raise NotImplementedError

    def forward(self, towers: Mapping[str, TowerOutput]) -> FusionOutput:
        """Fuses the towers' tokens."""
        tokens, masks = [x.tokens for x in towers.values()], [x.mask for x in towers.values()]
        parts = self.fuse(tokens, masks, presence(towers)).split([x.shape[1] for x in tokens], dim=1)
        fused = {m: self.norms[m](x) for m, x in zip(towers, parts, strict=True)}
        embeds = torch.stack([masked_mean(fused[m], towers[m].mask) for m in towers], dim=1)
        return FusionOutput(tokens=fused, modality_embeds=embeds, pooled=self.pooler(embeds))


class CrossAttentionLayer(FusionLayer):
    """One layer over all modalities at once: Y_i = g(Z_i, {Z_j, j != i})."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({m: ModalityBlock(config, len(modalities) > 1) for m in modalities})

    def forward(
        self,
        hidden_states: torch.Tensor,
        lengths: Sequence[int],
        self_masks: Sequence[torch.Tensor | None],
        cross_masks: Sequence[torch.Tensor | None],
    ) -> torch.Tensor:
        """Updates the tokens of all modalities, (B, L_all, H), side by side."""
        parts = hidden_states.split(list(lengths), dim=1)
        updated = [
            block(part, _others(parts, i), self_masks[i], cross_masks[i])
            for i, (part, block) in enumerate(zip(parts, self.blocks.values(), strict=True))
        ]
        return torch.cat(updated, dim=1)


def _others(parts: Sequence[torch.Tensor], index: int) -> torch.Tensor | None:
    rest = [part for j, part in enumerate(parts) if j != index]
    return torch.cat(rest, dim=1) if rest else None


class CrossAttentionFusion(TokenFusion):
    """Every modality's tokens attend to all the others', layer by layer."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__(config, modalities, CrossAttentionLayer)

    def fuse(
        self, tokens: Sequence[torch.Tensor], masks: Sequence[torch.Tensor], present: torch.Tensor
    ) -> torch.Tensor:
        """Fuses the tokens; what is absent is attended to by its absent token."""
        indices = range(len(tokens))
        self_masks = [self.attention_mask(tokens[i], tokens[i], masks[i]) for i in indices]
        cross_masks = [self.attention_mask(tokens[i], _others(tokens, i), _others(masks, i)) for i in indices]
        lengths = [x.shape[1] for x in tokens]
        hidden_states = torch.cat(list(tokens), dim=1)  # (B, L_all, H)
        for layer in self.layers:
            hidden_states = layer(hidden_states, lengths, self_masks, cross_masks)
        return hidden_states


class MergedAttentionLayer(FusionLayer):
    """One self-attention over the tokens of all modalities, then a feed-forward layer."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        self.block = ModalityBlock(config, has_context=False)

    def forward(self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """Updates the tokens of all modalities, (B, L_all, H)."""
        return self.block(hidden_states, None, attention_mask, None)


class MergedAttentionFusion(TokenFusion):
    """All tokens in one sequence, marked by modality, through one self-attention (as in ViLT, Kim et al. 2021)."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__(config, modalities, MergedAttentionLayer)
        self.modality_embedding = nn.Embedding(len(modalities), config.hidden_size)

    def fuse(
        self, tokens: Sequence[torch.Tensor], masks: Sequence[torch.Tensor], present: torch.Tensor
    ) -> torch.Tensor:
        """Fuses the tokens."""
        marks = self.modality_embedding.weight
        hidden_states = torch.cat([x + marks[i] for i, x in enumerate(tokens)], dim=1)
        mask = self.attention_mask(hidden_states, hidden_states, torch.cat(list(masks), dim=1))
        for layer in self.layers:
            hidden_states = layer(hidden_states, mask)
        return hidden_states


class BottleneckLayer(FusionLayer):
    """Every modality attends to itself and to shared tokens; each leaves its mark on these, and the marks are averaged.

    Modalities that are absent leave none.
    """

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({m: ModalityBlock(config, has_context=False) for m in modalities})

    def forward(
        self,
        hidden_states: torch.Tensor,
        shared: torch.Tensor,
        lengths: Sequence[int],
        masks: Sequence[torch.Tensor | None],
        present: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Updates the tokens of all modalities, (B, L_all, H), and the shared ones, (B, N, H)."""
        parts = hidden_states.split(list(lengths), dim=1)
        updated, marks = [], []
        for part, length, block, mask in zip(parts, lengths, self.blocks.values(), masks, strict=True):
            both = block(torch.cat([part, shared], dim=1), None, mask, None)
            updated.append(both[:, :length])
            marks.append(both[:, length:].flatten(1))
        return torch.cat(updated, dim=1), masked_mean(torch.stack(marks, dim=1), present).view_as(shared)


class BottleneckFusion(TokenFusion):
    """A few shared tokens carry all exchange between the modalities (MBT, Nagrani et al. 2021)."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__(config, modalities, BottleneckLayer)
        self.shared_tokens = nn.Parameter(torch.zeros(1, config.num_bottleneck_tokens, config.hidden_size))

    def init_own_parameters(self, std: float) -> None:
        """Draws the shared tokens; small ones would all become the same mean of what they attend to."""
        init.normal_(self.shared_tokens, mean=0.0, std=POSITION_STD)

    def fuse(
        self, tokens: Sequence[torch.Tensor], masks: Sequence[torch.Tensor], present: torch.Tensor
    ) -> torch.Tensor:
        """Fuses the tokens."""
        shared = self.shared_tokens.expand(tokens[0].shape[0], -1, -1)
        everything = torch.ones(shared.shape[:2], dtype=torch.bool, device=shared.device)
        attention_masks = []
        for part, mask in zip(tokens, masks, strict=True):
            both = torch.cat([part, shared], dim=1)
            attention_masks.append(self.attention_mask(both, both, torch.cat([mask, everything], dim=1)))
        lengths = [x.shape[1] for x in tokens]
        hidden_states = torch.cat(list(tokens), dim=1)
        for layer in self.layers:
            hidden_states, shared = layer(hidden_states, shared, lengths, attention_masks, present)
        return hidden_states


# keys: configuration_multimodal.FUSIONS
FUSION_CLASSES: dict[str, type[nn.Module]] = {
    "cross_attention": CrossAttentionFusion,
    "merged_attention": MergedAttentionFusion,
    "bottleneck": BottleneckFusion,
    "concat": ConcatFusion,
    "mean": MeanFusion,
    "weighted": WeightedFusion,
    "decision": DecisionFusion,
}
# The layers that must not be split over devices, of the fusions that have any.
FUSION_LAYERS = {
    "cross_attention": CrossAttentionLayer,
    "merged_attention": MergedAttentionLayer,
    "bottleneck": BottleneckLayer,
}

__all__ = ["FUSION_CLASSES", "FUSION_LAYERS", "FusionAttention", "FusionLayer"]
