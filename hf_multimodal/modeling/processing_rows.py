# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""One modality's column of raw rows to tensors; where a row lacks the modality, zeros of the same shape stand."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .audio_opening import open_audio
from .video_opening import open_video

# How feature extractors call what they make.
AUDIO_NAMES = {
    "input_values": "audio_values",
    "input_features": "audio_values",
    "attention_mask": "audio_mask",
    "padding_mask": "audio_mask",
}


def process_texts(tokenizer: Any, texts: Sequence[str | None], kwargs: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Tokenises the texts; absent ones become empty. Every row gets at least one token, if need be padding."""
    texts = ["" if x is None else x for x in texts]
    encoded = tokenizer(texts, **kwargs)
    if all(len(ids) == 0 for ids in encoded["input_ids"]):  # tokenizers without special tokens
        encoded = tokenizer(texts, **{**kwargs, "padding": "max_length", "max_length": 1})
    return dict(encoded)


def process_images(image_processor: Any, images: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Processes the images; without any, the blanks' size is that of the image processor, where it has one."""
    there = [x for x in images if x is not None]
    if len(there) == len(images):
        return dict(image_processor(there, **kwargs))
    if there:
        processed = list(image_processor(there, **{**kwargs, "return_tensors": "pt"})["pixel_values"])
        blank = torch.zeros_like(processed[0])
    else:
        processed, side = [], _input_size(image_processor)
        if side is None:
            return {}  # the model reads the absent tensor from modality_mask
        blank = torch.zeros(3, *side)
    queue = iter(processed)
    return {"pixel_values": [blank if x is None else next(queue) for x in images]}


def process_sounds(extractor: Any, sounds: Sequence[Any]) -> dict[str, Any]:  # noqa: ANN401 (any feature extractor)
    """Opens, resamples and processes the sounds."""
    rate = extractor.sampling_rate
    there = [x if isinstance(x, np.ndarray) else open_audio(x, sampling_rate=rate) for x in sounds if x is not None]
    if not there:
        return {}
    padding = inspect.signature(extractor.__call__).parameters.get("padding")
    # Whisper's pads to its one length by itself, and takes no other
    kwargs = {"padding": True} if padding is not None and padding.default in (False, None) else {}
    made = extractor(there, sampling_rate=rate, return_tensors="pt", **kwargs)
    return _with_blanks({AUDIO_NAMES.get(name, name): tensor for name, tensor in made.items()}, sounds)


def process_videos(
    image_processor: Any,  # noqa: ANN401 (any image processor)
    videos: Sequence[Any],
    num_frames: int,
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """Opens the clips and processes their frames as pictures."""
    there = [open_video(x, num_frames=num_frames) for x in videos if x is not None]
    if not there:
        return {}
    frames = [frame for clip in there for frame in torch.from_numpy(clip).permute(0, 3, 1, 2)]
    pixels = image_processor(frames, **{**kwargs, "return_tensors": "pt"})["pixel_values"]
    return _with_blanks({"pixel_values_videos": pixels.unflatten(0, (len(there), num_frames))}, videos)


def process_series(extractor: Any, series: Sequence[Any]) -> dict[str, Any]:  # noqa: ANN401 (MultimodalSeriesProcessor)
    """Processes the series."""
    there = [x for x in series if x is not None]
    return _with_blanks(dict(extractor(there, return_tensors="pt")), series) if there else {}


def _with_blanks(made: Mapping[str, torch.Tensor], rows: Sequence[Any]) -> dict[str, torch.Tensor]:
    """Spreads the tensors of the rows that are there over all rows; zeros stand for the others."""
    there = torch.tensor([x is not None for x in rows])
    return {
        name: tensor.new_zeros(len(rows), *tensor.shape[1:]).masked_scatter(
            there.view(-1, *[1] * (tensor.ndim - 1)), tensor
        )
        for name, tensor in made.items()
    }


def as_rows(values: Any, single: type | None) -> list | None:  # noqa: ANN401 (one value or a list of them)
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


def as_list(values: Any) -> list | None:  # noqa: ANN401 (one value or a list of them)
    """One sound, clip or series, or a list of them -> list."""
    return None if values is None else list(values) if isinstance(values, list) else [values]


def _is_nested_image(value: Any, single: type | None) -> bool:  # noqa: ANN401 (text, or any kind of image)
    return single is None and isinstance(value, (list, tuple)) and len(value) <= 1


def _input_size(image_processor: Any) -> tuple[int, int] | None:  # noqa: ANN401 (any image processor)
    size = image_processor.crop_size if getattr(image_processor, "do_center_crop", False) else image_processor.size
    if size is None or size.get("height") is None or size.get("width") is None:
        return None
    return size["height"], size["width"]


__all__ = [
    "AUDIO_NAMES",
    "as_list",
    "as_rows",
    "process_images",
    "process_series",
    "process_sounds",
    "process_texts",
    "process_videos",
]
