# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The processor's components, built for the same towers as the model's backbones."""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import timm
from transformers import (
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING

from .audio_processing_multimodal import MultimodalAudioProcessor
from .configuration_decoder import DecoderSpec, decoder_fields, load_decoder_tokenizer, special_tokens
from .configuration_multimodal import check_known
from .configuration_towers import TowerSpec, timm_hub_id, tower_config
from .image_processing_multimodal import MultimodalImageProcessor
from .series_processing_multimodal import MultimodalSeriesProcessor

DEFAULT_NUM_FRAMES = 8
# Text encoders whose position table begins after the padding token's index.
_POSITIONS_AFTER_PADDING = (
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)


def longest_text(config: PreTrainedConfig) -> int | None:
    """Number of tokens that a text encoder has positions for; None where its positions are not kept in a table."""
    positions = getattr(config, "max_position_embeddings", None)
    is_rotary = any(getattr(config, name, None) is not None for name in ("rope_parameters", "rope_theta"))
    if positions is None or positions < 1 or is_rotary or getattr(config, "position_biased_input", True) is False:
        return None
    padding = 1 if config.model_type == "mpnet" else getattr(config, "pad_token_id", None) or 0  # MPNet's is fixed
    return positions - padding - 1 if config.model_type in _POSITIONS_AFTER_PADDING else positions


def build_tokenizer(spec: TowerSpec) -> PreTrainedTokenizerBase:
    """Builds or loads the text tower's tokenizer, cut at its last position.

    Raises:
        ValueError: if the tower is unknown, or says nothing about this part.
    """
    source = spec.tokenizer if spec.tokenizer is not None else spec.path
    if source is None:
        raise ValueError(
            "The text tower is built from a configuration alone: say which tokenizer goes with it (tokenizer)."
        )
    limit = longest_text(tower_config("text", spec)) if spec.path is not None or spec.config is not None else None
    if isinstance(source, (str, Path)):
        tokenizer = AutoTokenizer.from_pretrained(source, revision=spec.revision if spec.tokenizer is None else None)
    else:
        tokenizer = copy.deepcopy(source)  # changed below, and the caller's own
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if limit is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    return tokenizer


def build_decoder_tokenizer(spec: DecoderSpec) -> PreTrainedTokenizerBase:
    """Builds or loads the tokenizer of what a model writes, cut at the decoder's last position.

    Raises:
        ValueError: if the description names no tokenizer, or one without a token to begin or to end with.
    """
    tokenizer = copy.deepcopy(load_decoder_tokenizer(spec))  # changed below, and perhaps the caller's own
    tokens = special_tokens(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(tokens["pad_token_id"])
    _, made = decoder_fields(spec, {})
    limits = [tokenizer.model_max_length, spec.max_length, longest_text(made["decoder_config"])]
    tokenizer.model_max_length = min(limit for limit in limits if limit is not None)
    return tokenizer


def build_image_processor(spec: TowerSpec, modality: str = "image") -> Any:  # noqa: ANN401 (any image processor)
    """Builds or loads what makes the pixels of an image tower, or of a video tower's frames.

    Raises:
        ValueError: if the tower is unknown, or says nothing about this part.
    """
    config = tower_config(modality, spec)
    if config.model_type == "timm_wrapper":
        own = timm.get_pretrained_cfg(config.architecture)
        pretrained_cfg = {**(own.to_dict() if own else {}), **(getattr(config, "pretrained_cfg", None) or {})}
        crop_pct = None if spec.loads_weights else 1.0  # fresh weights see the whole picture
        built_for = (config.model_args or {}).get("img_size")  # a side, or height and width
        sides = (built_for, built_for) if isinstance(built_for, int) else tuple(built_for or ())
        image_size = spec.image_size or (sides[0] if sides and sides[0] == sides[1] else None)
        return MultimodalImageProcessor.from_timm(pretrained_cfg, image_size=image_size, crop_pct=crop_pct)
    side = spec.image_size or getattr(config, "image_size", None) or 224
    if spec.path is None:
        square = {"height": side, "width": side} if isinstance(side, int) else {"height": side[0], "width": side[1]}
        return MultimodalImageProcessor(size=square, crop_size=square)
    processor = AutoImageProcessor.from_pretrained(timm_hub_id(spec.path), revision=spec.revision)
    if spec.image_size is not None:
        processor.size = processor.crop_size = {"height": side, "width": side}
    return processor


def build_feature_extractor(spec: TowerSpec) -> Any:  # noqa: ANN401 (any feature extractor)
    """Builds or loads what makes the audio tower's input.

    Raises:
        ValueError: if the tower is unknown, or says nothing about this part.
    """
    config = tower_config("audio", spec)
    if config.model_type == "timm_wrapper":
        return MultimodalAudioProcessor(**spec.preprocessing)
    if spec.path is not None:
        return AutoFeatureExtractor.from_pretrained(spec.path, revision=spec.revision, **spec.preprocessing)
    extractor_class: Any = FEATURE_EXTRACTOR_MAPPING.get(type(config), None)
    if extractor_class is None:
        raise ValueError(
            f"transformers has no feature extractor for {config.model_type!r}: give a path that holds one."
        )
    return extractor_class(**spec.preprocessing)


def build_series_processor(spec: TowerSpec) -> MultimodalSeriesProcessor:
    """Builds what makes the series tower's input.

    Raises:
        ValueError: if the description holds no statistics of the series.
    """
    if "channels" not in spec.preprocessing:
        raise ValueError(
            "The series tower's preprocessing names no channels: take it from the training rows by fit_series, as runs "
            "do by themselves."
        )
    return MultimodalSeriesProcessor(**spec.preprocessing)


def build_components(specs: Mapping[str, TowerSpec]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Builds the component of each modality, and the processor's further arguments.

    Raises:
        ValueError: if a tower is unknown, or says nothing about its component.
    """
    builders: dict[str, Callable[[TowerSpec], Any]] = {
        "text": build_tokenizer,
        "image": build_image_processor,
        "audio": build_feature_extractor,
        "video": partial(build_image_processor, modality="video"),
        "series": build_series_processor,
    }
    arguments: dict[str, Any] = {}
    if "video" in specs:
        arguments = dict(specs["video"].preprocessing)
        for name in arguments:
            check_known("field of the video tower's preprocessing", name, ("num_frames",))
    return {m: builders[m](spec) for m, spec in specs.items()}, arguments


__all__ = ["DEFAULT_NUM_FRAMES", "build_components", "build_decoder_tokenizer", "longest_text"]
