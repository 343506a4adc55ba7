# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What the fusions are built of: attention through transformers' interface, gated layers, masked means.

Shapes: B rows, L tokens, H width.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


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

    def init_own_parameters(self, std: float) -> None:
        """Closes the gate."""
        init.zeros_(self.alpha)

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


__all__ = ["FusionAttention", "GatedMLP", "ResidualGate", "eager_attention", "masked_mean"]
