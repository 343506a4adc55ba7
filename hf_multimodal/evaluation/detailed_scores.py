# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""All scores of one task's rows, with bootstrap intervals, as a whole and by class."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn import metrics as sk

from hf_multimodal.data.labels import LabelSchema
from hf_multimodal.evaluation.label_metrics import bin_decisions, calibration_error, class_areas, confidences, mean_area
from hf_multimodal.evaluation.metrics import predictions_from_logits
from hf_multimodal.evaluation.predictions import scores_from_logits

RESAMPLES = 300
LEVEL = 0.95  # of the intervals
_AREAS = {"roc_auc": sk.roc_auc_score, "average_precision": sk.average_precision_score}
_MOST_RANKED = 200_000  # scores to rank in every draw of the bootstrap; with more, areas get no interval


@dataclass(frozen=True)
class ScoredRows:
    """One task's rows that have a label: what the model said of them, and what is true.

    Attributes:
        schema: What the labels are.
        logits: (rows, labels).
        references: Labels as the collator makes them, none missing: (rows,), or (rows, labels).
        rows: (rows,) places of these rows in the dataset.
        name: The task's name; empty where there is one only.
    """

    schema: LabelSchema
    logits: np.ndarray
    references: np.ndarray
    rows: np.ndarray
    name: str = ""

    @property
    def problem_type(self) -> str:
        """As in the model's configuration."""
        return self.schema.problem_type

    @property
    def multi_label(self) -> bool:
        """Whether each label is decided by itself."""
        return self.problem_type == "multi_label_classification"

    @property
    def has_classes(self) -> bool:
        """Whether rows are right or wrong, and there are curves."""
        return self.problem_type in ("single_label_classification", "multi_label_classification")

    @cached_property
    def scores(self) -> np.ndarray:
        """(rows, labels) probabilities; values for regression."""
        return scores_from_logits(self.logits, self.problem_type)

    @cached_property
    def predictions(self) -> np.ndarray:
        """What the model decides: (rows,), or (rows, labels)."""
        return predictions_from_logits(np.asarray(self.logits), self.problem_type)

    @cached_property
    def truth(self) -> np.ndarray:
        """(rows, labels), 0 or 1, of what has classes."""
        references = self.references.astype(np.int64)
        return references if self.multi_label else np.eye(self.schema.num_labels, dtype=np.int64)[references]

    @cached_property
    def right(self) -> np.ndarray:
        """(rows,) how right each is: 0 or 1, or the score of the answer; of regression minus the squared error."""
        if self.problem_type == "regression":
            error = (self.predictions - self.references) ** 2
            return -(error.mean(1) if error.ndim == 2 else error)
        if self.problem_type == "scored_answers":
            return self.references[np.arange(len(self.rows)), self.predictions]
        same = self.predictions == self.references
        return (same.all(1) if self.multi_label else same).astype(float)

    def select(self, chosen: np.ndarray) -> "ScoredRows":
        """Takes some of the rows, each as often as it is named."""
        return ScoredRows(self.schema, self.logits[chosen], self.references[chosen], self.rows[chosen], self.name)


def detailed_scores(rows: ScoredRows, *, with_areas: bool = True) -> dict[str, float]:
    """Computes all scores that fit the problem: metric -> value, NaN where one cannot be computed.

    Args:
        rows: The rows.
        with_areas: Whether to compute the areas under curves, too, which takes long with many labels.
    """
    if not len(rows.rows):
        return {}
    if rows.problem_type == "regression":
        return {
            "mse": float(sk.mean_squared_error(rows.references, rows.predictions)),
            "mae": float(sk.mean_absolute_error(rows.references, rows.predictions)),
            "r2": float(sk.r2_score(rows.references, rows.predictions)) if len(rows.rows) > 1 else math.nan,
        }
    accuracy = {"accuracy": float(rows.right.mean())}
    if rows.problem_type == "scored_answers":
        return accuracy

    def averaged(average: str) -> tuple[float, float, float]:
        values = sk.precision_recall_fscore_support(rows.references, rows.predictions, average=average, zero_division=0)
        return values[:3]

    precision, recall, f1 = averaged("macro")
    scores = {**accuracy, "f1": f1, "f1_weighted": averaged("weighted")[2], "precision": precision, "recall": recall}
    if rows.multi_label:  # of a single label it is the accuracy
        scores["f1_micro"] = averaged("micro")[2]
    for name, area in _AREAS.items() if with_areas else ():
        scores[name] = mean_area(class_areas(rows.scores, rows.truth, area), multi_label=rows.multi_label)
    scores["ece"] = calibration_error(calibration_bins(rows))
    return {name: float(value) for name, value in scores.items()}


def calibration_bins(rows: ScoredRows) -> np.ndarray:
    """Counts decisions by confidence: (bins, 3) of rows, mean confidence and share right."""
    return bin_decisions(*confidences(rows.scores, rows.truth, multi_label=rows.multi_label))


def class_scores(rows: ScoredRows) -> list[dict[str, Any]]:
    """Computes for each class its rows, precision, recall, F1 and ROC AUC; None where one cannot be computed."""
    labels = list(range(rows.schema.num_labels))
    values = sk.precision_recall_fscore_support(rows.references, rows.predictions, labels=labels, zero_division=0)
    areas = class_areas(rows.scores, rows.truth, sk.roc_auc_score)
    return [
        {
            "label": rows.schema.names[k],
            "rows": int(values[3][k]),
            **{name: float(values[i][k]) for i, name in enumerate(("precision", "recall", "f1"))},
            "roc_auc": float(areas[k]) if math.isfinite(areas[k]) else None,
        }
        for k in labels
    ]


def bootstrap(
    count: int,
    compute: Callable[[np.ndarray], dict[str, float]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Estimates how far a score may be off: the middle 95 % of its values on rows drawn again with replacement.

    It is the percentile bootstrap of Efron 1979; NaN where a score has no value on any of the draws.

    Args:
        count: How many rows there are.
        compute: Scores of the rows at these places: metric -> value.
        resamples: How many draws.
        seed: Of the draws.

    Returns:
        Metric -> lower and upper end.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(resamples):
        for name, value in compute(rng.integers(0, count, count)).items():
            drawn.setdefault(name, []).append(value)
    tail = (1 - LEVEL) / 2
    return {
        name: (float(np.quantile(known, tail)), float(np.quantile(known, 1 - tail))) if known else (math.nan, math.nan)
        for name, values in drawn.items()
        for known in [[x for x in values if math.isfinite(x)]]
    }


def score_intervals(rows: ScoredRows, **options: Any) -> dict[str, tuple[float, float]]:  # noqa: ANN401 (of `bootstrap`)
    """Bootstrap intervals of `detailed_scores`; of very many scores without the areas under curves."""
    with_areas = len(rows.rows) * rows.schema.num_labels <= _MOST_RANKED
    return bootstrap(
        len(rows.rows), lambda chosen: detailed_scores(rows.select(chosen), with_areas=with_areas), **options
    )


__all__ = [
    "LEVEL",
    "RESAMPLES",
    "ScoredRows",
    "bootstrap",
    "calibration_bins",
    "class_scores",
    "detailed_scores",
    "score_intervals",
]
