# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A page of rows as a person would see them: the picture, what was written, what should have been."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_multimodal.evaluation.page import shown_row, write_page

TEXT_PAGE = "texts.html"
SHOWN = 12


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
        modalities: What the model read.
        seed: Of the choice.
    """
    count = min(SHOWN, len(texts))
    chosen = sorted(np.random.default_rng(seed).choice(len(texts), count, replace=False).tolist())
    shown = [{**shown_row(rows[i], modalities), "written": texts[i], "references": list(references[i])} for i in chosen]
    return write_page(folder / TEXT_PAGE, "texts.html", shown=shown, total=len(texts))


__all__ = ["SHOWN", "TEXT_PAGE", "write_text_page"]
