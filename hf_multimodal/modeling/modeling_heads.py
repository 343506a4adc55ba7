# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Task heads over the pooled vector. Shapes: B rows, H width, C labels."""

import torch
from torch import nn


class ClassificationHead(nn.Module):
    """Dropout and one linear layer: (B, H) -> (B, C)."""

    def __init__(self, hidden_size: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_size, num_labels)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Scores each label."""
        return self.out_proj(self.dropout(pooled))


class AnswerHead(nn.Module):
    """A two-layer scorer over an answer set, as in ViLT (Kim et al. 2021): (B, H) -> (B, C)."""

    def __init__(self, hidden_size: int, num_labels: int, dropout: float, layer_norm_eps: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(hidden_size, 2 * hidden_size),
            nn.LayerNorm(2 * hidden_size, eps=layer_norm_eps),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * hidden_size, num_labels),
        )

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Scores each answer."""
        return self.layers(pooled)


class TokenHead(nn.Module):
    """Guesses tokens, as BERT's masked language head (Devlin et al. 2019): (B, L, H) -> (B, L, vocabulary)."""

    def __init__(self, hidden_size: int, vocab_size: int, layer_norm_eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation = nn.GELU()
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.out_proj = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores each token of the vocabulary."""
        return self.out_proj(self.norm(self.activation(self.dense(tokens))))


class DecisionHead(nn.Module):
    """A head per modality, whose decisions are added with the fusion's weights.

    Args:
        heads: Modality -> head from (B, H) to (B, C).
    """

    def __init__(self, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(heads)

    def forward(self, modality_embeds: torch.Tensor, modality_weights: torch.Tensor) -> torch.Tensor:
        """Scores from each modality's vector (B, M, H) and weight (B, M)."""
        logits = torch.stack([head(modality_embeds[:, i]) for i, head in enumerate(self.heads.values())], dim=1)
        return (modality_weights.unsqueeze(-1) * logits).sum(1)


__all__ = ["AnswerHead", "ClassificationHead", "DecisionHead", "TokenHead"]
