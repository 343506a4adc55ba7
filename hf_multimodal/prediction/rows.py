# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows of untrusted bytes to tensors: bounds first, then each row opened by itself, then a batch of any of them."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import BatchFeature

from hf_multimodal.data.collator import BATCH_OPTIONS, presence_mask
from hf_multimodal.modeling.audio_opening import AudioError, open_audio
from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS
from hf_multimodal.modeling.image_opening import DEFAULT_MAX_PIXELS, SAFE_FORMATS, ImageError, open_image
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.modeling.series_processing_multimodal import SeriesError
from hf_multimodal.modeling.video_opening import VideoError, open_video

# modalities whose tensors do not depend on the rest of the batch, and are small beside what they were made of
_OPENED_TO_TENSORS = ("image", "video")


class InputError(ValueError):
    """A row that cannot be used.

    Args:
        message: What is wrong, and what to do.
        modality: Where; None where it is the row as a whole.
    """

    def __init__(self, message: str, modality: str | None = None) -> None:
        super().__init__(message)
        self.modality = modality


@dataclass(frozen=True)
class Limits:
    """What is read of a row.

    Attributes:
        characters: Longest text.
        pixels: Largest picture, height times width; of a clip, of its frames.
        seconds: Longest sound or clip.
        aspect: How many times as long as wide a picture or frame may be, or as wide as long: resized by its shorter
            side, a strip becomes far larger than it was.
        decoded_pixels: Pixels of all frames of a clip together.
        image_formats: Formats of pictures; Pillow's names.
    """

    characters: int = 20_000
    pixels: int = 25_000_000
    seconds: float = 60.0
    aspect: float = 50.0
    decoded_pixels: int = 2_000_000_000
    image_formats: tuple[str, ...] = ("PNG", "JPEG", "WEBP")


# of rows that are the user's own, not a stranger's: all that training reads
OWN_ROWS = Limits(
    characters=10**9,
    pixels=DEFAULT_MAX_PIXELS,
    seconds=600.0,
    aspect=math.inf,
    decoded_pixels=sys.maxsize,
    image_formats=SAFE_FORMATS,
)


class RowReader:
    """Opens rows and makes batches of them.

    Args:
        processor: The model's.
        limits: What is read of a row.
    """

    def __init__(self, processor: MultimodalProcessor, limits: Limits = Limits()) -> None:
        self.processor, self.limits = processor, limits
        self._openers = {
            "text": self._open_text,
            "image": self._open_image,
            "audio": self._open_audio,
            "video": self._open_video,
            "series": self._open_series,
        }

    def open(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Opens one row.

        Args:
            row: Modality -> a text, the bytes of a file, a series; None or no key = absent.

        Returns:
            Modality -> what `batch` takes, or None.

        Raises:
            InputError: naming the modality that is wrong, not read by the model, or that there is none.
        """
        known = self.processor.modalities
        if unknown := sorted(set(row) - set(known)):
            raise InputError(f"This model does not read {unknown[0]}: it reads {', '.join(known)}.", unknown[0])
        opened = {}
        for modality in known:
            value = row.get(modality)
            try:
                opened[modality] = None if value is None else self._openers[modality](value)
            except (AudioError, ImageError, OverflowError, SeriesError, VideoError) as error:
                raise InputError(str(error), modality) from error
        if all(value is None for value in opened.values()):
            raise InputError(f"The row is empty: give at least one of {', '.join(known)}.")
        return opened

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> BatchFeature:
        """Makes the tensors of opened rows, whatever each of them has."""
        columns = {modality: [row[modality] for row in rows] for modality in self.processor.modalities}
        others = {modality: cells for modality, cells in columns.items() if modality not in _OPENED_TO_TENSORS}
        batch = self.processor.tensors_of(others, **BATCH_OPTIONS) if others else BatchFeature({})
        for modality in _OPENED_TO_TENSORS:
            there = [cell for cell in columns.get(modality, ()) if cell is not None]
            if there:
                blank = torch.zeros_like(there[0])
                cells = [blank if cell is None else cell for cell in columns[modality]]
                batch[TOWER_INPUTS[modality][0]] = torch.stack(cells)
        batch["modality_mask"] = presence_mask(columns)
        return batch

    def _open_text(self, value: Any) -> str:  # noqa: ANN401 (checked here)
        if not isinstance(value, str):
            raise InputError(f"A value of type {type(value).__name__} is not a text.", "text")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError("The text holds half a character (a lone surrogate).", "text") from error
        if len(value) > self.limits.characters:
            raise InputError(
                f"The text has {len(value):,} characters, over the limit of {self.limits.characters:,}: shorten it.",
                "text",
            )
        return value

    def _open_image(self, value: Any) -> torch.Tensor:  # noqa: ANN401 (what `open_image` takes)
        picture = open_image(value, max_pixels=self.limits.pixels, formats=self.limits.image_formats)
        self._check_shape(picture.height, picture.width, "image")
        # the component itself: the processor's merging of arguments would take as long as the picture
        return self.processor.image_processor([picture], return_tensors="pt")["pixel_values"][0]

    def _open_audio(self, value: Any) -> Any:  # noqa: ANN401 (what `open_audio` takes)
        rate = self.processor.feature_extractor.sampling_rate
        return open_audio(value, sampling_rate=rate, max_seconds=self.limits.seconds)

    def _open_video(self, value: Any) -> torch.Tensor:  # noqa: ANN401 (what `open_video` takes)
        limits: dict[str, Any] = {"max_pixels": self.limits.pixels, "max_seconds": self.limits.seconds}
        limits["max_total_pixels"] = self.limits.decoded_pixels
        frames = open_video(value, num_frames=self.processor.num_frames, **limits)
        self._check_shape(frames.shape[1], frames.shape[2], "video")
        return self.processor.tensors_of({"video": [frames]}, return_tensors="pt")["pixel_values_videos"][0]

    def _check_shape(self, height: int, width: int, modality: str) -> None:
        if max(height, width) > self.limits.aspect * min(height, width):
            raise InputError(
                f"It is {width} x {height}: the longer side may be {self.limits.aspect:g} times the shorter one.",
                modality,
            )

    def _open_series(self, value: Any) -> Any:  # noqa: ANN401 (an OpenedSeries)
        return self.processor.series_feature_extractor.open(value)


__all__ = ["OWN_ROWS", "InputError", "Limits", "RowReader"]
