# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Pictures as they are, as the model saw them, and as it drew them again, one above the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

RECONSTRUCTIONS = "reconstructions_{modality}.png"
_SIDE = 64  # of a picture on the sheet, at least, in pixels
_GAP = 2


def write_reconstructions(
    folder: Path,
    modality: str,
    rows: Mapping[str, np.ndarray],
    mean: Sequence[float] | float = 0.0,
    std: Sequence[float] | float = 1.0,
) -> Path:
    """Writes `reconstructions_MODALITY.png`: a column for each picture, a line for each of its states.

    Args:
        folder: Where it goes.
        modality: `image` or `audio` (spectrograms, low bands below, scaled to what they hold).
        rows: State -> (N, C, height, width) normalised pixels; the first one is the original.
        mean: Mean of the normalisation, per channel.
        std: Its standard deviation.
    """
    lines = [_line(_as_bytes(pixels, modality, mean, std, next(iter(rows.values())))) for pixels in rows.values()]
    gap = np.full((_GAP, *lines[0].shape[1:]), 255, dtype=np.uint8)
    sheet = np.concatenate([part for line in lines for part in (line, gap)][:-1], axis=0)
    target = folder / RECONSTRUCTIONS.format(modality=modality)
    Image.fromarray(sheet.squeeze()).save(target)
    return target


def _as_bytes(
    pixels: np.ndarray, modality: str, mean: Sequence[float] | float, std: Sequence[float] | float, original: np.ndarray
) -> np.ndarray:
    """Turns normalised pixels (N, C, height, width) into bytes (N, height, width, C)."""
    if modality == "audio":
        low, high = original.min(), original.max()
        values = (pixels[:, :, ::-1] - low) / max(high - low, 1e-6)
    else:
        values = pixels * np.reshape(std, (1, -1, 1, 1)) + np.reshape(mean, (1, -1, 1, 1))
    return (values.clip(0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)


def _line(pictures: np.ndarray) -> np.ndarray:
    """Puts pictures side by side, small ones enlarged."""
    factor = max(1, -(-_SIDE // min(pictures.shape[1:3])))
    large = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    gap = np.full((large.shape[1], _GAP, large.shape[3]), 255, dtype=np.uint8)
    return np.concatenate([part for picture in large for part in (picture, gap)][:-1], axis=1)


__all__ = ["RECONSTRUCTIONS", "write_reconstructions"]
