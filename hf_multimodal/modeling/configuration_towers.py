# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a user may say about one tower, and the backbone configuration that follows from it."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

import timm
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from .configuration_multimodal import MODALITIES, TOWER_CONFIG_FIELDS, check_known

# What only the other modality's tower reads.
_FOREIGN_FIELDS = {
    "text": ("architecture", "model_args", "image_size", "preprocessing"),
    "image": ("tokenizer", "preprocessing"),
    "audio": ("tokenizer", "image_size"),
    "video": ("tokenizer",),
    "series": ("tokenizer", "image_size", "architecture", "model_args"),
}
_DEFAULT_MODEL_TYPES = {"text": "bert", "series": "patch_series"}  # of the others timm_wrapper
# Keys that saved configurations carry, be they fields of their class or not.
_GENERIC_KEYS = frozenset(
    "add_cross_attention auto_map bos_token_id cls_token_id custom_pipelines decoder_start_token_id eos_token_id "
    "finetuning_task is_decoder mask_token_id pad_token_id quantization_config sep_token_id task_specific_params "
    "tie_encoder_decoder tie_word_embeddings tokenizer_class unk_token_id use_cache".split()
)
# The same of timm's own config.json, which names an architecture.
_TIMM_KEYS = frozenset(
    "global_pool label_descriptions label_names num_classes num_features pretrained_cfg tags".split()
)


@dataclass(frozen=True)
class TowerSpec:
    """One tower as the user describes it.

    Attributes:
        path: Hub id, `timm/…` id, timm architecture name, or local folder.
        config: A backbone configuration (or its dict with a `model_type`): the tower starts from fresh weights.
        pretrained: Whether to load the weights that `path` holds; False takes only its configuration.
        frozen: Whether the backbone is neither trained nor put into training mode.
        architecture: timm architecture, for a folder that holds bare weights or, without `path`, for fresh weights.
        model_args: Keyword arguments for `timm.create_model`, for instance `{"pad_type": "same"}`.
        image_size: Side of the square input in pixels; None takes the backbone's own.
        preprocessing: Of an audio tower: arguments of `MultimodalAudioProcessor` for a timm backbone, else of the
            encoder's own feature extractor. Of a video tower: `num_frames`. Of a series tower: arguments of
            `MultimodalSeriesProcessor`.
        tokenizer: Tokenizer, or the id or folder of one; None takes the one in `path`.
        revision: Commit, tag or branch of a Hub id.
    """

    path: str | None = None
    config: PreTrainedConfig | Mapping[str, Any] | None = None
    pretrained: bool = True
    frozen: bool = False
    architecture: str | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Any = None
    revision: str | None = None

    @property
    def loads_weights(self) -> bool:
        """Whether there are pretrained weights to load."""
        return self.path is not None and self.pretrained


# What a user may give as a tower; None leaves it out.
TowerLike: TypeAlias = TowerSpec | PreTrainedConfig | Mapping[str, Any] | str | Path | None


def parse_tower(modality: str, value: TowerLike) -> TowerSpec:
    """Reads a tower given as an id or folder, a configuration object, a dict of `TowerSpec` fields, or a `TowerSpec`.

    Raises:
        ValueError: if the modality or a field is unknown, or nothing says which backbone to build.
        TypeError: if the value is of another type.
    """
    check_known("modality", modality, MODALITIES)
    if isinstance(value, TowerSpec):
        spec = value
    elif isinstance(value, (str, Path)):
        spec = TowerSpec(path=str(value))
    elif isinstance(value, PreTrainedConfig):
        spec = TowerSpec(config=value)
    elif isinstance(value, Mapping):
        for key in value:
            check_known(f"field of the {modality} tower", key, tuple(f.name for f in fields(TowerSpec)))
        spec = TowerSpec(**value)
    else:
        raise TypeError(
            f"The {modality} tower is {type(value).__name__}: give a Hub id or folder, a configuration, or a dict of "
            f"{', '.join(f.name for f in fields(TowerSpec))}."
        )
    if spec.path is None and spec.config is None and spec.architecture is None:
        raise ValueError(f"The {modality} tower names no backbone: set path, config or (for timm) architecture.")
    _refuse_idle_fields(modality, spec)
    return spec


def _refuse_idle_fields(modality: str, spec: TowerSpec) -> None:
    """Refuses what would have no effect."""
    for name in _FOREIGN_FIELDS.get(modality, ()):
        if getattr(spec, name) not in (None, {}):
            raise ValueError(
                f"The {modality} tower has {name}={getattr(spec, name)!r}, which it does not read: drop it."
            )
    if spec.architecture is not None and spec.config is not None:
        raise ValueError(
            f"The {modality} tower has both a config and architecture={spec.architecture!r}: name the architecture in "
            "the config, or give no config."
        )


def parse_towers(towers: Mapping[str, TowerLike]) -> dict[str, TowerSpec]:
    """Reads several towers, in the package's modality order; None entries are left out.

    Raises:
        ValueError: if no tower is given, or one is unknown.
    """
    for modality in towers:
        check_known("modality", modality, MODALITIES)
    specs = {m: parse_tower(m, towers[m]) for m in MODALITIES if towers.get(m) is not None}
    if not specs:
        raise ValueError(f"No tower given: give at least one of {', '.join(MODALITIES)}.")
    return specs


def tower_config(modality: str, spec: TowerSpec) -> PreTrainedConfig:
    """Returns the backbone configuration a tower description stands for; a configuration given is left as it is.

    Raises:
        ValueError: if a local folder has neither a configuration nor an `architecture` beside it, a field of the
            configuration is unknown or has a wrong value, or `model_args` are given for a backbone that is not timm's.
    """
    with _values_checked(modality):
        config = _given_or_saved_config(modality, spec)
    if config.model_type == "timm_wrapper":
        return _timm_config(modality, spec, config)
    if spec.model_args:
        raise ValueError(
            f"The {modality} tower has model_args={dict(spec.model_args)}, which only timm reads, but its backbone is "
            f"{config.model_type!r}: set the fields of its configuration instead."
        )
    return config


def _given_or_saved_config(modality: str, spec: TowerSpec) -> PreTrainedConfig:
    if isinstance(spec.config, PreTrainedConfig):
        return spec.config
    if spec.config is not None:
        return _config_from_dict(modality, {**_sizes_of_series(modality, spec), **spec.config})
    if spec.architecture is not None:
        return _config_from_dict(modality, {"model_type": "timm_wrapper", "architecture": spec.architecture})
    path = weights_path(modality, spec)
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise ValueError(
            f"The {modality} tower's folder {path!r} has no config.json. For a folder of bare timm weights name the "
            "architecture beside it: {path: …, architecture: …}."
        )
    config = AutoConfig.from_pretrained(path, revision=spec.revision)
    # a checkpoint of a dual encoder (CLIP, SigLIP): take the half that reads this modality
    half = getattr(config, TOWER_CONFIG_FIELDS["image" if modality == "video" else modality], None)
    return half if isinstance(half, PreTrainedConfig) else config


@contextmanager
def _values_checked(modality: str) -> Iterator[None]:
    try:
        yield
    except StrictDataclassError as error:  # not a ValueError; what it wraps says what to do
        raise ValueError(f"The {modality} tower's configuration: {error.__cause__ or error}") from error


def weights_path(modality: str, spec: TowerSpec) -> str:
    """Returns the Hub id or folder of a tower's weights.

    Raises:
        ValueError: if the description names none.
    """
    if spec.path is None:
        raise ValueError(f"The {modality} tower names no backbone: set path, config or (for timm) architecture.")
    return spec.path if modality in ("text", "series") else timm_hub_id(spec.path)


def timm_hub_id(path: str) -> str:
    """Turns a bare timm architecture name (`resnet18`, `resnet18.a1_in1k`) into the Hub id of its weights."""
    if "/" in path or Path(path).is_dir() or not timm.is_model(path.split(".")[0]):
        return path
    pretrained_cfg = timm.get_pretrained_cfg(path)
    return getattr(pretrained_cfg, "hf_hub_id", None) or path


def _config_from_dict(modality: str, values: dict[str, Any]) -> PreTrainedConfig:
    model_type = values.pop("model_type", _DEFAULT_MODEL_TYPES.get(modality, "timm_wrapper"))
    if model_type == "timm_wrapper" and "architecture" in values and not timm.is_model(values["architecture"]):
        check_known("timm architecture", values["architecture"], tuple(timm.list_models()))
    config = AutoConfig.for_model(model_type, **values)
    _refuse_unread_keys(modality, config, values)
    return config


def _sizes_of_series(modality: str, spec: TowerSpec) -> dict[str, Any]:
    """What a series encoder's configuration can take from its processor's."""
    if modality != "series" or "channels" not in spec.preprocessing:
        return {}
    sizes: dict[str, Any] = {
        "num_input_channels": len(spec.preprocessing["channels"]),
        "context_length": spec.preprocessing.get("length", 1),
    }
    if isinstance(spec.config, Mapping) and spec.config.get("model_type", "patch_series") != "patch_series":
        sizes["scaling"] = None  # the processor has normalised; PatchTST's own, row by row, would lose the level
        if not spec.preprocessing["channels"]:
            raise ValueError("The series have categories only, which patch_series alone reads: set it as model_type.")
    return sizes


def model_fields(specs: Mapping[str, TowerSpec]) -> dict[str, Any]:
    """Fields of the whole model's configuration that follow from how the towers' inputs are made."""
    made: dict[str, Any] = {"frozen_towers": [m for m, spec in specs.items() if spec.frozen] or None}
    if "video" in specs and "num_frames" in specs["video"].preprocessing:
        made["num_frames"] = specs["video"].preprocessing["num_frames"]
    if "series" in specs and specs["series"].preprocessing.get("categories"):
        # in the order in which the processor numbers them
        made["category_sizes"] = [
            len(known) for _, known in sorted(specs["series"].preprocessing["categories"].items())
        ]
    return made


def _refuse_unread_keys(modality: str, config: PreTrainedConfig, values: Mapping[str, Any]) -> None:
    """Refuses keys that nothing has read: they end as plain attributes that the class knows nothing of."""
    # Any: the dataclass that every configuration class is, which its type does not say
    config_class: Any = type(config)
    own = {f.name for f in fields(config_class)}
    if "architecture" in own:
        own |= _TIMM_KEYS
    unread = [k for k in values if k in vars(config) and k not in own | _GENERIC_KEYS and not k.startswith("_")]
    if not unread:
        return
    others = {key: value for key, value in values.items() if key not in unread}
    known = own | set(config.attribute_map) | {"num_labels"} | set(vars(config_class(**others)))
    for key in unread:
        check_known(f"field of the {modality} tower's {config.model_type} configuration", key, tuple(sorted(known)))


def _timm_config(modality: str, spec: TowerSpec, config: PreTrainedConfig) -> PreTrainedConfig:
    config = copy.deepcopy(config)  # it may be the user's own
    args = {**(config.model_args or {}), **spec.model_args}
    args.pop("num_classes", None)  # written by timm.save_for_hf; the wrapper passes its own
    pretrained_cfg = timm.get_pretrained_cfg(config.architecture)
    # Backbones built for one input size (ViT, Swin) must be told another; convolutional ones take any.
    is_fixed = "img_size" in args or getattr(pretrained_cfg, "fixed_input_size", False)
    if spec.image_size is not None and is_fixed:
        args["img_size"] = spec.image_size
    if modality == "audio":
        args["in_chans"] = 1  # a spectrogram
    config.model_args = args or None
    return config


__all__ = [
    "TowerLike",
    "TowerSpec",
    "model_fields",
    "parse_tower",
    "parse_towers",
    "timm_hub_id",
    "tower_config",
    "weights_path",
]
