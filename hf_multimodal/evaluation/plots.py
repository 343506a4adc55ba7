# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Curves as SVG that takes the page's own colours, in light and dark."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from sklearn import metrics as sk

from hf_multimodal.evaluation.detailed_scores import ScoredRows, calibration_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#010203"  # stands for the page's text colour until the SVG is written
_COLOURS = ("#2a78d6", "#d9622b", "#1f9d78", "#b04fc4", "#c79a1b", "#8a8f98")  # told apart on white and on black
_MOST_CLASSES = 6  # curves in one plot
_STYLE: Any = {
    "text.parse_math": False,  # a label may hold dollars
    "svg.fonttype": "none",
    "svg.hashsalt": "hf_multimodal",  # the same page for the same numbers
    "font.family": "sans-serif",
    "font.size": 10,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "legend.labelcolor"), _INK
    ),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
}


def draw(plot: Callable[["Axes"], None], x: str, y: str, *, unit_square: bool = False) -> Markup:
    """Draws into axes and returns SVG for a page.

    Args:
        plot: What draws.
        x: Name of the horizontal axis.
        y: Name of the vertical one.
        unit_square: Whether both axes go from 0 to 1.
    """
    import matplotlib as mpl  # slow to import, and needed here alone
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.set_prop_cycle(color=_COLOURS)
        plot(axes)
        axes.set(xlabel=x, ylabel=y)
        axes.grid(visible=True)
        if unit_square:
            axes.set(xlim=(0, 1), ylim=(0, 1.02))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    svg = buffer.getvalue()
    return Markup(svg[svg.index("<svg") :].replace(_INK, "currentColor"))  # matplotlib escapes the labels


def shown_classes(rows: ScoredRows) -> list[int]:
    """The classes whose curves are drawn: the second of two, else those of most rows, that have a curve."""
    counts = rows.truth.sum(0)
    if len(counts) == 2 and not rows.multi_label:
        return [1] if 0 < counts[1] < len(rows.rows) else []
    order = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
    return [int(k) for k in order if 0 < counts[k] < len(rows.rows)]


def roc_plot(rows: ScoredRows) -> Markup:
    """The ROC curve of each class that is shown."""

    def plot(axes: "Axes") -> None:
        for k in shown_classes(rows):
            false, true, _ = sk.roc_curve(rows.truth[:, k], rows.scores[:, k])
            axes.plot(false, true, label=_label(rows, k))
        axes.plot([0, 1], [0, 1], color=_INK, alpha=0.4, linestyle=":")

    return draw(plot, "false positive rate", "true positive rate", unit_square=True)


def precision_recall_plot(rows: ScoredRows) -> Markup:
    """The precision-recall curve of each class that is shown."""

    def plot(axes: "Axes") -> None:
        for k in shown_classes(rows):
            precision, recall, _ = sk.precision_recall_curve(rows.truth[:, k], rows.scores[:, k])
            axes.step(recall, precision, where="post", label=_label(rows, k))

    return draw(plot, "recall", "precision", unit_square=True)


def calibration_plot(rows: ScoredRows) -> Markup:
    """How often decisions of a confidence are right; marks grow with the rows they stand for."""
    count, confidence, right = calibration_bins(rows).T
    there = count > 0

    def plot(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color=_INK, alpha=0.4, linestyle=":")
        axes.plot(confidence[there], right[there])
        axes.scatter(confidence[there], right[there], s=10 + 150 * count[there] / count.max())

    return draw(plot, "confidence", "share right", unit_square=True)


def values_plot(rows: ScoredRows) -> Markup:
    """Predicted values over true ones."""
    truth, predicted = (np.asarray(x).reshape(len(rows.rows), -1) for x in (rows.references, rows.predictions))

    def plot(axes: "Axes") -> None:
        for k, name in enumerate(rows.schema.names[:_MOST_CLASSES]):
            axes.scatter(truth[:, k], predicted[:, k], s=8, alpha=0.5, label=name)
        ends = [float(truth.min()), float(truth.max())]
        axes.plot(ends, ends, color=_INK, alpha=0.4, linestyle=":")

    return draw(plot, "true", "predicted")


def curves_plot(curves: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str) -> Markup:
    """Curves by name, as points."""

    def plot(axes: "Axes") -> None:
        for name, points in curves.items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)

    return draw(plot, x, y)


def _label(rows: ScoredRows, k: int) -> str:
    name = rows.schema.names[k]
    return name if len(name) <= 24 else f"{name[:23]}…"


__all__ = [
    "calibration_plot",
    "curves_plot",
    "draw",
    "precision_recall_plot",
    "roc_plot",
    "shown_classes",
    "values_plot",
]
