# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`report.html`: scores, curves, slices and the rows a model is most wrong about, in one file that opens from disk."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn import metrics as sk

from hf_multimodal.data.columns import named_values
from hf_multimodal.evaluation.detailed_scores import (
    LEVEL,
    RESAMPLES,
    ScoredRows,
    class_scores,
    detailed_scores,
    score_intervals,
)
from hf_multimodal.evaluation.label_metrics import confidences
from hf_multimodal.evaluation.metrics import METRIC_NAMES
from hf_multimodal.evaluation.page import shown_row, write_page
from hf_multimodal.evaluation.plots import (
    calibration_plot,
    curves_plot,
    precision_recall_plot,
    roc_plot,
    shown_classes,
    values_plot,
)
from hf_multimodal.evaluation.slices import slice_scores

REPORT = "report.html"
SHOWN_WRONG = 24
_MOST_MATRIX_LABELS = 20
_SHOWN_PAIRS = 12


@dataclass(frozen=True)
class ReportFacts:
    """What the report says of model and rows, beside the scores.

    Attributes:
        model: The model's name.
        source: Where the rows are from.
        split: Their split, if there is one.
        modalities: What the model reads.
        slices: Columns of the dataset whose values are scored one by one.
        history: A Trainer's log of the training, if it is known.
        shown_wrong: How many of the rows that the model is most wrong about are shown; 0 makes a report that may be
            shared where the rows may not.
    """

    model: str
    source: str
    split: str | None
    modalities: Sequence[str]
    slices: Sequence[str] = ()
    history: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    shown_wrong: int = SHOWN_WRONG


def write_report(folder: Path, dataset: Any, tasks: Sequence[ScoredRows], facts: ReportFacts) -> Path:  # noqa: ANN401 (a datasets.Dataset)
    """Writes `report.html`.

    Args:
        folder: Where it goes.
        dataset: The rows as `load_rows` returns them, with the columns of `facts.slices`.
        tasks: Each task's rows that have a label.
        facts: What else it says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: named_values(dataset, name) for name in facts.slices}
    present = present_modalities(dataset, facts.modalities)
    if len(set(map(tuple, present))) > 1:
        columns["modalities of the row"] = present
    return write_page(
        folder / REPORT,
        "report.html",
        model=facts.model,
        source=facts.source,
        split=facts.split,
        modalities=facts.modalities,
        count=len(dataset),
        level=round(100 * LEVEL),
        resamples=RESAMPLES,
        tasks=[_task(task, dataset, columns, facts) for task in tasks],
        training=_training_plots(facts.history),
    )


def present_modalities(dataset: Any, modalities: Sequence[str]) -> list[list[str]]:  # noqa: ANN401 (a datasets.Dataset)
    """Says of each row which modalities it has.

    Args:
        dataset: The rows as `load_rows` returns them.
        modalities: Those the model reads.
    """
    there = [name for name in modalities if name in dataset.column_names]
    valid = {name: _known_cells(dataset, name) for name in there}
    return [[name for name in there if valid[name][i]] for i in range(len(dataset))]


def _known_cells(dataset: Any, name: str) -> np.ndarray:  # noqa: ANN401 (a datasets.Dataset)
    """Says which cells of a column hold anything; a mapping of nothing but None (no file, no cell) does not."""
    column = dataset.select_columns([name]).with_format("arrow")[:][name].combine_chunks()
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_struct(column.type) and column.type.num_fields:
        parts = [part.is_valid().to_numpy(zero_copy_only=False) for part in column.flatten()]
        valid = valid & np.any(parts, axis=0)
    return valid


def _task(
    rows: ScoredRows,
    dataset: Any,  # noqa: ANN401 (a datasets.Dataset)
    columns: Mapping[str, Sequence[Any]],
    facts: ReportFacts,
) -> dict[str, Any]:
    known = len(rows.rows) > 0
    is_single = rows.problem_type == "single_label_classification"
    names = rows.schema.names
    counts = None
    if is_single and known:
        counts = sk.confusion_matrix(rows.references, rows.predictions, labels=list(range(len(names))))
    return {
        "name": rows.name,
        "rows": len(rows.rows),
        "majority": None if counts is None else _majority(rows),
        "scores": _scores(rows),
        "plots": _plots(rows) if known else [],
        "matrix": None if counts is None or len(names) > _MOST_MATRIX_LABELS else _matrix(counts, names),
        "confused": [] if counts is None else _confused(counts, names),
        "classes": class_scores(rows) if rows.has_classes and known else [],
        "slices": [_sliced(rows, name, values) for name, values in columns.items()] if known else [],
        "wrong_title": "Farthest off" if rows.problem_type == "regression" else "Most confidently wrong",
        "wrong": [_wrong_row(rows, k, dataset, facts.modalities) for k in most_wrong(rows, facts.shown_wrong)],
    }


def _majority(rows: ScoredRows) -> dict[str, Any]:
    label, count = Counter(rows.references.tolist()).most_common(1)[0]
    return {"label": rows.schema.names[int(label)], "share": count / len(rows.rows)}


def _scores(rows: ScoredRows) -> list[dict[str, Any]]:
    intervals = score_intervals(rows) if len(rows.rows) > 1 else {}
    told = []
    for name, value in detailed_scores(rows).items():
        low, high = intervals.get(name, (math.nan, math.nan))
        numbers = {"value": value, "low": low, "high": high}
        told.append({"title": METRIC_NAMES[name], **{key: _finite(x) for key, x in numbers.items()}})
    return told


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plots(rows: ScoredRows) -> list[dict[str, Any]]:
    if rows.problem_type == "regression":
        return [{"name": "Predicted over true values", "svg": values_plot(rows)}]
    if not rows.has_classes:
        return []
    plots = [{"name": "Calibration", "svg": calibration_plot(rows)}]
    if shown_classes(rows):
        plots = [
            {"name": "ROC", "svg": roc_plot(rows)},
            {"name": "Precision and recall", "svg": precision_recall_plot(rows)},
            *plots,
        ]
    return plots


def _matrix(counts: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    lines = [
        {"label": names[i], "cells": [{"count": int(n), "share": float(x)} for n, x in zip(line, part, strict=True)]}
        for i, (line, part) in enumerate(zip(counts, shares, strict=True))
    ]
    return {"labels": names, "lines": lines}


def _confused(counts: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_SHOWN_PAIRS]
    pairs = [np.unravel_index(k, wrong.shape) for k in order if wrong.flat[k]]
    return [{"true": names[i], "predicted": names[j], "rows": int(counts[i, j])} for i, j in pairs]


def _sliced(rows: ScoredRows, name: str, values: Sequence[Any]) -> dict[str, Any]:
    parts, more = slice_scores(rows, values)
    is_share = rows.problem_type != "regression"
    return {
        "name": name,
        "metric": "accuracy" if is_share else "squared error",
        "is_share": is_share,
        "parts": [asdict(part) for part in parts],
        "more": more,
    }


def most_wrong(rows: ScoredRows, count: int = SHOWN_WRONG) -> list[int]:
    """Chooses the wrong rows that the model is surest of, of regression those it is farthest off: places in `rows`."""
    if not len(rows.rows):
        return []
    if rows.problem_type == "regression":
        badness = -rows.right
    elif rows.multi_label:
        badness = np.abs(rows.scores - rows.truth).max(1)
    else:
        badness = rows.scores[np.arange(len(rows.rows)), rows.predictions]
    wrong = np.flatnonzero(rows.right < 1) if rows.problem_type != "regression" else np.arange(len(rows.rows))
    if rows.problem_type == "scored_answers":
        wrong = np.flatnonzero(rows.right == 0)
    return wrong[np.argsort(-badness[wrong], kind="stable")][:count].tolist()


def _wrong_row(rows: ScoredRows, place: int, dataset: Any, modalities: Sequence[str]) -> dict[str, Any]:  # noqa: ANN401 (a datasets.Dataset)
    names, predicted, reference = rows.schema.names, rows.predictions[place], rows.references[place]
    confidence = None
    if rows.problem_type == "regression":
        told, true = (", ".join(f"{x:.4g}" for x in np.atleast_1d(value)) for value in (predicted, reference))
    elif rows.multi_label:
        told, true = (
            ", ".join(n for n, on in zip(names, value, strict=True) if on) or "(none)"
            for value in (predicted, reference)
        )
        sure, right = confidences(rows.scores[[place]], rows.truth[[place]], multi_label=True)
        confidence = float(sure[~right].max())  # of the labels that are wrong
    else:
        told, confidence = names[int(predicted)], float(rows.scores[place, predicted])
        if rows.problem_type == "scored_answers":
            true = ", ".join(names[k] for k in np.flatnonzero(reference)) or "(none of the answers)"
        else:
            true = names[int(reference)]
    shown = shown_row(dataset[int(rows.rows[place])], modalities)
    return {**shown, "predicted": told, "true": true, "confidence": confidence}


def _training_plots(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Draws the loss, and what was measured on validation, over the epochs."""
    losses = {
        name: [(entry["epoch"], entry[key]) for entry in history if key in entry and "epoch" in entry]
        for name, key in (("training", "loss"), ("validation", "eval_loss"))
    }
    plots = []
    if any(losses.values()):
        known = {name: points for name, points in losses.items() if points}
        plots.append({"name": "Loss", "svg": curves_plot(known, "epoch", "loss")})
    metrics = {
        name.removeprefix("eval_"): [(entry["epoch"], entry[name]) for entry in history if name in entry]
        for name in dict.fromkeys(key for entry in history for key in entry)
        if name.startswith("eval_") and not name.endswith(("loss", "runtime", "per_second", "mse"))
    }
    if metrics:
        plots.append({"name": "Validation", "svg": curves_plot(metrics, "epoch", "score")})
    return plots


__all__ = ["REPORT", "SHOWN_WRONG", "ReportFacts", "most_wrong", "present_modalities", "write_report"]
