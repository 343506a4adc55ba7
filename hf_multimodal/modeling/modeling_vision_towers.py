# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Towers that see: pictures, and clips as pictures in time.

Shapes: B rows, T frames, L tokens of a picture, H common width.
"""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .modeling_attention import FusionAttention, GatedMLP
from .modeling_pretrained_towers import read_features
from .modeling_tower_base import POSITION_STD, Tower, required_inputs


def prefers_channels_last(backbone: nn.Module) -> bool:
    """Whether a backbone runs faster on CPUs with the channels last: at least half of its convolutions are light ones.

    Light are those over single pixels and over single channels, as in MobileNets and bottlenecks: they then take 0.6 to
    0.75 of the time; the plain 3x3 convolutions of a ResNet-18 take 1.1 (oneDNN, PyTorch 2.14, AMD EPYC).
    """
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    light = [x for x in convolutions if x.kernel_size == (1, 1) or x.groups == x.in_channels > 1]
    return bool(convolutions) and 2 * len(light) >= len(convolutions)


class ImageTower(Tower):
    """Any timm backbone or Hugging Face vision model; feature maps get a fixed 2-D position embedding."""

    modality = "image"

    def __init__(self, backbone: PreTrainedModel, config: PreTrainedConfig) -> None:
        if needed := required_inputs(backbone, {"pixel_values"}):
            raise ValueError(
                f"{type(backbone).__name__} reads no plain pictures: beside pixel_values it needs {', '.join(needed)}. "
                "Give another vision model."
            )
        super().__init__(backbone, config)
        self.prefers_channels_last = prefers_channels_last(backbone)

    def _backbone_kwargs(self, pixel_values: torch.Tensor) -> dict[str, Any]:
        kwargs: dict[str, Any] = {"do_pooling": False} if "do_pooling" in self.accepted else {}
        trained_size = getattr(self.backbone.config, "image_size", None)
        if "interpolate_pos_encoding" in self.accepted and isinstance(trained_size, int):
            kwargs["interpolate_pos_encoding"] = tuple(pixel_values.shape[-2:]) != (trained_size, trained_size)
        return kwargs

    def encode_pictures(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Encodes pixels (N, 3, height, width) into tokens (N, L, H)."""
        return self.project(self._features(pixel_values))

    def _features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        pixel_values = pixel_values.to(self.backbone.dtype)
        if self.reads_features:
            return pixel_values
        is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if self.prefers_channels_last and pixel_values.device.type == "cpu" and not is_traced:
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        outputs = self.backbone(
            pixel_values=pixel_values,
            output_attentions=False,
            return_dict=True,
            **self._backbone_kwargs(pixel_values),
        )
        return read_features(outputs)

    def read(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """Runs the backbone: its features of pixels (B, 3, height, width), and a mask (B, 1): all of them are real."""
        features = self._features(pixel_values)
        return features, torch.ones(len(features), 1, dtype=torch.bool, device=features.device)

    def encode(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """Encodes pixels (B, 3, height, width) into tokens (B, L, H)."""
        tokens = self.encode_pictures(pixel_values)
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


class TemporalLayer(nn.Module):
    """Self-attention among the tokens of one place through time, then a feed-forward layer (pre-norm).

    The temporal half of divided space-time attention (TimeSformer, Bertasius et al. 2021).
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        size, eps = config.hidden_size, config.layer_norm_eps
        self.attention_norm = nn.LayerNorm(size, eps=eps)
        self.temporal_attention = FusionAttention(
            config, size, config.num_attention_heads, config.attention_probs_dropout_prob
        )
        self.mlp_norm = nn.LayerNorm(size, eps=eps)
        self.mlp = GatedMLP(size, config.intermediate_size, size, config.hidden_act)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Updates tokens (N, T, H)."""
        normed = self.attention_norm(hidden_states)
        hidden_states = hidden_states + self.dropout(self.temporal_attention(normed, normed, None)[0])
        return hidden_states + self.dropout(self.mlp(self.mlp_norm(hidden_states)))


class VideoTower(ImageTower):
    """Any image tower, frame by frame, with learned temporal positions and optional attention through time."""

    modality = "video"

    def __init__(self, backbone: PreTrainedModel, config: PreTrainedConfig) -> None:
        super().__init__(backbone, config)
        self.pool_frames = config.pool_frames
        self.frame_positions = nn.Embedding(config.num_frames, config.hidden_size)
        self.temporal_layers = nn.ModuleList([TemporalLayer(config) for _ in range(config.num_temporal_layers)])

    def init_own_parameters(self, std: float) -> None:
        """Draws the absent-modality token and the positions in time."""
        super().init_own_parameters(std)
        init.normal_(self.frame_positions.weight, mean=0.0, std=POSITION_STD)

    def read(self, pixel_values_videos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """Runs the backbone on clips (B, T, 3, height, width): frames' features (B, T, ...), and a mask (B, T)."""
        rows, frames = pixel_values_videos.shape[:2]
        features = self._features(pixel_values_videos.flatten(0, 1)).unflatten(0, (rows, frames))
        return features, torch.ones(rows, frames, dtype=torch.bool, device=features.device)

    def encode(self, pixel_values_videos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """Encodes clips (B, T, 3, height, width) into tokens (B, T * L, H), or (B, T, H) where frames are pooled.

        Raises:
            ValueError: if the clips have another number of frames than the configuration says.
        """
        rows, frames = pixel_values_videos.shape[:2]
        positions = self.frame_positions.weight
        if frames != len(positions):
            raise ValueError(
                f"The clips have {frames} frames, the model's configuration says num_frames={len(positions)}."
            )
        tokens = self.encode_pictures(pixel_values_videos.flatten(0, 1))  # (B * T, L, H)
        if self.pool_frames:
            tokens = tokens.mean(1, keepdim=True)
        places, width = tokens.shape[1:]
        tokens = tokens.view(rows, frames, places, width) + positions[None, :, None].to(tokens.dtype)
        tokens = tokens.transpose(1, 2).reshape(rows * places, frames, width)
        for layer in self.temporal_layers:
            tokens = layer(tokens)
        tokens = tokens.view(rows, places, frames, width).transpose(1, 2).reshape(rows, frames * places, width)
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


__all__ = ["ImageTower", "VideoTower"]
