# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Pictures and spectrograms in patches: hiding some, and drawing all of them again from fused tokens.

Shapes: B rows, C channels, P patches of a picture, S side of a patch, L tokens, H width.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask

from .modeling_fusion import ModalityBlock
from .modeling_tower_base import POSITION_STD, sincos_position_2d

_LAYERS = 2


def patch_grid(pixels: torch.Tensor, patch_size: int) -> tuple[int, int]:
    """Returns the rows and columns of patches of pictures (B, C, height, width); the last ones may hang over."""
    height, width = pixels.shape[-2:]
    return -(-height // patch_size), -(-width // patch_size)


def to_patches(pixels: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Cuts pictures (B, C, height, width) into patches (B, P, C * S * S), rows of the grid one after another.

    What hangs over at the lower and the right edge is filled with zeros, as with the 101 frames of a spectrogram.
    """
    batch, channels, height, width = pixels.shape
    rows, columns = patch_grid(pixels, patch_size)
    filled = nn.functional.pad(pixels, (0, columns * patch_size - width, 0, rows * patch_size - height))
    cut = filled.reshape(batch, channels, rows, patch_size, columns, patch_size)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)


def from_patches(patches: torch.Tensor, grid: tuple[int, int], patch_size: int) -> torch.Tensor:
    """Puts patches (B, P, C * S * S) back together: (B, C, height, width)."""
    rows, columns = grid
    cut = patches.reshape(len(patches), rows, columns, -1, patch_size, patch_size)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), -1, rows * patch_size, columns * patch_size)


def hide_patches(pixels: torch.Tensor, hidden: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Blanks patches.

    Args:
        pixels: (B, C, height, width); zero is the mean, as the processor normalises.
        hidden: (B, P) bool, True = blank it.
        patch_size: S.
    """
    grid = patch_grid(pixels, patch_size)
    shown = (~hidden).view(-1, 1, *grid).to(pixels.dtype)
    enlarged = shown.repeat_interleave(patch_size, dim=2).repeat_interleave(patch_size, dim=3)
    return pixels * enlarged[:, :, : pixels.shape[2], : pixels.shape[3]]


def reconstruction_loss(predicted: torch.Tensor, patches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the hidden patches (MAE, He et al. 2022), of all where a row hides none.

    Without hidden patches it is the autoencoder's, the mean of the squares in x - g(f(x)).

    Args:
        predicted: (B, P, C * S * S).
        patches: (B, P, C * S * S) of the picture itself.
        hidden: (B, P) bool, True = not shown to the model.
    """
    errors = (predicted.float() - patches.float()).square().mean(-1)  # (B, P)
    counted = hidden | ~hidden.any(dim=1, keepdim=True)
    return ((errors * counted).sum(1) / counted.sum(1)).mean()


class PatchDecoder(nn.Module):
    """Draws every patch of a picture: a query for each place attends to the fused tokens of all modalities."""

    def __init__(self, config: PreTrainedConfig, channels: int) -> None:
        super().__init__()
        self.config, size = config, config.hidden_size
        self.query = nn.Parameter(torch.zeros(1, 1, size))
        self.layers = nn.ModuleList([ModalityBlock(config, has_context=True) for _ in range(_LAYERS)])
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.out_proj = nn.Linear(size, channels * config.reconstruction_patch_size**2)

    def init_own_parameters(self, std: float) -> None:
        """Draws the query as large as the positions beside it."""
        init.normal_(self.query, mean=0.0, std=POSITION_STD)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Draws patches.

        Args:
            tokens: (B, L, H) fused tokens.
            mask: (B, L) 1 = real token.
            grid: Rows and columns of patches.

        Returns:
            (B, P, C * S * S).
        """
        places = sincos_position_2d(
            *grid,
            tokens.shape[2],
            temperature=float(self.config.position_temperature),
            device=tokens.device,
            dtype=tokens.dtype,
        )
        drawn = (self.query + places).expand(tokens.shape[0], -1, -1)
        cross_mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=drawn, attention_mask=mask, encoder_hidden_states=tokens
        )
        for layer in self.layers:
            drawn = layer(drawn, tokens, None, cross_mask)
        return self.out_proj(self.norm(drawn))


__all__ = [
    "PatchDecoder",
    "from_patches",
    "hide_patches",
    "patch_grid",
    "reconstruction_loss",
    "to_patches",
]
