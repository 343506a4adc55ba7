# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The towers that read and listen, and the table of all towers.

Shapes: B rows, L tokens, W backbone width, H common width.
"""

import torch

from .modeling_pretrained_towers import build_backbone, read_features
from .modeling_series_tower import SeriesTower
from .modeling_tower_base import Tower, flatten_features
from .modeling_vision_towers import ImageTower, VideoTower


class TextTower(Tower):
    """Any Hugging Face text encoder, with or without a pooler."""

    modality = "text"

    def encode(  # type: ignore[override]  # of the inputs, each tower names its own
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes token ids (B, L) or their embeddings (B, L, W) into tokens (B, L, H).

        Raises:
            ValueError: if neither is given.
        """
        features, mask = self.read(input_ids, attention_mask, token_type_ids, inputs_embeds)
        return self.projection(self.norm(features)), mask

    def read(  # type: ignore[override]
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Runs the encoder: its last hidden states (B, L, W) and their mask (B, L); those given as `inputs_embeds`."""
        source = inputs_embeds if input_ids is None else input_ids
        if source is None:
            raise ValueError("The text tower got neither input_ids nor inputs_embeds: give one of them.")
        if attention_mask is None:
            attention_mask = torch.ones(source.shape[:2], dtype=torch.long, device=source.device)
        attention_mask = _attend_to_something(attention_mask)
        if self.reads_features:
            return source.to(self.backbone.dtype), attention_mask.bool()
        optional = {"token_type_ids": token_type_ids, "inputs_embeds": inputs_embeds, "use_cache": False}
        kwargs = {k: v for k, v in optional.items() if v is not None and k in self.accepted}
        outputs = self.backbone(
            input_ids=input_ids, attention_mask=attention_mask, output_attentions=False, return_dict=True, **kwargs
        )
        return outputs.last_hidden_state, attention_mask.bool()


def _attend_to_something(attention_mask: torch.Tensor) -> torch.Tensor:
    """Opens the first token of rows without any (an absent or empty text): attending to nothing yields NaN."""
    is_empty = ~attention_mask.bool().any(dim=1, keepdim=True)
    is_first = torch.arange(attention_mask.shape[1], device=attention_mask.device) == 0
    return attention_mask.masked_fill(is_empty & is_first[None, :], 1)


class AudioTower(Tower):
    """Any Hugging Face audio encoder, or any timm backbone over spectrograms of one channel."""

    modality = "audio"

    def encode(  # type: ignore[override]
        self, audio_values: torch.Tensor, audio_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes what the encoder's own processor makes into tokens (B, L, H).

        Args:
            audio_values: (B, 1, bands, frames) for timm, else (B, samples), (B, bands, frames) or (B, frames, bands).
            audio_mask: (B, samples) or (B, frames) 1 = real; None = all of it.
        """
        features, mask = self.read(audio_values, audio_mask)
        return self.project(features), mask

    def read(  # type: ignore[override]
        self, audio_values: torch.Tensor, audio_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Runs the encoder: its features, (B, L, W) or a map of L cells, and which of them are of real sound (B, L)."""
        values, kwargs = audio_values.to(self.backbone.dtype), {}
        if self.reads_features:
            return values, self._all_real(values) if audio_mask is None else audio_mask.bool()
        if audio_mask is not None and "attention_mask" in self.accepted:
            kwargs["attention_mask"] = audio_mask
        outputs = self.backbone(
            **{self.backbone.main_input_name: values}, output_attentions=False, return_dict=True, **kwargs
        )
        features = read_features(outputs)
        real = self._all_real(features)
        return features, real if audio_mask is None else self._token_mask(audio_mask, real.shape[1])

    def _all_real(self, features: torch.Tensor) -> torch.Tensor:
        shape = flatten_features(features, self.width, self.channels_last)[0].shape[:2]
        return torch.ones(shape, dtype=torch.bool, device=features.device)

    def _token_mask(self, audio_mask: torch.Tensor, length: int) -> torch.Tensor:
        """Which of the encoder's tokens come from real sound: (B, T) -> (B, length); the first one always does."""
        lengths = audio_mask.long().sum(1)
        count = getattr(self.backbone, "_get_feat_extract_output_lengths", None)  # of encoders that convolve samples
        real = count(lengths) if count is not None else torch.ceil(lengths * length / audio_mask.shape[1]).long()
        return torch.arange(length, device=audio_mask.device)[None, :] < real.clamp(min=1)[:, None]


# keys: configuration_multimodal.MODALITIES
TOWER_CLASSES: dict[str, type[Tower]] = {
    tower.modality: tower for tower in (TextTower, ImageTower, AudioTower, VideoTower, SeriesTower)
}

__all__ = [
    "TOWER_CLASSES",
    "AudioTower",
    "ImageTower",
    "SeriesTower",
    "TextTower",
    "Tower",
    "VideoTower",
    "build_backbone",
]
