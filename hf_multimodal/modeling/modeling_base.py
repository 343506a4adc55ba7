# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What every model shares: initial weights, building from towers, checkpointing, loading and saving."""

import math
from os import PathLike
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .configuration_multimodal import TOWER_CONFIG_FIELDS, TOWER_INPUTS, MultimodalConfig
from .configuration_towers import TowerLike, model_fields, parse_towers, tower_config
from .modeling_fusion import FUSION_LAYERS
from .modeling_pretrained_towers import load_backbone
from .modeling_timm import TimmBackbone
from .modeling_towers import Tower
from .remote_code import AUTO_MAP, PIPELINE, CarriesCode, copy_modeling_code


class MultimodalPreTrainedModel(CarriesCode, PreTrainedModel):
    """What every `Multimodal*` model shares: initial weights, building from towers, saving with its own code."""

    config_class = MultimodalConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text", "audio", "video", "time")  # type: ignore[assignment]  # a tuple as in transformers' own models
    supports_gradient_checkpointing = True
    # the loss is a mean over the batch: without this, Trainer would not divide it by the accumulation steps
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["CrossAttentionLayer"]
    _pipelines: dict[str, list[str]] = {}
    _pipeline_code = PIPELINE

    def __init__(self, config: MultimodalConfig) -> None:
        super().__init__(config)
        layer = FUSION_LAYERS.get(config.fusion)  # accelerate refuses names of classes that are not in the model
        self._no_split_modules = [] if layer is None else [layer.__name__]
        if config.modalities:
            self.main_input_name = TOWER_INPUTS[config.modalities[0]][0]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            # scaled by the fan-in, narrow fusions start with as strong a signal as wide ones
            std = self.config.initializer_range * math.sqrt(768 / module.in_features)
            init.normal_(module.weight, mean=0.0, std=std)
        elif (own := getattr(module, "init_own_parameters", None)) is not None:
            own(self.config.initializer_range)

    def get_input_embeddings(self) -> nn.Module | None:  # type: ignore[override]
        """Returns the text tower's token embeddings, or None without a text tower."""
        towers: Any = self.base_model.towers
        return towers["text"].backbone.get_input_embeddings() if "text" in towers else None

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the text tower's token embeddings."""
        towers: Any = self.base_model.towers
        towers["text"].backbone.set_input_embeddings(value)

    def _set_gradient_checkpointing(self, enable: bool = True, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Switches checkpointing in the fusion and in every backbone that can do it; timm has a switch of its own."""
        backbones = [m for m in self.modules() if isinstance(m, TimmBackbone) and m.supports_gradient_checkpointing]
        for backbone in backbones:
            backbone._set_gradient_checkpointing(enable)
        if not backbones or any(hasattr(module, "gradient_checkpointing") for module in self.modules()):
            super()._set_gradient_checkpointing(enable, *args, **kwargs)

    @classmethod
    def from_towers_pretrained(
        cls,
        *,
        text: TowerLike = None,
        image: TowerLike = None,
        audio: TowerLike = None,
        video: TowerLike = None,
        series: TowerLike = None,
        **config_kwargs: Any,  # noqa: ANN401 (fields of any type)
    ) -> "MultimodalPreTrainedModel":
        """Builds a model over existing towers; fusion and head start fresh.

        Args:
            text: Hub id, local folder, configuration, or dict of `TowerSpec` fields of the text encoder.
            image: The same for the vision encoder; also a timm architecture name or `timm/…` id.
            audio: The same for the audio encoder; with timm, over spectrograms.
            video: As `image`; its encoder reads clips frame by frame.
            series: The same for the encoder of series and table rows.
            **config_kwargs: Fields of `MultimodalConfig` (`hidden_size`, `fusion`, `id2label`, …).

        Raises:
            ValueError: if a tower or a field's value is unknown, or a folder holds no fitting weights.
        """
        specs = parse_towers({"text": text, "image": image, "audio": audio, "video": video, "series": series})
        configs: dict[str, Any] = {TOWER_CONFIG_FIELDS[m]: tower_config(m, spec) for m, spec in specs.items()}
        try:
            config = cls.config_class(**configs, **{**model_fields(specs), **config_kwargs})
        except StrictDataclassError as error:  # not a ValueError; what it wraps says what to do
            raise ValueError(str(error.__cause__ or error)) from error
        model = cls(config)
        towers: Any = getattr(model, cls.base_model_prefix, model).towers
        for modality, spec in specs.items():
            if spec.loads_weights:
                backbone = load_backbone(modality, spec, configs[TOWER_CONFIG_FIELDS[modality]])
                towers[modality].backbone.load_state_dict(backbone.state_dict())
        return model

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (a model, or with loading info a pair)
        """Loads a saved model; frozen towers come back frozen. Arguments as in `PreTrainedModel.from_pretrained`.

        Raises:
            ValueError: if its towers have adapters beside their weights, as those of a checkpoint.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(*args, output_loading_info=True, **kwargs)  # typed as a model alone
        model, info = loaded
        if any(".lora_" in name for name in info["unexpected_keys"]):
            raise ValueError(
                "This is a checkpoint of a training with adapters, which are not merged into its weights yet: resume "
                "the training, or load what MultimodalTrainer.save_model or the run has saved in the end."
            )
        model.freeze()
        return (model, info) if wants_info else model

    def freeze(self) -> None:
        """Stops gradients to what is not trained; loading makes every parameter trainable."""
        for module in self.modules():
            if isinstance(module, Tower):
                module.freeze()

    def save_pretrained(
        self,
        save_directory: str | PathLike,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Saves weights and configuration, and the code that loads them where this package is absent."""
        self.config.auto_map = dict(AUTO_MAP)
        self.config.custom_pipelines = {
            task: {"impl": self._pipeline_code, "pt": classes, "type": "multimodal"}
            for task, classes in self._pipelines.items()
        }
        if kwargs.get("is_main_process", True):
            copy_modeling_code(save_directory)
        super().save_pretrained(save_directory, *args, **kwargs)


__all__ = ["MultimodalPreTrainedModel"]
