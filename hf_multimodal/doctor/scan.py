# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""One pass over the rows: opens everything once and notes what the checks need."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import imagehash
import numpy as np
import soundfile
from PIL import Image
from tqdm.auto import tqdm

from hf_multimodal.data.columns import ROW_ID, is_empty
from hf_multimodal.doctor.findings import Place
from hf_multimodal.modeling.audio_opening import AudioError, open_audio
from hf_multimodal.modeling.image_opening import ImageError, open_image
from hf_multimodal.modeling.video_opening import VideoError, open_video

THUMBNAIL = 16  # side of the small copies that are compared, in pixels
_LISTENING_RATE = 8000  # at which sounds are looked at
_WATCHED_FRAMES = 4


@dataclass
class RowFacts:
    """What the checks need of one row.

    Attributes:
        place: Split, id and place in the split.
        errors: Modality -> why it cannot be opened.
        hashes: Modality -> hash of its content, of texts normalised. Absent ones have none.
        texts: The text, or several.
        size: Width and height of the picture.
        looks: Perceptual hash of the picture (pHash, 64 bits).
        thumbnail: (16, 16, 3) uint8.
        blank: Whether the picture has one colour only.
        seconds: Length of the sound.
        rate: Its sampling rate, if its file tells.
        silent: Whether it has no signal.
        series: The series, as it stands in the row.
    """

    place: Place
    errors: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    looks: int | None = None
    thumbnail: np.ndarray | None = None
    blank: bool = False
    seconds: float | None = None
    rate: int | None = None
    silent: bool = False
    series: Any = None

    @property
    def text(self) -> str:
        """The text; of several all of them."""
        return " / ".join(self.texts)

    @property
    def content(self) -> tuple[tuple[str, str], ...]:
        """What the row says, to be compared."""
        return tuple(sorted(self.hashes.items()))


def scan_rows(splits: Mapping[str, datasets.Dataset], modalities: tuple[str, ...]) -> dict[str, list[RowFacts]]:
    """Opens every row of every split: role -> facts.

    Args:
        splits: Role -> rows as `load_rows` returns them.
        modalities: Those that are looked at.
    """
    return {
        role: [
            _facts(row, (role, str(row[ROW_ID]), place), modalities)
            for place, row in enumerate(tqdm(rows, desc=f"Examining {role} rows", leave=False, mininterval=0.5))
        ]
        for role, rows in splits.items()
    }


def normalised(text: str) -> str:
    """A text without case, double spaces and what punctuation ends it, to be compared."""
    return " ".join(text.casefold().split()).rstrip(".!?,;: ")


def _facts(row: Mapping[str, Any], place: Place, modalities: tuple[str, ...]) -> RowFacts:
    facts = RowFacts(place)
    for modality in modalities:
        value = row.get(modality)
        if value is None or is_empty(value):
            continue
        try:
            _LOOKS[modality](facts, value)
        except (AudioError, ImageError, VideoError, TypeError) as error:
            facts.errors[modality] = str(error)
            facts.hashes[modality] = _hash(repr(value).encode())
    return facts


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _encoded(value: Any) -> bytes:  # noqa: ANN401 (a cell of media)
    """The file's bytes; of a path those of the file, if it is there."""
    if value.get("bytes") is not None:
        content: bytes = value["bytes"]
        return content
    path = Path(value["path"])
    return path.read_bytes() if path.is_file() else str(path).encode()


def _look_at_text(facts: RowFacts, value: Any) -> None:  # noqa: ANN401 (a text, or several)
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{value!r} is no text: convert the column to strings.")
    facts.texts = tuple(texts)
    facts.hashes["text"] = _hash("\n".join(map(normalised, texts)).encode())


def _look_at_image(facts: RowFacts, value: Any) -> None:  # noqa: ANN401 (a cell)
    facts.hashes["image"] = _hash(_encoded(value))
    picture = open_image(value)
    facts.size = picture.size
    extrema: Any = picture.getextrema()
    facts.blank = all(low == high for low, high in extrema)
    facts.looks = int(str(imagehash.phash(picture)), 16)
    facts.thumbnail = np.asarray(picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))


def _look_at_audio(facts: RowFacts, value: Any) -> None:  # noqa: ANN401 (a cell)
    content = _encoded(value)
    facts.hashes["audio"] = _hash(content)
    samples = open_audio(value, sampling_rate=_LISTENING_RATE)
    facts.seconds = len(samples) / _LISTENING_RATE
    facts.silent = not samples.size or float(np.abs(samples).max()) < 1e-4
    try:
        facts.rate = soundfile.info(io.BytesIO(content)).samplerate
    except soundfile.LibsndfileError:  # of a clip's sound
        facts.rate = None


def _look_at_video(facts: RowFacts, value: Any) -> None:  # noqa: ANN401 (a cell)
    facts.hashes["video"] = _hash(_encoded(value))
    open_video(value, num_frames=_WATCHED_FRAMES)


def _look_at_series(facts: RowFacts, value: Any) -> None:  # noqa: ANN401 (a mapping or an array)
    if not isinstance(value, Mapping):
        try:
            steps = np.asarray(value, dtype=float)
        except ValueError as error:
            raise TypeError(f"the series is not of numbers in equal steps: {error}") from error
        if steps.ndim not in (1, 2) or not steps.size:
            raise TypeError(
                f"the series is of shape {steps.shape}: it takes steps, or steps and channels, one at least."
            )
    facts.series = value
    facts.hashes["series"] = _hash(json.dumps(value, sort_keys=True, default=str).encode())


_LOOKS: dict[str, Callable[[RowFacts, Any], None]] = {
    "text": _look_at_text,
    "image": _look_at_image,
    "audio": _look_at_audio,
    "video": _look_at_video,
    "series": _look_at_series,
}


__all__ = ["THUMBNAIL", "RowFacts", "normalised", "scan_rows"]
