# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Opens a sound of any kind safely: length checked before decoding, mixed to one channel, resampled."""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .media_files import open_file

try:  # a wheel that carries libsndfile; only sound needs it
    import soundfile
except ImportError:
    soundfile = None

try:
    from scipy.signal import resample_poly
except ImportError:
    resample_poly = None

DEFAULT_MAX_SECONDS = 600.0
MAX_SAMPLING_RATE = 384_000  # of files; a filter to resample from more would be huge
_BLOCK = 1 << 16
SAFE_FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")


class AudioError(ValueError):
    """A sound that cannot be used; the text says why, and what to do about it."""


def open_audio(value: Any, *, sampling_rate: int, max_seconds: float = DEFAULT_MAX_SECONDS) -> np.ndarray:  # noqa: ANN401
    """Opens one sound and returns its samples at the wanted rate, in one channel.

    Args:
        value: Encoded bytes (WAV, FLAC, OGG or MP3), the path of a local file, the mapping `{"bytes": …, "path": …}`
            that `datasets.Audio(decode=False)` yields, `{"array": …, "sampling_rate": …}`, or a pair of these two.
        sampling_rate: Samples per second of the result. Sounds of another rate are resampled by a polyphase filter
            (`scipy.signal.resample_poly`).
        max_seconds: Longest sound that is decoded.

    Returns:
        (samples,) float32; values of encoded sounds lie between -1 and 1.

    Raises:
        AudioError: if the value is of another kind, is missing, damaged, empty, too long, or has no sampling rate.
    """
    samples, rate = _read(value, max_seconds)
    if samples.size == 0:
        raise AudioError("the sound has no samples. Use None for an absent one, or drop the row.")
    if not np.isfinite(samples).all():
        raise AudioError("the sound holds values that are not finite. Write it again, or drop the row.")
    return resample(samples, rate, sampling_rate)


def encode_wav(value: Any) -> bytes:  # noqa: ANN401 (what `open_audio` takes)
    """Encodes samples, given as in `open_audio`, as a WAV file of floats at their own rate.

    Raises:
        AudioError: as `open_audio`.
    """
    samples, rate = _read(value, DEFAULT_MAX_SECONDS)
    if soundfile is None:
        raise AudioError("sounds are encoded by soundfile, which is not installed: pip install soundfile.")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Brings (samples,) from one rate to another.

    Raises:
        AudioError: if scipy is missing.
    """
    if rate == wanted:
        return samples
    if resample_poly is None:
        raise AudioError(
            f"the sound has {rate} samples a second, wanted are {wanted}: pip install scipy to resample it."
        )
    divisor = math.gcd(rate, wanted)
    return resample_poly(samples, wanted // divisor, rate // divisor).astype(np.float32)


def _read(value: Any, max_seconds: float) -> tuple[np.ndarray, int]:  # noqa: ANN401 (told apart here)
    if isinstance(value, tuple) and len(value) == 2:
        value = {"array": value[0], "sampling_rate": value[1]}
    if isinstance(value, Mapping):
        if value.get("array") is not None:
            return _from_array(value["array"], value.get("sampling_rate"))
        value = next((value[key] for key in ("bytes", "path") if value.get(key) is not None), None)
    if isinstance(value, (bytes, bytearray, memoryview)):
        if len(value) == 0:
            raise AudioError("the sound holds no bytes (an empty file?). Write it again, or drop the row.")
        return _decode(io.BytesIO(value), max_seconds)
    if isinstance(value, (str, Path)):
        return open_file(value, "sound", AudioError, lambda encoded: _read(encoded, max_seconds))
    raise AudioError(
        f"a value of type {type(value).__name__} is not a sound. Give encoded bytes, the path of a local file, "
        "{'bytes': ..., 'path': ...} or {'array': ..., 'sampling_rate': ...}."
    )


def _from_array(array: Any, rate: Any) -> tuple[np.ndarray, int]:  # noqa: ANN401 (checked here)
    if not isinstance(rate, (int, np.integer)) or rate < 1:
        raise AudioError(f"the samples come with sampling_rate={rate!r}: give samples per second, a positive integer.")
    samples = np.asarray(array)
    if samples.dtype.kind not in "fiu":
        raise AudioError(f"samples of dtype {samples.dtype} are no sound: give floats between -1 and 1, or integers.")
    if samples.dtype.kind in "iu":
        samples = samples.astype(np.float32) / np.iinfo(samples.dtype).max
    if samples.ndim == 2:  # of the two axes, channels are the shorter one
        samples = samples.mean(axis=int(samples.shape[1] < samples.shape[0]))
    if samples.ndim != 1:
        raise AudioError(f"samples of shape {samples.shape} are no sound: give (samples,) or (channels, samples).")
    return samples.astype(np.float32), int(rate)


def _decode(file: io.BytesIO, max_seconds: float) -> tuple[np.ndarray, int]:
    if soundfile is None:
        raise AudioError("sounds are decoded by soundfile, which is not installed: pip install soundfile.")
    try:
        with soundfile.SoundFile(file) as sound:
            if sound.format not in SAFE_FORMATS:
                raise AudioError(
                    f"sounds of format {sound.format} are not read: convert it to {', '.join(SAFE_FORMATS)}."
                )
            seconds = sound.frames / sound.samplerate
            if seconds > max_seconds:
                raise AudioError(
                    f"the sound lasts {seconds:,.0f} s, over the limit of {max_seconds:,.0f} s. Cut it, or raise "
                    "max_seconds if you trust where it comes from."
                )
            if sound.samplerate > MAX_SAMPLING_RATE:
                raise AudioError(
                    f"the sound has {sound.samplerate:,} samples a second, over the limit of {MAX_SAMPLING_RATE:,}. "
                    "Resample it."
                )
            # block by block: of many channels the whole would be many times as large as their mean
            blocks = [block.mean(axis=1) for block in sound.blocks(_BLOCK, dtype="float32", always_2d=True)]
            samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
            return samples, sound.samplerate
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise AudioError(
            f"this is not a sound that can be read, or it is damaged ({error}). Convert it to WAV or FLAC, or drop "
            "the row."
        ) from error


__all__ = ["AudioError", "encode_wav", "open_audio", "resample"]
