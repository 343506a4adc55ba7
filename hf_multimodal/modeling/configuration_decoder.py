# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a user may say about the text decoder, and the configuration that follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig

from .configuration_multimodal import MultimodalConfig, check_known

_DEFAULT_LAYERS = 2


@dataclass(frozen=True)
class DecoderSpec:
    """The decoder as the user describes it.

    Attributes:
        path: Hub id or local folder of a language model.
        config: Its configuration, or its dict with a `model_type`: the decoder starts from fresh weights. Without both,
            it is a BERT of two layers, of the fusion's width.
        pretrained: Whether to load the weights that `path` holds; False takes only its configuration.
        tokenizer: Tokenizer, or the id or folder of one; None takes the one in `path`.
        max_length: Longest text in tokens; None takes what the decoder has positions for.
        revision: Commit, tag or branch of a Hub id.
    """

    path: str | None = None
    config: PreTrainedConfig | Mapping[str, Any] | None = None
    pretrained: bool = True
    tokenizer: Any = None
    max_length: int | None = None
    revision: str | None = None

    @property
    def loads_weights(self) -> bool:
        """Whether there are pretrained weights to load."""
        return self.path is not None and self.config is None and self.pretrained


DecoderLike: TypeAlias = DecoderSpec | PreTrainedConfig | Mapping[str, Any] | str | Path | None


def parse_decoder(value: DecoderLike) -> DecoderSpec:
    """Reads a decoder given as an id or folder, a configuration object, a dict of `DecoderSpec` fields, or nothing.

    Raises:
        ValueError: if a field is unknown.
        TypeError: if the value is of another type.
    """
    if isinstance(value, DecoderSpec):
        return value
    if value is None:
        return DecoderSpec()
    if isinstance(value, (str, Path)):
        return DecoderSpec(path=str(value))
    if isinstance(value, PreTrainedConfig):
        return DecoderSpec(config=value)
    if isinstance(value, Mapping):
        for key in value:
            check_known("field of the decoder", key, tuple(f.name for f in fields(DecoderSpec)))
        return DecoderSpec(**value)
    raise TypeError(
        f"The decoder is {type(value).__name__}: give a Hub id or folder, a configuration, or a dict of "
        f"{', '.join(f.name for f in fields(DecoderSpec))}."
    )


def load_decoder_tokenizer(spec: DecoderSpec) -> Any:  # noqa: ANN401 (any tokenizer)
    """Loads the tokenizer of what the decoder writes; it always has tokens to begin, end and fill up a text.

    Raises:
        ValueError: if the description names none.
    """
    source = spec.tokenizer if spec.tokenizer is not None else spec.path
    if source is None:
        raise ValueError(
            "Nothing says which tokens the decoder writes: give decoder.tokenizer (from_rows builds one from the "
            "training texts), or decoder.path."
        )
    if not isinstance(source, (str, Path)):
        return source
    return AutoTokenizer.from_pretrained(source, revision=spec.revision if spec.tokenizer is None else None)


def special_tokens(tokenizer: Any) -> dict[str, int]:  # noqa: ANN401 (any tokenizer)
    """Says which tokens begin, end and fill up a text: of BERT's kind [CLS] and [SEP], else those so named.

    Raises:
        ValueError: if the tokenizer has no token to begin or to end with.
    """
    start = tokenizer.bos_token_id if tokenizer.cls_token_id is None else tokenizer.cls_token_id
    end = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    if start is None or end is None:
        raise ValueError(
            "The decoder's tokenizer lacks a token to begin (cls_token, bos_token) or to end (sep_token, eos_token) a "
            "text with: add it."
        )
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    return {"decoder_start_token_id": start, "bos_token_id": start, "eos_token_id": end, "pad_token_id": padding}


def decoder_fields(decoder: DecoderLike, model_fields: Mapping[str, Any]) -> tuple[DecoderSpec, dict[str, Any]]:
    """Reads a decoder and returns it with the fields of `MultimodalConfig` that follow.

    Args:
        decoder: What the user gave.
        model_fields: The other fields of the model; a `decoder_config` among them is left as it is.

    Raises:
        ValueError: if nothing says which tokens the decoder writes.
    """
    spec = parse_decoder(decoder)
    if model_fields.get("decoder_config") is not None:
        return spec, {}
    tokenizer = load_decoder_tokenizer(spec)
    tokens = special_tokens(tokenizer)
    config = _decoder_config(spec, model_fields, len(tokenizer), tokens)
    return spec, {"decoder_config": config, **tokens}


def _decoder_config(
    spec: DecoderSpec, model_fields: Mapping[str, Any], vocab_size: int, tokens: Mapping[str, int]
) -> PreTrainedConfig:
    if isinstance(spec.config, PreTrainedConfig):
        return spec.config
    if spec.config is None and spec.path is not None:
        return AutoConfig.from_pretrained(spec.path, revision=spec.revision)
    values = {"vocab_size": vocab_size, **_sizes(model_fields), **tokens, **(spec.config or {})}
    values.pop("decoder_start_token_id")
    model_type = values.pop("model_type", "bert")
    return AutoConfig.for_model(model_type, **values)


def _sizes(model_fields: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of a fresh decoder: the fusion's, and weights that keep the signal's size."""
    named = {name: model_fields.get(name, getattr(MultimodalConfig, name)) for name in _SHARED}
    width = named["hidden_size"]
    return {**named, "num_hidden_layers": _DEFAULT_LAYERS, "initializer_range": width**-0.5}


_SHARED = ("hidden_size", "num_attention_heads", "intermediate_size")


__all__ = ["DecoderLike", "DecoderSpec", "decoder_fields", "load_decoder_tokenizer", "parse_decoder", "special_tokens"]
