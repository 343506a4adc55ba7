# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A page of rows as a person would see them: the picture, what was written, what should have been."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from hf_multimodal.data.columns import ROW_ID
from hf_multimodal.modeling.image_opening import ImageError, open_image

TEXT_PAGE = "texts.html"
SHOWN = 12
_SIDE = 240  # of a picture on the page, in pixels
_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>What the model writes</title>
<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 25%, transparent); }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
article { border: 1px solid var(--line); border-radius: 8px; padding: .75rem; overflow-wrap: anywhere; }
img { display: block; width: 100%; height: 180px; object-fit: contain; image-rendering: auto; }
h1 { font-size: 1.3rem; }
p { margin: .5rem 0 0; }
small, ul { opacity: .75; }
ul { margin: .25rem 0; padding-left: 1.2rem; }
.written { font-weight: 600; }
</style></head><body>
<h1>What the model writes</h1>
<p>$count of $total rows, chosen at random. In bold what was written, below it the references.</p>
<main>
$rows
</main></body></html>
"""
)


def write_text_page(
    folder: Path,
    rows: Any,  # noqa: ANN401 (a datasets.Dataset as `load_rows` returns it)
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
    modalities: Sequence[str],
    seed: int = 0,
) -> Path:
    """Writes `texts.html`, one file that opens from disk, with twelve rows chosen at random.

    Args:
        folder: Where it goes.
        rows: The rows.
        texts: What was written for each.
        references: What should have been.
        modalities: What the model read: a prompt and a picture are shown.
        seed: Of the choice.
    """
    count = min(SHOWN, len(texts))
    chosen = sorted(np.random.default_rng(seed).choice(len(texts), count, replace=False).tolist())
    shown = [_article(rows[i], texts[i], references[i], modalities) for i in chosen]
    page = _PAGE.substitute(count=count, total=len(texts), rows="\n".join(shown))
    target = folder / TEXT_PAGE
    target.write_text(page, encoding="utf-8")
    return target


def _article(row: dict[str, Any], text: str, references: Sequence[str], modalities: Sequence[str]) -> str:
    parts = [_picture(row["image"])] if "image" in modalities and row.get("image") is not None else []
    if "text" in modalities and row.get("text") is not None:
        parts.append(f"<p>{html.escape(row['text'])}</p>")
    parts.append(f'<p class="written">{html.escape(text)}</p>')
    parts.append("<ul>" + "".join(f"<li>{html.escape(x)}</li>" for x in references) + "</ul>")
    parts.append(f"<small>row {html.escape(str(row[ROW_ID]))}</small>")
    return "<article>" + "\n".join(parts) + "</article>"


def _picture(value: Any) -> str:  # noqa: ANN401 (what `open_image` takes)
    try:
        picture = open_image(value)
    except ImageError as error:
        return f"<p>{html.escape(str(error))}</p>"
    picture.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


__all__ = ["SHOWN", "TEXT_PAGE", "write_text_page"]
