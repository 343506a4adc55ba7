# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Loading pretrained weights into towers, from the Hub or a local folder; safetensors only."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedConfig, PreTrainedModel, TimmWrapperConfig

from .configuration_towers import TowerSpec, weights_path
from .modeling_timm import TimmBackbone
from .modeling_towers import backbone_class, encoder_kwargs


def load_backbone(modality: str, spec: TowerSpec, config: PreTrainedConfig) -> PreTrainedModel:
    """Loads one backbone with its pretrained weights, in float32.

    Raises:
        ValueError: if a local folder holds no safetensors weights, or weights of another architecture.
    """
    path = weights_path(modality, spec)
    is_folder = Path(path).is_dir()
    if is_folder and not any(Path(path).glob("*.safetensors")):
        raise ValueError(
            f"The {modality} tower's folder {path!r} holds no weights: expected model.safetensors. To start from its "
            "configuration with fresh weights say pretrained: false; pickled weights (.bin, .pt) are not read, convert "
            "them."
        )
    if is_folder and not (Path(path) / "config.json").is_file():
        return _load_bare_timm(modality, Path(path), config)
    # Any: `from_pretrained` is annotated neither for the pair that it returns here nor for `revision=None`
    model_class: Any = backbone_class(config)
    backbone, info = model_class.from_pretrained(
        path,
        config=config,
        revision=spec.revision,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # refused below, with a word
        **encoder_kwargs(model_class),
    )
    if info["mismatched_keys"]:
        name, found, needed = min(info["mismatched_keys"])
        raise ValueError(
            f"The {modality} tower's weights at {path!r} are of other sizes than its configuration asks for: {name} is "
            f"{tuple(found)}, needed is {tuple(needed)}. Leave the configuration out to take the one saved beside them."
        )
    _refuse_missing(modality, path, config, sorted(info["missing_keys"]))
    return backbone


def _load_bare_timm(modality: str, folder: Path, config: PreTrainedConfig) -> TimmBackbone:
    if not isinstance(config, TimmWrapperConfig):
        raise ValueError(
            f"The {modality} tower's folder {str(folder)!r} has no config.json, so its weights can only be timm's, but "
            f"the configuration given is {config.model_type!r}: save the backbone with its configuration."
        )
    backbone = TimmBackbone(config)
    state = {}
    for file in sorted(folder.glob("*.safetensors")):
        state.update(load_file(file))
    try:
        result = backbone.timm_model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(
            f"The weights in {str(folder)!r} do not fit timm architecture {config.architecture!r} of the {modality} "
            f"tower: {str(error).splitlines()[-1].strip()}"
        ) from error
    _refuse_missing(modality, str(folder), config, sorted(result.missing_keys))
    return backbone


def _refuse_missing(modality: str, path: str, config: PreTrainedConfig, missing: list[str]) -> None:
    if missing:
        raise ValueError(
            f"The {modality} tower's weights at {path!r} lack {len(missing)} tensors that {config.model_type} needs, "
            f"among them {', '.join(missing[:3])}: they belong to another architecture, or pretrained: false was meant."
        )


__all__ = ["load_backbone"]
