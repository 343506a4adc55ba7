# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics of labels and values as `evaluate` modules; scikit-learn computes, the module accumulates and binds.

Those of decisions take `predictions` and `references`, those of probabilities `prediction_scores` and `references`, so
`evaluate.combine` binds any of them. What cannot be computed, such as the ROC curve of a class that never occurs, is
NaN.
"""

import math
from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn import metrics as sk

from hf_multimodal.modeling.configuration_multimodal import check_known

AVERAGES = ("macro", "micro", "weighted")
CALIBRATION_BINS = 15  # as in Guo et al. 2017
_CITATION = "Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011."


class _LabelMetric(evaluate.Metric):
    """An `evaluate.Metric` whose predictions and references are numbers, or one list of them per row."""

    dtype = "int64"
    decided: tuple[str, ...] = ("predictions", "references")  # what holds numbers of labels
    citation = _CITATION

    def __init__(self, *, multi_label: bool = False, **kwargs: Any) -> None:  # noqa: ANN401 (evaluate.Metric's own)
        self.multi_label = multi_label
        kwargs.setdefault("keep_in_memory", kwargs.get("num_process", 1) == 1)  # of several, they meet in files
        super().__init__(config_name="multilabel" if multi_label else "default", **kwargs)

    def _features(self) -> dict[str, Any]:
        value: Any = datasets.Value(self.dtype)
        feature = datasets.Sequence(value) if self.multi_label else value
        return {"predictions": feature, "references": feature}

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(self._features())
        return evaluate.MetricInfo(description=self.__doc__, citation=self.citation, features=features)

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:  # noqa: ANN401
        """Adds rows, as `compute` does with those that it is given.

        Raises:
            ValueError: if a label's number is none, which would be cut to one.
        """
        given = {"predictions": predictions, "references": references}
        for name in self.decided:
            _check_numbers(name, given[name], self.name)
        super().add_batch(predictions=predictions, references=references, **kwargs)


def _check_numbers(name: str, values: Any, metric: str) -> None:  # noqa: ANN401 (lists or an array)
    array = np.asarray([] if values is None else values)
    if array.dtype.kind == "f" and (broken := array[array != np.trunc(array)]).size:
        raise ValueError(
            f"{name} holds {broken.flat[0]:g}, and {metric} takes the numbers of labels: give what was decided. Those "
            "of probabilities are average_precision, ece and roc_auc; those of values mae, mse and r2."
        )


class Accuracy(_LabelMetric):
    """Share of rows predicted exactly right (for several labels per row: all of them)."""

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"accuracy": float(sk.accuracy_score(references, predictions))}


class _AveragedMetric(_LabelMetric):
    """A metric per class, averaged `macro` (default), `micro` or `weighted` over those that occur; None gives each."""

    name_of_score = ""

    def _compute(
        self,
        predictions: list,
        references: list,
        average: str | None = "macro",
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        if average is not None:
            check_known("average", average, AVERAGES)
        compute = getattr(sk, f"{self.name_of_score}_score")
        value = compute(references, predictions, average=average, zero_division=0)
        return {self.name_of_score: float(value) if average is not None else value.tolist()}


class Precision(_AveragedMetric):
    """Share of a class's predictions that are right, averaged over the classes (macro by default); 0 where none is."""

    name_of_score = "precision"


class Recall(_AveragedMetric):
    """Share of a class's rows that are found, averaged over the classes (macro by default)."""

    name_of_score = "recall"


class F1(_AveragedMetric):
    """Harmonic mean of precision and recall, averaged over the classes (macro by default)."""

    name_of_score = "f1"


class ConfusionMatrix(_LabelMetric):
    """How many rows of each class (a line) were predicted as each (a column)."""

    def _compute(
        self,
        predictions: list,
        references: list,
        num_labels: int | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, list]:
        labels = None if num_labels is None else list(range(num_labels))
        return {"confusion_matrix": sk.confusion_matrix(references, predictions, labels=labels).tolist()}


class _ScoredMetric(_LabelMetric):
    """A metric of probabilities: a list per row, of one per class, or with `multi_label` of each label's own."""

    def _features(self) -> dict[str, Any]:
        reference: Any = datasets.Value("int64")
        return {
            "prediction_scores": datasets.Sequence(datasets.Value("float64")),
            "references": datasets.Sequence(reference) if self.multi_label else reference,
        }

    def _arrays(self, prediction_scores: list, references: list) -> tuple[np.ndarray, np.ndarray]:
        """Returns scores and 0/1 truth, both (rows, labels)."""
        scores, truth = np.asarray(prediction_scores, dtype=float), np.asarray(references)
        if scores.ndim != 2:
            raise ValueError("prediction_scores takes a list of probabilities per row, one for each label.")
        if truth.ndim == 1:
            if truth.size and not 0 <= truth.min() <= truth.max() < scores.shape[1]:
                raise ValueError(f"references name labels up to {truth.max()}, but there are {scores.shape[1]} scores.")
            truth = np.eye(scores.shape[1], dtype=np.int64)[truth]
        return scores, truth


class RocAuc(_ScoredMetric):
    """Area under the ROC curve: one class against the rest, the mean over classes that have both; of two, the second's.

    `average=None` gives each class's, NaN where all rows are of the class, or none.
    """

    def _compute(self, average: str | None = "macro", **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        areas = class_areas(*self._arrays(kwargs["prediction_scores"], kwargs["references"]), sk.roc_auc_score)
        return {"roc_auc": areas.tolist() if average is None else mean_area(areas, multi_label=self.multi_label)}


class RocCurve(_ScoredMetric):
    """Points of each class's ROC curve, one against the rest: `fpr`, `tpr` and `thresholds`, from the highest on.

    None stands for a class that all rows are of, or none. The highest threshold is above all scores.
    """

    def _compute(self, **kwargs: Any) -> dict[str, list[dict[str, list[float]] | None]]:  # noqa: ANN401
        scores, truth = self._arrays(kwargs["prediction_scores"], kwargs["references"])
        curves: list[dict[str, list[float]] | None] = []
        for own, is_it in zip(scores.T, truth.T, strict=True):
            if is_it.min() == is_it.max():
                curves.append(None)
                continue
            points = zip(("fpr", "tpr", "thresholds"), sk.roc_curve(is_it, own), strict=True)
            curves.append({name: values.tolist() for name, values in points})
        return {"roc_curve": curves}


class AveragePrecision(_ScoredMetric):
    """Area under the precision-recall curve, as a sum of steps; over the classes as `RocAuc`."""

    def _compute(self, average: str | None = "macro", **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        arrays = self._arrays(kwargs["prediction_scores"], kwargs["references"])
        areas = class_areas(*arrays, sk.average_precision_score)
        mean = mean_area(areas, multi_label=self.multi_label)
        return {"average_precision": areas.tolist() if average is None else mean}


class ExpectedCalibrationError(_ScoredMetric):
    """Mean difference of confidence and accuracy over 15 bins of the confidence, weighted by the rows in each.

    The confidence is the best class's probability; of several labels each label's own, all of them together.
    """

    citation = "Guo et al., On calibration of modern neural networks, ICML 2017."

    def _compute(self, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        scores, truth = self._arrays(kwargs["prediction_scores"], kwargs["references"])
        bins = bin_decisions(*confidences(scores, truth, multi_label=self.multi_label))
        return {"ece": calibration_error(bins)}


class ScoredAnswerAccuracy(_LabelMetric):
    """Mean score of the answers given, where an answer may be right to a degree (VQA, Antol et al. 2015)."""

    decided = ("predictions",)

    def _features(self) -> dict[str, Any]:
        return {"predictions": datasets.Value("int64"), "references": datasets.Sequence(datasets.Value("float64"))}

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"accuracy": float(np.mean([scores[i] for i, scores in zip(predictions, references, strict=True)]))}


class MeanSquaredError(_LabelMetric):
    """Mean squared difference, averaged over the targets."""

    dtype = "float64"
    decided = ()

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"mse": float(sk.mean_squared_error(references, predictions))}


class MeanAbsoluteError(_LabelMetric):
    """Mean absolute difference, averaged over the targets."""

    dtype = "float64"
    decided = ()

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"mae": float(sk.mean_absolute_error(references, predictions))}


class R2(_LabelMetric):
    """Share of the targets' variance that is explained, averaged over the targets; NaN of a single row."""

    dtype = "float64"
    decided = ()

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"r2": float(sk.r2_score(references, predictions)) if len(references) > 1 else math.nan}


LABEL_METRICS: dict[str, type[_LabelMetric]] = {
    "accuracy": Accuracy,
    "average_precision": AveragePrecision,
    "confusion_matrix": ConfusionMatrix,
    "ece": ExpectedCalibrationError,
    "f1": F1,
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "precision": Precision,
    "r2": R2,
    "recall": Recall,
    "roc_auc": RocAuc,
    "roc_curve": RocCurve,
    "scored_answer_accuracy": ScoredAnswerAccuracy,
}


def class_areas(scores: np.ndarray, truth: np.ndarray, area: Any) -> np.ndarray:  # noqa: ANN401 (of scikit-learn)
    """Computes the area under a curve for each class: (labels,), NaN where all rows are of it, or none.

    Args:
        scores: (rows, labels).
        truth: (rows, labels), 0 or 1.
        area: `roc_auc_score` or `average_precision_score`.
    """
    occurs = (truth.sum(0) > 0) & (truth.sum(0) < len(truth))
    return np.array([area(truth[:, k], scores[:, k]) if occurs[k] else math.nan for k in range(truth.shape[1])])


def mean_area(areas: np.ndarray, *, multi_label: bool) -> float:
    """Averages over the classes that have an area; of two exclusive ones it is the second's."""
    if len(areas) == 2 and not multi_label:
        return float(areas[1])
    known = areas[np.isfinite(areas)]
    return float(known.mean()) if len(known) else math.nan


def confidences(scores: np.ndarray, truth: np.ndarray, *, multi_label: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns how sure each decision is, and whether it is right.

    Args:
        scores: (rows, labels) probabilities.
        truth: (rows, labels), 0 or 1.
        multi_label: Whether each label is decided by itself.
    """
    if multi_label:
        decided = scores > 0.5
        return np.where(decided, scores, 1 - scores).ravel(), (decided == truth.astype(bool)).ravel()
    best = scores.argmax(1)
    return scores.max(1), truth[np.arange(len(truth)), best].astype(bool)


def bin_decisions(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Counts decisions by confidence: (bins, 3) of rows, mean confidence and share right; zeros in empty bins."""
    place = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = np.zeros((CALIBRATION_BINS, 3))
    for k in np.unique(place):
        inside = place == k
        bins[k] = inside.sum(), confidence[inside].mean(), right[inside].mean()
    return bins


def calibration_error(bins: np.ndarray) -> float:
    """The expected calibration error of what `bin_decisions` counts."""
    count, confidence, right = bins.T
    return float((count * np.abs(confidence - right)).sum() / count.sum()) if count.sum() else math.nan


def load_metric(name: str, **kwargs: Any) -> evaluate.Metric:  # noqa: ANN401 (of the metric)
    """Loads one of this package's metrics by name, without a network; see `LABEL_METRICS`.

    `evaluate.combine([load_metric("accuracy"), load_metric("f1")])` binds several.

    Args:
        name: Of the metric.
        **kwargs: `multi_label=True` for several labels per row.

    Raises:
        ValueError: if there is no such metric.
    """
    check_known("metric", name, tuple(LABEL_METRICS))
    return LABEL_METRICS[name](**kwargs)


__all__ = [
    "F1",
    "LABEL_METRICS",
    "R2",
    "Accuracy",
    "AveragePrecision",
    "ConfusionMatrix",
    "ExpectedCalibrationError",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Precision",
    "Recall",
    "RocAuc",
    "RocCurve",
    "ScoredAnswerAccuracy",
    "bin_decisions",
    "calibration_error",
    "class_areas",
    "confidences",
    "load_metric",
    "mean_area",
]
