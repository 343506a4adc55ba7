# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The models. `MultimodalModel.forward` reads as the data flows: towers, fusion, pooled vector."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import nn
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_multimodal import TOWER_CONFIG_FIELDS, TOWER_INPUTS, MultimodalConfig, check_known
from .modeling_base import MultimodalPreTrainedModel
from .modeling_fusion import FUSION_CLASSES, FusionAttention, FusionLayer
from .modeling_gradient_cache import encode_in_chunks
from .modeling_heads import AnswerHead, ClassificationHead, DecisionHead
from .modeling_losses import answer_loss, classification_loss, infer_problem_type
from .modeling_outputs import MultimodalClassifierOutput, MultimodalModelOutput, TowerOutput
from .modeling_tower_base import drop_modalities
from .modeling_towers import TOWER_CLASSES, build_backbone


class MultimodalModel(MultimodalPreTrainedModel):
    """Towers and fusion, without a head."""

    _can_record_outputs = {
        "hidden_states": FusionLayer,
        "attentions": OutputRecorder(FusionAttention, index=1, layer_name="self_attention"),
        "cross_attentions": OutputRecorder(FusionAttention, index=1, layer_name="cross_attention"),
    }

    def __init__(self, config: MultimodalConfig) -> None:
        super().__init__(config)
        if not config.modalities:
            raise ValueError(
                "The configuration has no tower: give at least one of " + ", ".join(TOWER_CONFIG_FIELDS.values()) + "."
            )
        # Any: of the values, a ModuleDict's type says no more than that they are modules
        self.towers: Any = nn.ModuleDict(
            {m: TOWER_CLASSES[m](build_backbone(config.tower_config(m)), config) for m in config.modalities}
        )
        self.fusion = FUSION_CLASSES[config.fusion](config, config.modalities)
        self.chunk_size: int | None = None  # of gradient caching, in training
        self.post_init()

    def encode(
        self,
        inputs: Mapping[str, torch.Tensor | None],
        modality_mask: torch.Tensor | None,
        *,
        only_given: bool = False,
    ) -> dict[str, TowerOutput]:
        """Runs every tower on its inputs.

        Args:
            inputs: As `forward` takes them. A modality whose inputs are all None, or not there, is absent.
            modality_mask: (B, M) bool, True = present; None = whatever is given is present.
            only_given: Whether to leave out the towers whose modality is absent from the whole batch.

        Returns:
            modality -> tokens (B, L, H) with their mask, for every tower of the model.

        Raises:
            ValueError: if nothing is given.
        """
        given = {m: {k: x for k in TOWER_INPUTS[m] if (x := inputs.get(k)) is not None} for m in self.towers}
        indices = inputs.get("picture_indices")
        if indices is not None and self.training and self.chunk_size:  # whose chunks are of rows
            given["image"] = {name: x[indices] for name, x in given["image"].items()}
            indices = None
        sizes = [x.shape[0] for m, arguments in given.items() for x in arguments.values() if m != "image"]
        sizes += [x.shape[0] for x in given.get("image", {}).values()] if indices is None else [len(indices)]
        if not sizes:
            raise ValueError(f"Nothing to encode: give the inputs of at least one of {', '.join(self.towers)}.")
        if self.training and self.config.modality_dropout:
            if modality_mask is None:
                modality_mask = torch.tensor([bool(given[m]) for m in self.towers], device=self.device)
                modality_mask = modality_mask.expand(sizes[0], -1)
            rates = [float(self.config.modality_dropout.get(m, 0.0)) for m in self.towers]
            modality_mask = drop_modalities(modality_mask.bool(), rates)
        outputs = {}
        for index, (modality, tower) in enumerate(self.towers.items()):
            present = None if modality_mask is None else modality_mask[:, index].bool()
            if not given[modality]:
                if not only_given:
                    outputs[modality] = tower.absent(sizes[0])
            elif modality == "image" and indices is not None:
                outputs[modality] = tower.forward_distinct(present, indices, **given[modality])
            elif self.training and self.chunk_size:
                outputs[modality] = encode_in_chunks(tower, present, given[modality], self.chunk_size)
            else:
                outputs[modality] = tower(present, **given[modality])
        return outputs

    def fuse(self, towers: Mapping[str, TowerOutput]) -> MultimodalModelOutput:
        """Fuses what the towers have read."""
        fused = self.fusion(towers)
        return MultimodalModelOutput(
            last_hidden_state=torch.cat(list(fused.tokens.values()), dim=1),
            pooler_output=fused.pooled,
            modality_embeds=fused.modality_embeds,
            modality_weights=fused.modality_weights,
            token_mask=torch.cat([tower.mask for tower in towers.values()], dim=1).long(),
        )

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        picture_indices: torch.LongTensor | None = None,
        audio_values: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        series_values: torch.Tensor | None = None,
        series_mask: torch.Tensor | None = None,
        series_categories: torch.LongTensor | None = None,
        modality_mask: torch.Tensor | None = None,
        **kwargs: Any,  # noqa: ANN401 (output_* flags, read by the decorators)
    ) -> MultimodalModelOutput:
        """Encodes and fuses a batch.

        Args:
            input_ids: (B, L) token ids.
            attention_mask: (B, L) 1 = real token.
            token_type_ids: (B, L), for encoders that use them.
            inputs_embeds: (B, L, W) instead of `input_ids`.
            pixel_values: (B, 3, height, width).
            picture_indices: (B,) which of `pixel_values` each row has, where several share one; None = its own.
            audio_values: (B, 1, bands, frames) spectrograms for timm, else as the audio encoder reads them.
            audio_mask: (B, samples) or (B, frames) 1 = real sound.
            pixel_values_videos: (B, T, 3, height, width) frames of clips.
            series_values: (B, T, C) steps of series; (B, 1, C) table rows.
            series_mask: (B, T, C) 1 = known value.
            series_categories: (B, K) index of each categorical column's value, 0 = unknown.
            modality_mask: (B, M) bool in the order of `config.modalities`, True = present. What stands in the tensors
                of an absent modality has no influence.
            **kwargs: `output_hidden_states`, `output_attentions` (eager attention only), `return_dict`.

        Raises:
            ValueError: if nothing is given.
        """
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "inputs_embeds": inputs_embeds,
            "pixel_values": pixel_values,
            "picture_indices": picture_indices,
            "audio_values": audio_values,
            "audio_mask": audio_mask,
            "pixel_values_videos": pixel_values_videos,
            "series_values": series_values,
            "series_mask": series_mask,
            "series_categories": series_categories,
        }
        return self.fuse(self.encode(given, modality_mask))


class MultimodalWithHead(MultimodalPreTrainedModel):
    """A `MultimodalModel` and a head over its pooled vector; subclasses bring head and objective."""

    output_class: type[ModelOutput] = MultimodalClassifierOutput
    matches_items = False  # whether labels are item ids, and what belongs together is to be found
    learns_unlabelled = False  # whether labels are what was hidden of the row itself
    writes_text = False  # whether labels are texts, which `generate` writes

    def __init__(self, config: MultimodalConfig) -> None:
        if config.tasks and self.output_class is MultimodalClassifierOutput:
            raise ValueError(
                f"{type(self).__name__} is for one task, but the configuration has {', '.join(config.task_names)}: use "
                "MultimodalForMultiTask."
            )
        super().__init__(config)
        self.num_labels = cast(int, config.num_labels)  # None only without id2label, which has a default
        self.model = MultimodalModel(config)
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.head = self.build_head(config, float(dropout))
        self.post_init()

    def build_head(self, config: MultimodalConfig, dropout: float) -> nn.Module:
        """Builds the head, or the list of heads."""
        raise NotImplementedError

    def per_modality(self, config: MultimodalConfig, build: Callable[[], nn.Module]) -> nn.Module:
        """Builds a head over the pooled vector, or one over each modality's own where the fusion is of decisions."""
        if config.fusion != "decision":
            return build()
        return DecisionHead({modality: build() for modality in config.modalities})

    def score(self, head: nn.Module, outputs: MultimodalModelOutput) -> torch.Tensor:
        """Runs a head made by `per_modality`: logits (B, C)."""
        if isinstance(head, DecisionHead):
            return head(outputs.modality_embeds, outputs.modality_weights)
        return head(outputs.pooler_output)

    def compute_output(self, outputs: MultimodalModelOutput, labels: Any) -> dict[str, Any]:  # noqa: ANN401
        """Computes `logits`, `loss` (None without labels), and what else the model's output holds of its own."""
        logits = self.score(self.head, outputs)
        return {"loss": None if labels is None else self.compute_loss(logits, labels), "logits": logits}

    def compute_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Computes the objective from logits (B, C) and labels."""
        raise NotImplementedError

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        picture_indices: torch.LongTensor | None = None,
        audio_values: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        series_values: torch.Tensor | None = None,
        series_mask: torch.Tensor | None = None,
        series_categories: torch.LongTensor | None = None,
        modality_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,  # noqa: ANN401 (output_* flags)
    ) -> ModelOutput:
        """Scores the labels of a batch; see `MultimodalModel.forward` for the inputs.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L).
            token_type_ids: (B, L).
            inputs_embeds: (B, L, W).
            pixel_values: (B, 3, height, width).
            picture_indices: (B,) which of `pixel_values` each row has, where several share one; None = its own.
            audio_values: (B, 1, bands, frames) spectrograms for timm, else as the audio encoder reads them.
            audio_mask: (B, samples) or (B, frames) 1 = real sound.
            pixel_values_videos: (B, T, 3, height, width).
            series_values: (B, T, C).
            series_mask: (B, T, C).
            series_categories: (B, K).
            modality_mask: (B, M).
            labels: (B,) or (B, C), see the class's objective; the loss is the mean over the batch.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.
        """
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "inputs_embeds": inputs_embeds,
            "pixel_values": pixel_values,
            "picture_indices": picture_indices,
            "audio_values": audio_values,
            "audio_mask": audio_mask,
            "pixel_values_videos": pixel_values_videos,
            "series_values": series_values,
            "series_mask": series_mask,
            "series_categories": series_categories,
            "modality_mask": modality_mask,
        }
        return self.run(inputs, labels, **kwargs)

    def run(self, inputs: dict[str, Any], labels: Any, **kwargs: Any) -> ModelOutput:  # noqa: ANN401
        """Computes what `forward` returns from its arguments by name."""
        outputs = self.model(**inputs, **kwargs)
        return self.output_class(
            **self.compute_output(outputs, labels),
            modality_embeds=outputs.modality_embeds,
            modality_weights=outputs.modality_weights,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
        )


class MultimodalForClassification(MultimodalWithHead):
    """Single-label or multi-label classification, or regression, by `config.problem_type`."""

    _pipelines = {"multimodal-classification": ["AutoModelForSequenceClassification"]}

    def build_head(self, config: MultimodalConfig, dropout: float) -> nn.Module:
        """Builds a linear head."""
        return self.per_modality(config, lambda: ClassificationHead(config.hidden_size, self.num_labels, dropout))

    def compute_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Computes cross-entropy, binary cross-entropy, or squared error."""
        config: Any = self.config
        if config.problem_type is None:  # kept, so that predictions are read as they were learned
            config.problem_type = infer_problem_type(labels, self.num_labels)
        options = {"label_smoothing": config.label_smoothing, "focal_gamma": config.focal_gamma}
        weights = None if config.class_weights is None else logits.new_tensor(config.class_weights, dtype=torch.float32)
        return classification_loss(logits, labels, config.problem_type, class_weights=weights, **options)


class MultimodalForQuestionAnswering(MultimodalWithHead):
    """Visual question answering over a fixed answer set (`config.id2label`)."""

    _pipelines = {"multimodal-question-answering": ["AutoModelForVisualQuestionAnswering"]}

    def __init__(self, config: MultimodalConfig) -> None:
        known = ("single_label_classification", "scored_answers")
        if config.problem_type is not None:
            check_known("problem_type of question answering", config.problem_type, known)
        super().__init__(config)

    def build_head(self, config: MultimodalConfig, dropout: float) -> nn.Module:
        """Builds a two-layer answer scorer."""
        sizes = (config.hidden_size, self.num_labels, dropout, config.layer_norm_eps)
        return self.per_modality(config, lambda: AnswerHead(*sizes))

    def compute_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Computes cross-entropy for answer indices, soft binary cross-entropy for answer scores (B, C)."""
        config: Any = self.config
        if config.problem_type is None:
            config.problem_type = "single_label_classification" if labels.ndim == 1 else "scored_answers"
        return answer_loss(logits, labels)


__all__ = [
    "MultimodalForClassification",
    "MultimodalForQuestionAnswering",
    "MultimodalModel",
    "MultimodalPreTrainedModel",
    "MultimodalWithHead",
]
