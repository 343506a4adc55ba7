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


__all__ = ["AnswerHead", "ClassificationHead"]
