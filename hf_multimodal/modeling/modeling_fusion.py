# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Fusion strategies: the towers' tokens in, fused tokens and one pooled vector out.

Shapes: B rows, M modalities, L tokens of one modality, L_all tokens of all, H width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .modeling_outputs import FusionOutput, TowerOutput


def masked_mean(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the real tokens of each row: (B, L, H), (B, L) bool -> (B, H)."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


def eager_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention written out, with its weights (the interface's eager function).

    Args:
        module: The attention module (for its training mode).
        query: (B, heads, L, head width).
        key: (B, heads, L_context, head width).
        value: (B, heads, L_context, head width).
        attention_mask: Added to the scores, (B, 1, L, L_context).
        scaling: Factor on the scores.
        dropout: Dropout probability on the weights.
        **kwargs: What other attention functions of the interface take.

    Returns:
        The (B, L, heads, head width) output and the (B, heads, L, L_context) weights.
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class FusionAttention(nn.Module):
    """Multi-head attention through transformers' attention interface, over itself or over a context.

    Args:
        config: Read at call time for `_attn_implementation` only, as in every transformers attention.
        hidden_size: H.
        num_heads: Number of heads.
        dropout: Dropout probability on the weights.
    """

    def __init__(self, config: PreTrainedConfig, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.config = config
        self.head_dim = hidden_size // num_heads
        self.scaling = self.head_dim**-0.5
        self.dropout = dropout
        self.is_causal = False
        # separate projections, so that LoRA can take each by name
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.o_proj = nn.Linear(hidden_size, hidden_size)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)  # (B, L, H) -> (B, heads, L, head width)

    def forward(
        self, hidden_states: torch.Tensor, context: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attends from (B, L, H) to a context (B, L_context, H); returns (B, L, H) and the weights if eager."""
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        output, weights = attend(
            self,
            self._heads(self.q_proj(hidden_states)),
            self._heads(self.k_proj(context)),
            self._heads(self.v_proj(context)),
            attention_mask,
            dropout=self.dropout if self.training else 0.0,
            scaling=self.scaling,
        )
        return self.o_proj(output.reshape(hidden_states.shape).contiguous()), weights


class ResidualGate(nn.Module):
    """A residual branch scaled by tanh of a learned number that starts at zero (Flamingo, Alayrac et al. 2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))  # shape (1,): FSDP2 refuses scalars

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Scales a branch of any shape."""
        return self.alpha.tanh() * branch


class GatedMLP(nn.Module):
    """Feed-forward layer with a gate, W3 (act(W1 x) * W2 x) (GLU variants, Shazeer 2020).

    The product compares what two modalities put into x (is the colour named the colour seen?), which a plain
    feed-forward layer learns an order of magnitude more slowly.
    """

    def __init__(self, in_features: int, intermediate_size: int, out_features: int, activation: str) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(in_features, intermediate_size)
        self.up_proj = nn.Linear(in_features, intermediate_size)
        self.down_proj = nn.Linear(intermediate_size, out_features)
        self.activation = ACT2FN[activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


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


class CrossAttentionLayer(GradientCheckpointingLayer):
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


class CrossAttentionFusion(nn.Module):
    """Every modality's tokens attend to all the others', layer by layer."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList([CrossAttentionLayer(config, modalities) for _ in range(config.num_hidden_layers)])
        self.norms = nn.ModuleDict({m: nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) for m in modalities})
        self.pooler = JointPooler(config, modalities)

    def _masks(self, tokens: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> tuple[list, list]:
        """Attention masks for the whole forward pass: each modality over itself, and over all the others."""

        def mask_over(query: torch.Tensor, context: torch.Tensor | None, mask: torch.Tensor | None) -> object:
            if context is None:
                return None
            return create_bidirectional_mask(
                config=self.config, inputs_embeds=query, attention_mask=mask, encoder_hidden_states=context
            )

        indices = range(len(tokens))
        self_masks = [mask_over(tokens[i], tokens[i], masks[i]) for i in indices]
        return self_masks, [mask_over(tokens[i], _others(tokens, i), _others(masks, i)) for i in indices]

    def forward(self, towers: Mapping[str, TowerOutput]) -> FusionOutput:
        """Fuses the towers' tokens."""
        tokens = [tower.tokens for tower in towers.values()]
        masks = [tower.mask for tower in towers.values()]
        lengths = [x.shape[1] for x in tokens]
        self_masks, cross_masks = self._masks(tokens, masks)
        hidden_states = torch.cat(tokens, dim=1)  # (B, L_all, H)
        for layer in self.layers:
            hidden_states = layer(hidden_states, lengths, self_masks, cross_masks)
        fused = {m: self.norms[m](x) for m, x in zip(towers, hidden_states.split(lengths, dim=1), strict=True)}
        embeds = torch.stack([masked_mean(fused[m], towers[m].mask) for m in towers], dim=1)
        return FusionOutput(tokens=fused, modality_embeds=embeds, pooled=self.pooler(embeds))


class ConcatFusion(nn.Module):
    """Late fusion baseline: each modality's mean token, side by side, through one hidden layer."""

    def __init__(self, config: PreTrainedConfig, modalities: Sequence[str]) -> None:
        super().__init__()
        self.pooler = JointPooler(config, modalities)

    def forward(self, towers: Mapping[str, TowerOutput]) -> FusionOutput:
        """Fuses the towers' mean tokens; the tokens themselves pass through."""
        embeds = torch.stack([masked_mean(tower.tokens, tower.mask) for tower in towers.values()], dim=1)
        tokens = {m: tower.tokens for m, tower in towers.items()}
        return FusionOutput(tokens=tokens, modality_embeds=embeds, pooled=self.pooler(embeds))


# keys: configuration_multimodal.FUSIONS
FUSION_CLASSES: dict[str, type[nn.Module]] = {"cross_attention": CrossAttentionFusion, "concat": ConcatFusion}

__all__ = ["FUSION_CLASSES", "CrossAttentionLayer", "FusionAttention", "ResidualGate"]
