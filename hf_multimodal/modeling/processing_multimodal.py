# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Raw rows to tensors: one processor over the tokenizer, the image processor, and later the other modalities'."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoTokenizer,
    BatchFeature,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.processing_utils import ProcessingKwargs

from .audio_opening import open_audio
from .configuration_multimodal import MODALITIES, TOWER_CONFIG_FIELDS
from .configuration_towers import TowerLike, parse_towers
from .processing_towers import build_feature_extractor, build_image_processor, build_tokenizer, longest_text
from .remote_code import AUTO_MAP, CarriesCode, copy_modeling_code

# Modality -> the component that reads it, in the package's modality order.
COMPONENTS = {"text": "tokenizer", "image": "image_processor", "audio": "feature_extractor"}
# How feature extractors call what they make.
_AUDIO_NAMES = {
    "input_values": "audio_values",
    "input_features": "audio_values",
    "attention_mask": "audio_mask",
    "padding_mask": "audio_mask",
}


class AbsentTokenizer:
    """Stands where a processor without text has no tokenizer: it knows no special token, and counts as false.

    `transformers.Trainer` asks the tokenizer of every processor for its special tokens.
    """

    eos_token_id = bos_token_id = pad_token_id = None

    def __bool__(self) -> bool:
        return False


class MultimodalProcessorKwargs(ProcessingKwargs, total=False):
    """Keyword arguments of the processor's call, by modality."""

    _defaults = {"text_kwargs": {"padding": True, "truncation": True}}  # type: ignore[misc]  # transformers' own way


class _ComponentNames:
    """`get_attributes`: of the class, all components; of an instance, only those it has.

    ProcessorMixin refuses a component that is None; an image-only model has no tokenizer.
    """

    def __get__(self, instance: "MultimodalProcessor | None", owner: type) -> Callable[[], list[str]]:
        names = ["image_processor", "tokenizer", "feature_extractor"]
        present = [n for n in names if instance is None or getattr(instance, n, None)]
        return lambda: present


class MultimodalProcessor(CarriesCode, ProcessorMixin):
    """Tokenizer, image processor and feature extractor of a model, and the `modality_mask` of every batch.

    Args:
        image_processor: Image processor, or None for a model without images.
        tokenizer: Tokenizer, or None for a model without text.
        feature_extractor: Feature extractor for sounds, or None for a model without audio.
        chat_template: Template for dialogues.

    Raises:
        ValueError: if there is no component at all.
    """

    valid_processor_kwargs = MultimodalProcessorKwargs
    get_attributes = _ComponentNames()

    def __init__(
        self,
        image_processor: Any = None,  # noqa: ANN401 (any Hugging Face image processor)
        tokenizer: PreTrainedTokenizerBase | None = None,
        feature_extractor: Any = None,  # noqa: ANN401 (any Hugging Face feature extractor)
        chat_template: str | None = None,
    ) -> None:
        self.chat_template = chat_template
        components = {
            "image_processor": image_processor,
            "tokenizer": tokenizer,
            "feature_extractor": feature_extractor,
        }
        for name, component in components.items():
            if component is not None:
                self.check_argument_for_proper_class(name, component)
            setattr(self, name, component)
        if tokenizer is None:
            self.tokenizer = AbsentTokenizer()
        if not self.modalities:
            raise ValueError(f"A processor needs at least one of {', '.join(COMPONENTS.values())}.")
        self.auto_map = {"AutoProcessor": AUTO_MAP["AutoProcessor"]}

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities this processor reads: the columns of `modality_mask`."""
        return tuple(m for m in MODALITIES if getattr(self, COMPONENTS[m]))

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors in a batch."""
        names = [_AUDIO_NAMES[x] if x in ("input_values", "input_features") else x for x in super().model_input_names]
        return [*dict.fromkeys(names), "modality_mask"]

    @classmethod
    def from_towers_pretrained(
        cls, *, text: TowerLike = None, image: TowerLike = None, audio: TowerLike = None
    ) -> "MultimodalProcessor":
        """Builds the processor for the same towers as `MultimodalModel.from_towers_pretrained`.

        Raises:
            ValueError: if a tower is unknown, or says nothing about its tokenizer.
        """
        specs = parse_towers({"text": text, "image": image, "audio": audio})
        builders = {"text": build_tokenizer, "image": build_image_processor, "audio": build_feature_extractor}
        return cls(**{COMPONENTS[m]: builders[m](spec) for m, spec in specs.items()})

    def __call__(
        self,
        images: Any = None,  # noqa: ANN401 (ImageInput)
        text: str | Sequence[str | None] | None = None,
        audio: Any = None,  # noqa: ANN401 (described below)
        **kwargs: Any,  # noqa: ANN401 (MultimodalProcessorKwargs)
    ) -> BatchFeature:
        """Turns a batch of rows into tensors.

        Args:
            images: One image or one per row; None in the list = this row has no image.
            text: One string or one per row; None in the list = this row has no text (an empty string is a text).
            audio: One sound or one per row: samples (an array) at the feature extractor's `sampling_rate`, or anything
                that `open_audio` opens and resamples to it; None in the list = this row has no sound.
            **kwargs: Arguments of the tokenizer and the image processor, flat or as `text_kwargs`, `images_kwargs`;
                `return_tensors`.

        Returns:
            The components' tensors, and `modality_mask` (B, M) bool in the order of `modalities`.

        Raises:
            ValueError: if the lists' lengths differ, a modality has no component, or a row has nothing at all.
        """
        rows = {"text": _as_rows(text, str), "image": _as_rows(images, None), "audio": _as_sounds(audio)}
        present = self._presence(rows)
        merged = self._merge_kwargs(
            self.valid_processor_kwargs,  # type: ignore[arg-type]  # takes the class, annotated as its instance
            tokenizer_init_kwargs=self.tokenizer.init_kwargs if self.tokenizer else {},
            **kwargs,
        )
        data: dict[str, Any] = {}
        if rows["text"] is not None:
            data.update(self._process_text_rows(rows["text"], merged["text_kwargs"]))
        if rows["image"] is not None:
            data.update(self._process_image_rows(rows["image"], merged["images_kwargs"]))
        if rows["audio"] is not None:
            data.update(self._process_audio_rows(rows["audio"]))
        data["modality_mask"] = [
            [present[m][i] for m in self.modalities] for i in range(len(next(iter(present.values()))))
        ]
        return BatchFeature(data, tensor_type=kwargs.get("return_tensors", merged["text_kwargs"].get("return_tensors")))

    def _presence(self, rows: dict[str, list | None]) -> dict[str, list[bool]]:
        """Says per modality which rows have it, and refuses what cannot be a batch."""
        given = {m: values for m, values in rows.items() if values is not None}
        if not given:
            raise ValueError(f"Nothing to process: give at least one of {', '.join(self.modalities)}.")
        for modality in given:
            if modality not in self.modalities:
                raise ValueError(
                    f"This processor reads {', '.join(self.modalities)}; it has no component for {modality}."
                )
        sizes = {m: len(values) for m, values in given.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"One value per row and modality is needed (None where absent); got lengths {sizes}.")
        size = next(iter(sizes.values()))
        present = {m: [x is not None for x in given[m]] if m in given else [False] * size for m in self.modalities}
        for index in range(size):
            if not any(present[m][index] for m in self.modalities):
                raise ValueError(
                    f"Row {index} of the batch has none of {', '.join(self.modalities)}: a row needs at least one. "
                    "Drop it or fill it in."
                )
        return present

    def _process_text_rows(self, texts: list[str | None], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Tokenises the texts; absent ones become empty. Every row gets at least one token, if need be padding."""
        texts = ["" if x is None else x for x in texts]
        encoded = self.tokenizer(texts, **kwargs)
        if all(len(ids) == 0 for ids in encoded["input_ids"]):  # tokenizers without special tokens
            encoded = self.tokenizer(texts, **{**kwargs, "padding": "max_length", "max_length": 1})
        return dict(encoded)

    def _process_image_rows(self, images: list, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Processes the images that are there; absent ones become zeros of the same shape."""
        there = [x for x in images if x is not None]
        if len(there) == len(images):
            return dict(self.image_processor(there, **kwargs))
        if there:
            processed = list(self.image_processor(there, **{**kwargs, "return_tensors": "pt"})["pixel_values"])
            blank = torch.zeros_like(processed[0])
        else:
            processed, side = [], _input_size(self.image_processor)
            if side is None:
                return {}  # every row is without an image: the model reads the absent tensor from modality_mask
            blank = torch.zeros(3, *side)
        queue = iter(processed)
        return {"pixel_values": [blank if x is None else next(queue) for x in images]}

    def _process_audio_rows(self, sounds: list) -> dict[str, Any]:
        """Processes the sounds that are there; absent ones become zeros of the same shape."""
        extractor = self.feature_extractor
        rate = extractor.sampling_rate
        there = [x if isinstance(x, np.ndarray) else open_audio(x, sampling_rate=rate) for x in sounds if x is not None]
        if not there:
            return {}  # every row is without a sound: the model reads the absent tensor from modality_mask
        padding = inspect.signature(extractor.__call__).parameters.get("padding")
        # Whisper's pads to its one length by itself, and takes no other
        kwargs = {"padding": True} if padding is not None and padding.default in (False, None) else {}
        made = extractor(there, sampling_rate=rate, return_tensors="pt", **kwargs)
        queue = {_AUDIO_NAMES.get(name, name): iter(tensor) for name, tensor in made.items()}
        blanks = {_AUDIO_NAMES.get(name, name): torch.zeros_like(tensor[0]) for name, tensor in made.items()}
        return {
            name: torch.stack([blanks[name] if x is None else next(tensors) for x in sounds])
            for name, tensors in queue.items()
        }

    def check_model(self, config: PreTrainedConfig) -> None:
        """Checks that a model can read what this processor makes.

        Raises:
            ValueError: if the modalities differ, or the tokenizer has more tokens or makes longer texts than the text
                tower can embed.
        """
        if tuple(config.modalities) != self.modalities:
            raise ValueError(
                f"The model's modalities {list(config.modalities)} are not the processor's {list(self.modalities)}: "
                "build both with from_towers_pretrained on the same towers."
            )
        if "text" not in self.modalities:
            return
        vocab_size = getattr(config.text_config, "vocab_size", None)
        if vocab_size is not None and len(self.tokenizer) > vocab_size:
            raise ValueError(
                f"The tokenizer has {len(self.tokenizer)} tokens, the text tower's embedding only {vocab_size}: use "
                "the tower's own tokenizer, or call model.resize_token_embeddings(len(processor.tokenizer))."
            )
        limit = longest_text(config.text_config)
        if limit is not None and self.tokenizer.model_max_length > limit:
            raise ValueError(
                f"The tokenizer cuts texts at {self.tokenizer.model_max_length} tokens, the text tower has positions "
                f"for {limit} only: set processor.tokenizer.model_max_length (data.max_length) to {limit} or less."
            )

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> list[str]:  # noqa: ANN401
        """Saves the components, and the code that loads them where this package is absent."""
        copy_modeling_code(save_directory)
        return super().save_pretrained(str(save_directory), push_to_hub=push_to_hub, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """Serialises the processor; `modalities` tells loading which components there are."""
        components = COMPONENTS.values()
        saved = {k: v for k, v in super().to_dict().items() if k not in components or getattr(self, k)}
        return {**saved, "modalities": list(self.modalities)}

    @classmethod
    def _get_arguments_from_pretrained(
        cls,
        pretrained_model_name_or_path: str,
        processor_dict: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[Any]:
        saved = (processor_dict or {}).get("modalities", list(MODALITIES))
        image_processor = tokenizer = feature_extractor = None
        if "image" in saved:
            image_processor = AutoImageProcessor.from_pretrained(pretrained_model_name_or_path, **kwargs)
        if "text" in saved:
            tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
        if "audio" in saved:
            feature_extractor = AutoFeatureExtractor.from_pretrained(pretrained_model_name_or_path, **kwargs)
        return [image_processor, tokenizer, feature_extractor]


def _as_rows(values: Any, single: type | None) -> list | None:  # noqa: ANN401 (one value or a list of them)
    """One value or a list of values -> list.

    As in chat inputs, a row's image may stand in a list of its own, and an empty list is a row without one.
    """
    if values is None:
        return None
    if isinstance(values, (list, tuple)) and not (single is None and values and isinstance(values[0], (int, float))):
        return [(x[0] if x else None) if _is_nested_image(x, single) else x for x in values]
    if single is None and getattr(values, "ndim", 3) == 4:
        return list(values)
    return [values]


def _as_sounds(values: Any) -> list | None:  # noqa: ANN401 (one sound or a list of them)
    """One sound or a list of sounds -> list."""
    return None if values is None else list(values) if isinstance(values, list) else [values]


def _is_nested_image(value: Any, single: type | None) -> bool:  # noqa: ANN401 (text, or any kind of image)
    return single is None and isinstance(value, (list, tuple)) and len(value) <= 1


def _input_size(image_processor: Any) -> tuple[int, int] | None:  # noqa: ANN401 (any image processor)
    size = image_processor.crop_size if getattr(image_processor, "do_center_crop", False) else image_processor.size
    if size is None or size.get("height") is None or size.get("width") is None:
        return None
    return size["height"], size["width"]


__all__ = ["COMPONENTS", "TOWER_CONFIG_FIELDS", "MultimodalProcessor"]
