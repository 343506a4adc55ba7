# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model that learns from rows without labels, before a task with few.

Shapes: B rows, L tokens of the text, P patches of a picture, D embedding width, H width.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)
from transformers.utils import ModelOutput
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_multimodal import TOKEN_FUSIONS, TOWER_INPUTS, MultimodalConfig, check_known
from .modeling_heads import ClassificationHead, TokenHead
from .modeling_losses import NO_LABEL
from .modeling_outputs import MultimodalModelOutput, MultimodalPreTrainingOutput, TowerOutput
from .modeling_reconstruction import PatchDecoder, hide_patches, patch_grid, reconstruction_loss, to_patches
from .modeling_retrieval import MultimodalForRetrieval

# Modality -> channels of what is drawn again.
CHANNELS = {"image": 3, "audio": 1}


def is_drawn(config: MultimodalConfig, modality: str) -> bool:
    """Whether a modality's input can be drawn again: pictures, and the spectrograms of a timm backbone."""
    is_picture = modality != "audio" or config.tower_config("audio").model_type == "timm_wrapper"
    return modality in CHANNELS and is_picture


class MultimodalForPreTraining(MultimodalForRetrieval):
    """Objectives without labels, weighted by `config.pretraining_objectives`, over the same towers and fusion.

    `masked_language` guesses hidden tokens from the others and the other modalities (BERT, Devlin et al. 2019);
    `reconstruction` draws pictures and spectrograms again, whose patches are partly hidden (MAE, He et al. 2022) or not
    at all (an autoencoder); `contrastive` and `matching` are those of `MultimodalForRetrieval`. All of them see the row
    with its parts hidden.

    `labels` say what is hidden, see `forward`; `MaskingSchema` and the collator make them.
    """

    output_class: type[ModelOutput] = MultimodalPreTrainingOutput
    matches_items = False
    learns_unlabelled = True

    def __init__(self, config: MultimodalConfig) -> None:
        if not config.pretraining_objectives:
            raise ValueError(
                "MultimodalForPreTraining needs objectives: pretraining_objectives={'masked_language': 1.0, …}."
            )
        if "reconstruction" in config.pretraining_objectives and not any(
            is_drawn(config, m) for m in config.modalities
        ):
            raise ValueError(
                "The objective 'reconstruction' draws pictures and the spectrograms of a timm backbone, and this model "
                f"reads neither ({', '.join(config.modalities)}): leave it out, or give another tower."
            )
        reads_alone = config.fusion not in TOKEN_FUSIONS and len(config.modalities) > 1
        if "masked_language" in config.pretraining_objectives and reads_alone:
            raise ValueError(
                f"Under fusion={config.fusion!r} the text's tokens never meet the other modalities, so masked_language "
                f"would not be conditioned on them: take one of {', '.join(TOKEN_FUSIONS)}."
            )
        super().__init__(config)

    def check_modalities(self, config: MultimodalConfig) -> None:
        """Refuses objectives of pairs for anything but two modalities."""
        if config.has_pair_objective:
            super().check_modalities(config)

    def build_head(self, config: MultimodalConfig, dropout: float) -> nn.Module:
        """Builds what each objective needs; named so that no other model takes it for its own head."""
        heads = nn.ModuleDict()
        objectives: Any = config.pretraining_objectives
        if config.has_pair_objective:
            self.build_embedding_heads(config)
        if "matching" in objectives:
            heads["matching"] = self.per_modality(config, lambda: ClassificationHead(config.hidden_size, 1, dropout))
        if "masked_language" in objectives:
            text: Any = config.text_config
            heads["masked_language"] = TokenHead(config.hidden_size, text.vocab_size, config.layer_norm_eps)
        if "reconstruction" in objectives:
            drawn = [m for m in config.modalities if is_drawn(config, m)]
            heads["reconstruction"] = nn.ModuleDict({m: PatchDecoder(config, CHANNELS[m]) for m in drawn})
        return heads

    def init_own_parameters(self, std: float) -> None:
        """Sets temperature and bias to where their objective starts, where there are any."""
        if self.config.has_pair_objective:
            super().init_own_parameters(std)

    @property
    def match_head(self) -> nn.Module:
        """The head that tells a pair from a near miss."""
        return self.head["matching"]  # type: ignore[index]

    @property
    def trains_fusion(self) -> bool:
        """Always: every objective sees the fused row."""
        return True

    @merge_with_config_defaults
    @capture_outputs
    def run(
        self,
        inputs: dict[str, Any],
        labels: Mapping[str, torch.Tensor] | None = None,
        **kwargs: Any,  # noqa: ANN401 (output_* flags, read by the decorators)
    ) -> ModelOutput:
        """Computes the objectives' losses; without labels it draws whole pictures and embeds the rows.

        Args:
            inputs: As `MultimodalModel.forward` takes them, hidden tokens in their places.
            labels: `masked_language`: (B, L) long, the hidden tokens, -100 elsewhere; `image`, `audio`: (B, P) bool,
                True = to hide; `items`: (B,) long, see `MultimodalForRetrieval`. What is left out has no loss.
            **kwargs: `output_hidden_states`, `output_attentions`.

        Raises:
            ValueError: if labels name something else.
        """
        hidden = dict(labels or {})
        for name in hidden:
            check_known("label of pretraining", name, ("masked_language", "items", *CHANNELS))
        shown, size = dict(inputs), self.config.reconstruction_patch_size
        for modality in CHANNELS.keys() & hidden.keys():
            if inputs.get(TOWER_INPUTS[modality][0]) is None:
                continue
            name = TOWER_INPUTS[modality][0]
            shown[name] = hide_patches(inputs[name], hidden[modality], size)
        towers = self.model.encode(shown, inputs.get("modality_mask"))
        fused = self.model.fuse(towers)
        embeds = self.embed(towers) if self.config.has_pair_objective else None
        drawn = self._draw(fused, inputs)
        if labels is None:
            return MultimodalPreTrainingOutput(embeds=embeds, reconstructions=drawn)
        losses = self._hidden_losses(fused, towers, drawn, inputs, hidden)
        if embeds is not None and "items" in hidden:
            contrastive, match = self.pair_losses(towers, embeds, hidden["items"], "matching" in self._weights)
            losses.update(
                {"contrastive": contrastive} if match is None else {"contrastive": contrastive, "matching": match}
            )
        # DDP waits for a gradient of every parameter, the pooled vector's and those of idle heads too
        total = 0.0 * (fused.pooler_output.sum() + sum(p.sum() for p in self.head.parameters()))
        total = total + sum(self._weights.get(name, 0.0) * loss for name, loss in losses.items())
        parts = {name: loss.detach() for name, loss in losses.items()}
        return MultimodalPreTrainingOutput(loss=total, objective_losses=parts, embeds=embeds)

    @property
    def _weights(self) -> dict[str, float]:
        weights: Any = self.config.pretraining_objectives
        return weights

    def _draw(self, fused: MultimodalModelOutput, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Draws the patches of every picture and spectrogram given: modality -> (B, P, C * S * S)."""
        decoders: Any = self.head["reconstruction"] if "reconstruction" in self._weights else {}  # type: ignore[index]
        drawn = {}
        for modality, decoder in decoders.items():
            pixels = inputs.get(TOWER_INPUTS[modality][0])
            if pixels is not None:
                grid = patch_grid(pixels, self.config.reconstruction_patch_size)
                drawn[modality] = decoder(fused.last_hidden_state, fused.token_mask, grid)
        return drawn

    def _hidden_losses(
        self,
        fused: MultimodalModelOutput,
        towers: Mapping[str, TowerOutput],
        drawn: Mapping[str, torch.Tensor],
        inputs: Mapping[str, Any],
        hidden: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        losses = {}
        if "masked_language" in self._weights and "masked_language" in hidden:
            text: Any = fused.last_hidden_state[:, : towers["text"].tokens.shape[1]]  # type: ignore[index]  # it is first
            logits = self.head["masked_language"](text)  # type: ignore[index]
            targets, present = hidden["masked_language"], towers["text"].present
            if present is not None:  # nothing can be guessed of a text that the model did not get
                targets = targets.masked_fill(~present[:, None], NO_LABEL)
            summed = F.cross_entropy(
                logits.float().flatten(0, 1), targets.flatten(), ignore_index=NO_LABEL, reduction="sum"
            )
            losses["masked_language"] = summed / (targets != NO_LABEL).sum().clamp(min=1)
        errors = []
        for modality, patches in drawn.items():
            if modality in hidden:
                present = towers[modality].present
                rows = slice(None) if present is None else present
                pixels = to_patches(inputs[TOWER_INPUTS[modality][0]], self.config.reconstruction_patch_size)
                if patches[rows].shape[0]:
                    errors.append(reconstruction_loss(patches[rows], pixels[rows], hidden[modality][rows]))
        if errors:
            losses["reconstruction"] = sum(errors) / len(errors)  # type: ignore[assignment]
        return losses


__all__ = ["CHANNELS", "MultimodalForPreTraining", "is_drawn"]
