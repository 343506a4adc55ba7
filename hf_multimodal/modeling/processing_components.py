# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The components of a processor: their names, and how those are built that transformers knows no name for."""

from collections.abc import Callable
from typing import Any

import transformers
from transformers import ProcessorMixin
from transformers.image_processing_utils import ImageProcessingMixin

from .image_processing_multimodal import MultimodalImageProcessor
from .series_processing_multimodal import MultimodalSeriesProcessor

# Modality -> the component that reads it, in the package's modality order. The last two are further components of kinds
# that transformers knows, and told apart from the first ones by their prefix.
COMPONENTS = {
    "text": "tokenizer",
    "image": "image_processor",
    "audio": "feature_extractor",
    "video": "video_image_processor",
    "series": "series_feature_extractor",
}
# Of the arguments, as transformers passes them by position; it knows the first three by name.
COMPONENT_ORDER = (
    "image_processor",
    "tokenizer",
    "feature_extractor",
    "video_image_processor",
    "series_feature_extractor",
    "decoder_tokenizer",
)


class AbsentTokenizer:
    """Stands where a processor without text has no tokenizer: it knows no special token, and counts as false.

    `transformers.Trainer` asks the tokenizer of every processor for its special tokens.
    """

    eos_token_id = bos_token_id = pad_token_id = None

    def __bool__(self) -> bool:
        return False


class ComponentNames:
    """`get_attributes`: of the class, those that transformers knows by name; of an instance, all those it has.

    ProcessorMixin refuses a component that is None; an image-only model has no tokenizer.
    """

    def __get__(self, instance: ProcessorMixin | None, owner: type) -> Callable[[], list[str]]:
        if instance is None:
            return lambda: list(COMPONENT_ORDER[:3])
        present = [name for name in COMPONENT_ORDER if getattr(instance, name, None)]
        return lambda: present


def build_component(saved: dict[str, Any]) -> Any:  # noqa: ANN401 (an image processor or a feature extractor)
    """Builds a component that transformers finds under no name of its own, from what `to_dict` wrote.

    Raises:
        ValueError: if what was saved names no image processor of transformers, and none of ours.
    """
    name = str(saved.get("image_processor_type") or saved.get("feature_extractor_type"))
    own: dict[str, Any] = {c.__name__: c for c in (MultimodalImageProcessor, MultimodalSeriesProcessor)}
    component_class = own.get(name) or getattr(transformers, name, None)
    # a name in a file may choose among processors, but call nothing else
    if not (isinstance(component_class, type) and issubclass(component_class, (*own.values(), ImageProcessingMixin))):
        raise ValueError(f"The saved processor names {name!r}, which is no image processor of transformers.")
    return component_class(**{key: value for key, value in saved.items() if not key.endswith("_type")})


__all__ = ["COMPONENTS", "COMPONENT_ORDER", "AbsentTokenizer", "ComponentNames", "build_component"]
