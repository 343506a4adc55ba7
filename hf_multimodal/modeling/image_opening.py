# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Opens an image of any kind safely: size checked before decoding, wholly decoded, upright, and RGB."""

import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .media_files import open_file

DEFAULT_MAX_PIXELS = 50_000_000
# Formats that are decoded inside this process: EPS, for one, would start Ghostscript.
SAFE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# What Pillow's decoders raise on damaged files, beside OSError (which UnidentifiedImageError is).
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AttributeError,
    RuntimeError,
    struct.error,
    zlib.error,
)


class ImageError(ValueError):
    """An image that cannot be used; the text says why, and what to do about it."""


def open_image(
    value: Any,  # noqa: ANN401 (told apart below)
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    formats: tuple[str, ...] = SAFE_FORMATS,
) -> Image.Image:
    """Opens one image and returns it upright, wholly decoded, in RGB.

    Args:
        value: A PIL image, a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), encoded bytes, the path of a local
            file, or the mapping `{"bytes": …, "path": …}` that `datasets.Image(decode=False)` yields.
        max_pixels: Largest height times width that is decoded.
        formats: Those of `SAFE_FORMATS` that encoded pictures may have.

    Raises:
        ImageError: if the value is of another kind, is missing, damaged or truncated, of a format that is not read, has
            no pixels, or has more than `max_pixels`.
    """
    if isinstance(value, Mapping):
        value = _from_mapping(value)
    if isinstance(value, np.ndarray):
        image = _from_array(value, max_pixels)
    elif isinstance(value, Image.Image):
        image = _decoded(value, max_pixels)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _refuse_empty(len(value))
        image = _decoded(_read_header(io.BytesIO(value), formats), max_pixels)
    elif isinstance(value, (str, Path)):
        return open_file(value, "image", ImageError, lambda x: open_image(x, max_pixels=max_pixels, formats=formats))
    else:
        raise ImageError(
            f"a value of type {type(value).__name__} is not an image. Give a PIL image, a uint8 numpy array, encoded "
            "bytes, the path of a local file, or {'bytes': ..., 'path': ...}."
        )
    return _to_rgb(_upright(image))


def _from_mapping(value: Mapping[str, Any]) -> bytes | str:
    for key in ("bytes", "path"):
        if value.get(key) is not None:
            return value[key]
    raise ImageError(
        f"a mapping with keys {sorted(map(str, value))} has neither 'bytes' nor 'path' filled in. Fill in one of them, "
        "or use None for an absent image."
    )


def _refuse_empty(size: int) -> None:
    if size == 0:
        raise ImageError("the image holds no bytes (an empty file?). Write it again, or drop the row.")


def _from_array(array: np.ndarray, max_pixels: int) -> Image.Image:
    is_image_shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not is_image_shaped:
        raise ImageError(
            f"an array of dtype {array.dtype} and shape {array.shape} is not an image. Give uint8 values from 0 to 255 "
            "of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): scale floats by 255, and move channels last."
        )
    _check_size(array.shape[1], array.shape[0], max_pixels)
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _read_header(file: BinaryIO, formats: tuple[str, ...]) -> Image.Image:
    """Identifies the format and the size; decodes no pixels."""
    try:
        with warnings.catch_warnings():
            # Our own limit decides, whatever the user does with warnings.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"this is not an image in one of the formats that are read: {', '.join(formats)}. Convert it to PNG "
            "or JPEG, or check that the file is not damaged."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"the image is far too large to decode ({error}). Resize it.") from error
    except _DECODING_ERRORS as error:
        raise ImageError(f"the image's header is damaged ({error}). Write the file again, or drop the row.") from error


def _decoded(image: Image.Image, max_pixels: int) -> Image.Image:
    _check_size(image.width, image.height, max_pixels)
    try:
        image.load()
    except _DECODING_ERRORS as error:
        raise ImageError(
            f"the image is truncated or damaged ({error}). Write the file again, or drop the row."
        ) from error
    return image


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"the image has no pixels: it is {width} x {height}. Use None for an absent image.")
    if width * height > max_pixels:
        raise ImageError(
            f"the image is {width} x {height} = {width * height:,} pixels, over the limit of {max_pixels:,}. Resize "
            "it, or raise max_pixels if you trust where it comes from."
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _DECODING_ERRORS:
        return image  # Cameras write broken EXIF blocks beside sound pixels.


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_eight_bits(np.asarray(image), image.mode))
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        page = Image.new("RGBA", opaque.size, (255, 255, 255, 255))
        return Image.alpha_composite(page, opaque).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Rescales deep greys: integers from their 16-bit range, floats (which have no fixed range) from their own."""
    values = np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0)
    if mode == "F":
        low, high = values.min(), values.max()
        values = (values - low) / ((high - low) or 1.0) * 65535.0
    return (np.clip(values, 0.0, 65535.0) / 257.0).round().astype(np.uint8)
