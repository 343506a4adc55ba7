# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Pages that open from disk: one file each, with rows as a person would see them."""

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from hf_multimodal.data.columns import ROW_ID
from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.modeling.audio_opening import AudioError, encode_wav, open_audio
from hf_multimodal.modeling.image_opening import ImageError, open_image
from hf_multimodal.modeling.video_opening import VideoError, open_video

_SIDE = 240  # of a picture on the page, in pixels
_SMALL = 64  # pictures up to this side are enlarged with sharp pixels
_SAMPLING_RATE = 16_000
_SECONDS = 10  # of a sound on the page
_FRAMES = 4  # of a clip on the page
_SERIES_CHARACTERS = 300

_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("hf_multimodal.evaluation"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(file: Path, template: str, **values: Any) -> Path:  # noqa: ANN401 (what the template shows)
    """Renders a template of this package into a file.

    Args:
        file: Where the page goes.
        template: The template's name.
        **values: What it shows; texts are escaped.
    """
    write_whole(file, _PAGES.get_template(template).render(**values))
    return file


def shown_row(row: Mapping[str, Any], modalities: Sequence[str]) -> dict[str, Any]:
    """Makes of a row what `rows.html` shows of it; media that cannot be opened become the reason why.

    Args:
        row: As `load_rows` returns it.
        modalities: Those to show.
    """
    shown: dict[str, Any] = {"id": str(row[ROW_ID]), "problems": []}
    for name, modality, show in _SHOWN:
        value = row.get(modality) if modality in modalities else None
        shown[name] = None
        if value is not None:
            try:
                shown[name] = show(value)
            except (AudioError, ImageError, VideoError) as error:
                shown["problems"].append(str(error))
    return shown


def data_url(content: bytes, kind: str) -> str:
    """Writes a file into the page itself.

    Args:
        content: Its bytes.
        kind: Its media type.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _embedded(picture: Image.Image) -> dict[str, Any]:
    small = max(picture.size) <= _SMALL
    picture.thumbnail((_SIDE * 2, _SIDE * 2))
    buffer = io.BytesIO()
    if small:
        picture.save(buffer, format="PNG")
    else:
        picture.save(buffer, format="JPEG", quality=85)
    return {"url": data_url(buffer.getvalue(), "image/png" if small else "image/jpeg"), "small": small}


def _picture(value: Any) -> dict[str, Any]:  # noqa: ANN401 (what `open_image` takes)
    return _embedded(open_image(value))


def _clip(value: Any) -> dict[str, Any]:  # noqa: ANN401 (what `open_video` takes)
    return _embedded(Image.fromarray(np.concatenate(list(open_video(value, num_frames=_FRAMES)), axis=1)))


def _sound(value: Any) -> str:  # noqa: ANN401 (what `open_audio` takes)
    samples = open_audio(value, sampling_rate=_SAMPLING_RATE)[: _SECONDS * _SAMPLING_RATE]
    return data_url(encode_wav((samples, _SAMPLING_RATE)), "audio/wav")


def _text(value: Any) -> str:  # noqa: ANN401 (a text, or several)
    return value if isinstance(value, str) else " / ".join(map(str, value))


def _series(value: Any) -> str:  # noqa: ANN401 (a mapping or an array)
    text = json.dumps(np.asarray(value).tolist() if not isinstance(value, Mapping) else dict(value), default=str)
    return text if len(text) <= _SERIES_CHARACTERS else f"{text[:_SERIES_CHARACTERS]}…"


_SHOWN: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("picture", "image", _picture),
    ("clip", "video", _clip),
    ("sound", "audio", _sound),
    ("text", "text", _text),
    ("series", "series", _series),
)


__all__ = ["data_url", "shown_row", "write_page"]
