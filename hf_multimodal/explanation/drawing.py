# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""An explanation as a picture: maps over the image, words and sounds, and each modality's share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)

from hf_multimodal.explanation.explain import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = {"integrated_gradients": "integrated gradients", "relevance": "relevance", "attention": "attention"}
_MOST_TOKENS = 30


def draw_explanation(explanation: Explanation, file: str | Path) -> None:
    """Draws an explanation into a PNG file.

    Args:
        explanation: What to draw.
        file: Where it goes.
    """
    from matplotlib.figure import Figure  # slow to import, and needed here alone

    kinds = [m for m in ("image", "text", "audio") if any(m in found for found in explanation.maps.values())]
    columns = max(1, len(explanation.maps))
    height = 2.6 + sum({"image": 3.2, "text": max(1.5, 0.24 * len(explanation.tokens)), "audio": 1.8}[m] for m in kinds)
    figure = Figure(figsize=(3.6 * columns + (1.2 if columns == 1 else 0), height), layout="constrained")
    heights = [{"image": 3.2, "text": max(1.5, 0.24 * len(explanation.tokens)), "audio": 1.8}[m] for m in kinds]
    grid = figure.add_gridspec(len(kinds) + 1, columns, height_ratios=[*heights, 1.6])
    for line, modality in enumerate(kinds):
        for column, (method, found) in enumerate(explanation.maps.items()):
            axes = figure.add_subplot(grid[line, column])
            if modality not in found:
                axes.set_axis_off()
                continue
            _DRAWERS[modality](axes, explanation, found[modality])
            axes.set_title(f"{modality}: {_TITLES[method]}", fontsize=9)
    shares = figure.add_subplot(grid[len(kinds), :])
    names, values = list(explanation.shares), list(explanation.shares.values())
    shares.barh(names, values, color=["#2a78d6" if value >= 0 else "#d9622b" for value in values])
    shares.axvline(0, color="black", linewidth=0.8)
    shares.set_xlabel("Shapley value of the modality (logits)", fontsize=8)
    shares.tick_params(labelsize=8)
    task = f"{explanation.target.task}: " if explanation.target.task else ""
    title = f"{explanation.row_id}   {task}{explanation.target.label} ({explanation.target.score:.3f})"
    figure.suptitle(title.strip(), fontsize=11, parse_math=False)
    figure.savefig(file, dpi=110)


def _draw_image(axes: "Axes", explanation: Explanation, values: np.ndarray) -> None:
    picture: Any = explanation.picture
    axes.imshow(picture)
    smooth = _smoothed(values)
    limit = float(np.abs(smooth).max()) or 1.0
    colours = "coolwarm" if smooth.min() < 0 else "inferno"
    low = -limit if smooth.min() < 0 else 0.0
    strength = np.abs(smooth) / limit
    axes.imshow(smooth, cmap=colours, vmin=low, vmax=limit, alpha=0.15 + 0.6 * strength)
    axes.set_axis_off()


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Averages neighbouring pixels: single ones say little (as SmoothGrad does over noise)."""
    size = max(3, 2 * (min(values.shape) // 24) + 1)
    tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    return F.avg_pool2d(tensor, size, stride=1, padding=size // 2, count_include_pad=False)[0, 0].numpy()


def _draw_text(axes: "Axes", explanation: Explanation, values: np.ndarray) -> None:
    tokens = explanation.tokens[:_MOST_TOKENS]
    shown = values[: len(tokens)]
    places = np.arange(len(tokens))
    axes.barh(places, shown, color=["#2a78d6" if value >= 0 else "#d9622b" for value in shown])
    axes.set_yticks(places, tokens, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.tick_params(axis="x", labelsize=7)


def _draw_audio(axes: "Axes", explanation: Explanation, values: np.ndarray) -> None:
    over_time = values.sum(0) if values.ndim == 2 else values
    axes.plot(np.linspace(0, 1, len(over_time)), over_time, color="#2a78d6")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("time, as a share of the sound", fontsize=8)
    axes.tick_params(labelsize=7)


_DRAWERS = {"image": _draw_image, "text": _draw_text, "audio": _draw_audio}


__all__ = ["draw_explanation"]
