# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The tower of sensor series and table rows.

Shapes: B rows, T steps, C channels, P patches, K categorical columns, W backbone width, H common width.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .modeling_tower_base import POSITION_STD, Tower, required_inputs


class SeriesTower(Tower):
    """Any Hugging Face encoder of series in patches (PatchTST, PatchTSMixer), or the built-in one; and categories."""

    modality = "series"

    def __init__(self, backbone: PreTrainedModel, config: PreTrainedConfig) -> None:
        if "past_values" not in set(required_inputs(backbone, set())) or required_inputs(backbone, {"past_values"}):
            raise ValueError(
                f"{type(backbone).__name__} does not read plain series (past_values alone): give patchtst, "
                "patchtsmixer, or the built-in patch_series."
            )
        super().__init__(backbone, config)
        self.channel_embedding = nn.Embedding(backbone.config.num_input_channels, config.hidden_size)
        # index 0 is the bucket of what is unknown: missing, or never seen in training
        self.category_embeddings = nn.ModuleList(
            [nn.Embedding(1 + size, config.hidden_size) for size in config.category_sizes or ()]
        )

    def init_own_parameters(self, std: float) -> None:
        """Draws the absent-modality token, the marks of the channels, and the categories."""
        super().init_own_parameters(std)
        for embedding in (self.channel_embedding, *self.category_embeddings):
            init.normal_(embedding.weight, mean=0.0, std=POSITION_STD)

    def encode(  # type: ignore[override]
        self,
        series_values: torch.Tensor,
        series_mask: torch.Tensor | None = None,
        series_categories: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes series (B, T, C) into tokens (B, C * P + K, H), channel by channel.

        Args:
            series_values: (B, T, C).
            series_mask: (B, T, C) 1 = known; None = all are.
            series_categories: (B, K) index of each categorical column's value, 0 = unknown.

        Raises:
            ValueError: if there are other categorical columns than the configuration says.
        """
        values = series_values.to(self.backbone.dtype)
        known = torch.ones_like(values) if series_mask is None else series_mask.to(values.dtype)
        values = values.masked_fill(known == 0, 0)  # not a product: what is unknown may be NaN
        name = "past_observed_mask" if "past_observed_mask" in self.accepted else "observed_mask"
        features = self.backbone(past_values=values, **{name: known}, return_dict=True).last_hidden_state
        tokens = self.projection(self.norm(features))  # (B, C, P, H)
        tokens = tokens + self.channel_embedding.weight[None, :, None].to(tokens.dtype)
        real = self._known_patches(known.bool(), tokens.shape[2])
        parts, masks = [tokens.flatten(1, 2)], [real.flatten(1)]
        given = 0 if series_categories is None else series_categories.shape[1]
        if given != len(self.category_embeddings):
            raise ValueError(f"Got {given} categorical columns, the model has {len(self.category_embeddings)}.")
        if series_categories is not None and given:
            embedded = [embed(series_categories[:, i]) for i, embed in enumerate(self.category_embeddings)]
            parts.append(torch.stack(embedded, dim=1).to(tokens.dtype))
            masks.append(torch.ones_like(series_categories, dtype=torch.bool))
        mask = torch.cat(masks, dim=1)
        # a row without any known value has something to attend to all the same: attending to nothing yields NaN
        is_first = torch.arange(mask.shape[1], device=mask.device) == 0
        return torch.cat(parts, dim=1), mask | (~mask.any(dim=1, keepdim=True) & is_first)

    def _known_patches(self, known: torch.Tensor, count: int) -> torch.Tensor:
        """Says which patches hold a known value: (B, T, C) -> (B, C, P); a class token stands for its channel."""
        config = self.backbone.config
        length, stride = config.patch_length, config.patch_stride
        patches = (known.shape[1] - length) // stride + 1
        start = known.shape[1] - (length + stride * (patches - 1))  # PatchTST leaves out steps that fill no patch
        in_patch = known[:, start:].unfold(1, length, stride).any(-1).transpose(1, 2)  # (B, C, P)
        if count == patches + 1:
            in_patch = torch.cat([in_patch.any(-1, keepdim=True), in_patch], dim=-1)
        return in_patch


__all__ = ["SeriesTower"]
