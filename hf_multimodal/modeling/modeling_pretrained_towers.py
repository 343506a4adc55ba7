# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The backbones of towers: their classes, their fresh or pretrained weights, and the layout of their features.

Pretrained weights come from the Hub or a local folder, from safetensors only.
"""

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    PreTrainedConfig,
    PreTrainedModel,
    TimmWrapperConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from .configuration_decoder import DecoderSpec
from .configuration_multimodal import MODALITIES
from .configuration_towers import TowerSpec, tower_config, weights_path
from .modeling_lstm import LstmTextModel
from .modeling_patch_series import PatchSeriesModel
from .modeling_timm import TimmBackbone

_WIDTH_FIELDS = ("hidden_size", "d_model", "dim", "n_embd")
# Model types in which these name another width than that of the last features.
_OTHER_WIDTH = frozenset(
    {"altclip_text_model", "mobilevit", "sam_vision_model", "sam_hq_vision_model", "sam2_hiera_det_model"}
)
# Encoders that are in no mapping of transformers.
_OWN_CLASSES: dict[str, type[PreTrainedModel]] = {
    "lstm_text": LstmTextModel,
    "patch_series": PatchSeriesModel,
    "timm_wrapper": TimmBackbone,
    "whisper": WhisperEncoder,
}


def backbone_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """Returns the encoder class for a configuration: timm, `AutoModel`'s, or the encoder half of an encoder-decoder.

    Raises:
        ValueError: if transformers knows no encoder for it.
    """
    if config.model_type in _OWN_CLASSES:
        return _OWN_CLASSES[config.model_type]
    mappings = (MODEL_MAPPING, MODEL_FOR_TEXT_ENCODING_MAPPING)
    for mapping in reversed(mappings) if config.is_encoder_decoder else mappings:
        if type(config) in mapping:
            found: Any = mapping[type(config)]
            return found[0] if isinstance(found, tuple) else found
    # halves of dual encoders (SigLIP's text model) are in no mapping
    half: Any = getattr(transformers, type(config).__name__.removesuffix("Config") + "Model", None)
    if getattr(half, "config_class", None) is type(config):
        return half
    raise ValueError(
        f"transformers has no encoder for model_type={config.model_type!r}: give a text encoder, a vision model, or a "
        "timm architecture."
    )


def encoder_kwargs(model_class: type[PreTrainedModel]) -> dict[str, Any]:
    """Constructor arguments that leave out the pooler: its weights would never get a gradient here."""
    accepted = inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def build_backbone(config: PreTrainedConfig) -> PreTrainedModel:
    """Builds an encoder with fresh weights."""
    model_class = backbone_class(config)
    # in the dtype of the whole model: the encoder's configuration may name the one in which it was saved
    return model_class._from_config(config, dtype=torch.get_default_dtype(), **encoder_kwargs(model_class))


def feature_layout(backbone: PreTrainedModel) -> tuple[int, bool]:
    """Returns the channel count W of a backbone's last features, and whether its maps are (B, h, w, W).

    Raises:
        ValueError: if neither the configuration nor a picture sent through tells.
    """
    if isinstance(backbone, TimmBackbone):
        # not `head_hidden_size`, which is the width after timm's pre-logits layer (mobilenetv3: 1024 against 576)
        return backbone.timm_model.num_features, str(getattr(backbone.timm_model, "output_fmt", "NCHW")) == "NHWC"
    config = backbone.config
    if config.model_type not in _OTHER_WIDTH:
        for field in _WIDTH_FIELDS:
            if isinstance(width := getattr(config, field, None), int):
                return width, False
        if sizes := getattr(config, "hidden_sizes", None):
            return sizes[-1], False
    shape = _shape_of_features(backbone)
    if len(shape) == 4 and shape[2] == shape[3]:  # of a square picture
        return shape[1], False
    return shape[-1], len(shape) == 4


def _shape_of_features(backbone: PreTrainedModel) -> torch.Size:
    """Sends an input through a copy on the meta device: nothing is allocated, and from_pretrained gets the same."""
    config = copy.deepcopy(backbone.config)
    if hasattr(config, "use_pretrained_backbone"):
        config.use_pretrained_backbone = False  # the copy needs no weights
    side = getattr(config, "image_size", None) or 224
    height, width = (side, side) if isinstance(side, int) else tuple(side)[-2:]
    try:
        with torch.device("meta"), torch.no_grad():
            inputs = {"pixel_values": torch.zeros(1, 3, height, width), "input_ids": torch.ones(1, 2, dtype=torch.long)}
            name = backbone.main_input_name
            outputs = type(backbone)._from_config(config).eval()(**{name: inputs[name]}, return_dict=True)
            return read_features(outputs).shape
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise ValueError(
            f"Cannot tell the feature width of {type(backbone).__name__}: its configuration has none of "
            f"{', '.join(_WIDTH_FIELDS)}, hidden_sizes that fits, and an input sent through it ended in: {error}"
        ) from error


def read_features(outputs: Any) -> torch.Tensor:  # noqa: ANN401 (any model output)
    """Returns the last features among a backbone's outputs; `AutoBackbone` classes call them feature maps.

    Raises:
        ValueError: if there are none.
    """
    features = getattr(outputs, "last_hidden_state", None)
    if features is None:
        features = (getattr(outputs, "feature_maps", None) or [None])[-1]
    if features is None:
        raise ValueError(
            f"A {type(outputs).__name__} has neither last_hidden_state nor feature_maps: give another vision model."
        )
    return features


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
    backbone, info = _from_pretrained(path, spec, config)
    if info["mismatched_keys"] and isinstance(backbone, TimmBackbone):
        # made for another image size, perhaps: load them at their own, for timm to resample
        own = tower_config(modality, TowerSpec(path=spec.path, revision=spec.revision))
        if own.model_type == "timm_wrapper":
            source, info = _from_pretrained(path, spec, own)
            _refuse_unfit(modality, path, own, info)
            return _resampled(modality, path, config, source.timm_model.state_dict())
    elif info["missing_keys"]:
        backbone, info = _half_of_a_whole(modality, path, spec, config) or (backbone, info)
    _refuse_unfit(modality, path, config, info)
    return backbone


def load_decoder(language_model: PreTrainedModel, spec: DecoderSpec) -> None:
    """Loads a decoder's pretrained weights into it; those its checkpoint has not (cross-attention, head) stay fresh.

    Raises:
        ValueError: if the checkpoint lacks more than that: it belongs to another architecture.
    """
    model_class: Any = type(language_model)  # Any: as in `_from_pretrained`
    loaded, info = model_class.from_pretrained(
        spec.path,
        config=language_model.config,
        revision=spec.revision,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
    )
    body = f"{language_model.base_model_prefix}."
    crossing = ("cross", "encoder_attn")  # as transformers names what reads an encoder
    missing = [name for name in info["missing_keys"] if name.startswith(body) and not any(x in name for x in crossing)]
    _refuse_missing("decoder", str(spec.path), language_model.config, sorted(missing))
    language_model.load_state_dict(loaded.state_dict())


def _half_of_a_whole(
    modality: str, path: str, spec: TowerSpec, config: PreTrainedConfig
) -> tuple[PreTrainedModel, dict[str, Any]] | None:
    """Takes a half out of its dual encoder, for those that cannot be read from the same file by themselves (BLIP)."""
    name = {"text": "text_model", "image": "vision_model", "video": "vision_model"}.get(modality, "")
    whole_config: Any = AutoConfig.from_pretrained(path, revision=spec.revision)
    if type(whole_config) is type(config) or type(whole_config) not in MODEL_MAPPING:
        return None
    whole, info = _from_pretrained(path, spec, whole_config)
    half = getattr(whole, name, None)
    if half is None:
        return None
    backbone = build_backbone(config)
    try:
        missing = backbone.load_state_dict(half.state_dict(), strict=False).missing_keys
    except RuntimeError:  # of other sizes
        return None
    unfilled = {kind: [k for k in info[kind] if name in str(k)] for kind in ("missing_keys", "mismatched_keys")}
    return backbone, {**unfilled, "missing_keys": [*unfilled["missing_keys"], *missing]}


def _from_pretrained(path: str, spec: TowerSpec, config: PreTrainedConfig) -> tuple[Any, dict[str, Any]]:
    # Any: `from_pretrained` is annotated neither for the pair that it returns here nor for `revision=None`
    model_class: Any = backbone_class(config)
    return model_class.from_pretrained(
        path,
        config=config,
        revision=spec.revision,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # the caller sees to it
        **encoder_kwargs(model_class),
    )


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
    own = backbone.timm_model.state_dict()
    _refuse_missing(modality, str(folder), config, sorted(own.keys() - state.keys()))
    if any(state[name].shape != tensor.shape for name, tensor in own.items()):
        return _resampled(modality, str(folder), config, state)
    backbone.timm_model.load_state_dict(state, strict=False)
    return backbone


def _resampled(modality: str, path: str, config: Any, state: dict[str, torch.Tensor]) -> TimmBackbone:  # noqa: ANN401
    backbone = TimmBackbone(config)
    _refuse_missing(modality, path, config, sorted(backbone.timm_model.state_dict().keys() - state.keys()))
    try:
        backbone.load_resampled(state)
    except RuntimeError as error:
        resized = "img_size" in (config.model_args or {})
        hint = " timm resamples the weights of this architecture to no other image_size." if resized else ""
        raise ValueError(
            f"The weights in {path!r} do not fit timm architecture {config.architecture!r} of the {modality} tower: "
            f"{str(error).splitlines()[-1].strip()}{hint}"
        ) from error
    return backbone


def _refuse_unfit(modality: str, path: str, config: PreTrainedConfig, info: dict[str, Any]) -> None:
    if info["mismatched_keys"]:
        name, found, needed = min(info["mismatched_keys"])
        raise ValueError(
            f"The {modality} tower's weights at {path!r} are of other sizes than its configuration asks for: {name} is "
            f"{tuple(found)}, needed is {tuple(needed)}. Leave the configuration out to take the one saved beside them."
        )
    _refuse_missing(modality, path, config, sorted(info["missing_keys"]))


def _refuse_missing(modality: str, path: str, config: PreTrainedConfig, missing: list[str]) -> None:
    if missing:
        raise ValueError(
            f"The {_part(modality)} weights at {path!r} lack {len(missing)} tensors that {config.model_type} needs, "
            f"among them {', '.join(missing[:3])}: they belong to another architecture, or pretrained: false was meant."
        )


def _part(modality: str) -> str:
    return f"{modality} tower's" if modality in MODALITIES else f"{modality}'s"


__all__ = ["backbone_class", "build_backbone", "feature_layout", "load_backbone", "load_decoder", "read_features"]
