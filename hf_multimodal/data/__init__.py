# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows: where they come from, what their columns mean, and how they become batches.

The public names are loaded when they are used: some of them import torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_multimodal.data.collator import MultimodalCollator, RowError
    from hf_multimodal.data.labels import LabelError, LabelSchema, check_labels
    from hf_multimodal.data.loading import load_rows
    from hf_multimodal.data.scenes import make_scenes
    from hf_multimodal.data.word_tokenizer import build_word_tokenizer
    from hf_multimodal.modeling.image_opening import ImageError, open_image

_MODULES = {
    "ImageError": "hf_multimodal.modeling.image_opening",
    "LabelError": "hf_multimodal.data.labels",
    "LabelSchema": "hf_multimodal.data.labels",
    "MultimodalCollator": "hf_multimodal.data.collator",
    "RowError": "hf_multimodal.data.collator",
    "build_word_tokenizer": "hf_multimodal.data.word_tokenizer",
    "check_labels": "hf_multimodal.data.labels",
    "load_rows": "hf_multimodal.data.loading",
    "make_scenes": "hf_multimodal.data.scenes",
    "open_image": "hf_multimodal.modeling.image_opening",
}

__all__ = [
    "ImageError",
    "LabelError",
    "LabelSchema",
    "MultimodalCollator",
    "RowError",
    "build_word_tokenizer",
    "check_labels",
    "load_rows",
    "make_scenes",
    "open_image",
]


def __getattr__(name: str) -> object:
    """Loads a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Lists the public names."""
    return __all__
