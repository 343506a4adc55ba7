# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Opens a clip of any kind safely: size and length checked before decoding, frames sampled uniformly, upright, RGB."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .image_opening import DEFAULT_MAX_PIXELS, ImageError, open_image
from .media_files import open_file

av: Any  # a wheel that carries FFmpeg's libraries; only clips need it
try:
    import av
except ImportError:
    av = None

DEFAULT_MAX_SECONDS = 600.0
MAX_FRAMES = 100_000
# FFmpeg's names of containers that hold their frames themselves: a playlist, for one, would make it read other files.
# MPEG program streams are left out: PyAV before 18 crashes on them.
SAFE_FORMATS = ("mov", "mp4", "matroska", "webm", "avi", "mpegts", "ogg", "gif", "apng")


class VideoError(ValueError):
    """A clip that cannot be used; the text says why, and what to do about it."""


def sample_frames(count: int, num_frames: int) -> list[int]:
    """Chooses frames at equal distances, the first and the last among them.

    Args:
        count: Frames of the clip.
        num_frames: How many are wanted. A clip of fewer gives all of them, and the last one again and again.

    Returns:
        Their indices, ascending.
    """
    if count <= num_frames:
        return [min(index, count - 1) for index in range(num_frames)]
    return np.linspace(0, count - 1, num_frames).round().astype(int).tolist()


def open_video(
    value: Any,  # noqa: ANN401 (told apart below)
    *,
    num_frames: int,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_seconds: float = DEFAULT_MAX_SECONDS,
    max_total_pixels: int | None = None,
) -> np.ndarray:
    """Opens one clip and returns some of its frames, see `sample_frames`.

    Args:
        value: Encoded bytes (MP4, WebM, MKV, AVI, MPEG-TS, OGG, GIF, APNG; a picture is a clip of one frame), the path
            of a local file, the mapping `{"bytes": …, "path": …}` that `datasets.Video(decode=False)` yields, a uint8
            array or tensor (T, H, W, 3) or (T, 3, H, W), or a list of frames, each of which `open_image` opens.
        num_frames: How many frames.
        max_pixels: Largest height times width of a frame that is decoded.
        max_seconds: Longest clip that is decoded.
        max_total_pixels: Most pixels of all frames of an encoded clip together; None does not count them.

    Returns:
        (num_frames, height, width, 3) uint8.

    Raises:
        VideoError: if the value is of another kind, is missing, damaged, empty, too large or too long.
    """
    limits: dict[str, Any] = {
        "max_pixels": max_pixels,
        "max_seconds": max_seconds,
        "max_total_pixels": max_total_pixels,
    }
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("bytes", "path") if value.get(key) is not None), None)
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return _from_array(np.asarray(value), num_frames)
    if isinstance(value, (bytes, bytearray, memoryview)):
        if len(value) == 0:
            raise VideoError("the clip holds no bytes (an empty file?). Write it again, or drop the row.")
        return _decode(bytes(value), num_frames, **limits)
    if isinstance(value, (str, Path)):
        return open_file(value, "clip", VideoError, lambda x: open_video(x, num_frames=num_frames, **limits))
    if isinstance(value, Sequence):
        return _from_frames(value, num_frames, max_pixels)
    raise VideoError(
        f"a value of type {type(value).__name__} is not a clip. Give encoded bytes, the path of a local file, "
        "{'bytes': ..., 'path': ...}, a uint8 array (frames, height, width, 3), or a list of images."
    )


def encode_video(value: Any, frames_per_second: int = 8) -> bytes:  # noqa: ANN401 (an array, or a list of images)
    """Encodes all frames of an array (T, H, W, 3) or a list of images, given as in `open_video`, without loss.

    Args:
        value: The frames.
        frames_per_second: Speed.

    Returns:
        An animated PNG.

    Raises:
        VideoError: as `open_video`.
    """
    if av is None:
        raise VideoError("clips are encoded by PyAV, which is not installed: pip install av.")
    if isinstance(value, (np.ndarray, torch.Tensor)):
        frames = _from_array(np.asarray(value), max(1, len(value)))
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and value:
        frames = _from_frames(value, len(value), DEFAULT_MAX_PIXELS)
    else:
        raise VideoError(f"a value of type {type(value).__name__} has no frames to encode.")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="apng") as container:  # Pillow would merge frames that are the same
        stream = container.add_stream("apng", rate=frames_per_second)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _from_array(array: np.ndarray, num_frames: int) -> np.ndarray:
    if array.ndim == 4 and array.shape[3] != 3 and array.shape[1] == 3:  # as torchcodec decodes
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        raise VideoError(
            f"an array of dtype {array.dtype} and shape {array.shape} is not a clip. Give uint8 values from 0 to 255 "
            "of shape (frames, height, width, 3), none of them zero."
        )
    return array[sample_frames(len(array), num_frames)]


def _from_frames(frames: Sequence[Any], num_frames: int, max_pixels: int) -> np.ndarray:
    if len(frames) == 0:
        raise VideoError("the clip has no frames. Use None for an absent one, or drop the row.")
    chosen = sample_frames(len(frames), num_frames)
    try:
        opened = {index: np.asarray(open_image(frames[index], max_pixels=max_pixels)) for index in set(chosen)}
    except ImageError as error:
        raise VideoError(f"a frame cannot be used: {error}") from error
    if len({frame.shape for frame in opened.values()}) > 1:
        raise VideoError("the clip's frames are of different sizes. Resize them to one.")
    return np.stack([opened[index] for index in chosen])


def _decode(
    encoded: bytes, num_frames: int, max_pixels: int, max_seconds: float, max_total_pixels: int | None
) -> np.ndarray:
    if av is None:
        raise VideoError("clips are decoded by PyAV, which is not installed: pip install av.")
    try:
        count = _check_and_count(encoded, max_pixels, max_seconds, max_total_pixels)
        frames, decoded = _decode_frames(encoded, sample_frames(count, num_frames), max_pixels)
        if 0 < decoded < count:  # packets without a frame of their own: trimmed lead-ins, fields
            frames, _ = _decode_frames(encoded, sample_frames(decoded, num_frames), max_pixels)
    except VideoError:
        raise
    except av.error.FFmpegError as error:
        still = _still(encoded, max_pixels)
        if still is None:
            raise VideoError(_damaged(error)) from error
        return np.stack([still] * num_frames)
    except (OSError, EOFError, LookupError, ValueError) as error:
        raise VideoError(_damaged(error)) from error
    if not frames:
        raise VideoError("none of the clip's frames can be decoded. Write the file again, or drop the row.")
    if len({frame.shape for frame in frames}) > 1:
        raise VideoError("the clip changes its size on the way. Convert it to one size, or drop the row.")
    return np.stack(frames)


def _damaged(error: Exception) -> str:
    return f"this is not a clip that can be read, or it is damaged ({error}). Convert it to MP4, or drop the row."


def _still(encoded: bytes, max_pixels: int) -> np.ndarray | None:
    """Opens a picture, which is a clip of one frame; returns None of what is no picture."""
    try:
        return np.asarray(open_image(encoded, max_pixels=max_pixels))
    except ImageError:
        return None


def _decode_frames(encoded: bytes, chosen: list[int], max_pixels: int) -> tuple[list[np.ndarray], int]:
    """Decodes up to the last frame chosen; returns the chosen ones, none if one is lacking, and how many there were."""
    frames: dict[int, np.ndarray] = {}
    decoded = 0
    with _opened(encoded) as container:
        container.streams.video[0].codec_context.options = {"max_pixels": str(max_pixels)}
        for index, frame in enumerate(container.decode(video=0)):
            decoded = index + 1
            if frame.width * frame.height > max_pixels:
                raise VideoError(_too_large(frame.width, frame.height, max_pixels))
            if index in chosen:
                frames[index] = _upright(frame)
            if index >= chosen[-1]:
                return [frames[index] for index in chosen], decoded
    return [], decoded


def _opened(encoded: bytes) -> Any:  # noqa: ANN401 (PyAV's container)
    options = {"format_whitelist": ",".join(SAFE_FORMATS)}
    return av.open(io.BytesIO(encoded), options=options, metadata_errors="replace")


def _check_and_count(encoded: bytes, max_pixels: int, max_seconds: float, max_total_pixels: int | None) -> int:
    """Checks size and length, and counts the frames; decodes none."""
    with _opened(encoded) as container:
        if not container.streams.video:
            raise VideoError("the file holds no moving pictures. Use None for an absent clip, or drop the row.")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise VideoError("the clip is encoded in a way that is not known. Convert it to MP4 with H.264.")
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > max_pixels:
            raise VideoError(_too_large(width, height, max_pixels))
        times = []
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                known = packet.pts is not None and packet.time_base is not None
                times.append(float(packet.pts * packet.time_base) if known else 0.0)
                if max(times[-1] - times[0], times[0] - times[-1]) > max_seconds or len(times) > MAX_FRAMES:
                    raise VideoError(
                        f"the clip is longer than {max_seconds:,.0f} s or {MAX_FRAMES:,} frames. Cut it, or raise "
                        "max_seconds if you trust where it comes from."
                    )
    if max_total_pixels is not None and len(times) * width * height > max_total_pixels:
        raise VideoError(
            f"the clip's {len(times):,} frames have {len(times) * width * height:,} pixels together, over the limit of "
            f"{max_total_pixels:,}. Cut it, or make it smaller."
        )
    if not times:
        raise VideoError("the clip has no frames. Use None for an absent one, or drop the row.")
    return len(times)


def _too_large(width: int, height: int, max_pixels: int) -> str:
    return (
        f"the clip's frames are {width} x {height} = {width * height:,} pixels, over the limit of {max_pixels:,}. "
        "Resize it, or raise max_pixels if you trust where it comes from."
    )


def _upright(frame: Any) -> np.ndarray:  # noqa: ANN401 (PyAV's frame)
    """Turns a frame as its display matrix says (phones film sideways): (H, W, 3) uint8."""
    quarters = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))


__all__ = ["VideoError", "encode_video", "open_video", "sample_frames"]
