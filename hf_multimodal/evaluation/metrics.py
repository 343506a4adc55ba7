# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics as `evaluate` modules; scikit-learn computes, the module accumulates and binds."""

from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn import metrics as sk

_CITATION = "Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011."


class _ScikitLearnMetric(evaluate.Metric):
    """An `evaluate.Metric` in memory whose predictions and references are numbers, or one list of them per row."""

    score_name = ""
    dtype = "int64"

    def __init__(self, *, multi_label: bool = False, **kwargs: Any) -> None:  # noqa: ANN401 (evaluate.Metric's own)
        self.multi_label = multi_label
        super().__init__(config_name="multilabel" if multi_label else "default", keep_in_memory=True, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        value: Any = datasets.Value(self.dtype)
        feature = datasets.Sequence(value) if self.multi_label else value
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation=_CITATION,
            features=datasets.Features({"predictions": feature, "references": feature}),
        )


class Accuracy(_ScikitLearnMetric):
    """Share of rows predicted exactly right (for several labels per row: all of them)."""

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"accuracy": float(sk.accuracy_score(references, predictions))}


class F1(_ScikitLearnMetric):
    """Harmonic mean of precision and recall, averaged over the classes (macro by default)."""

    def _compute(self, predictions: list, references: list, average: str = "macro", **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"f1": float(sk.f1_score(references, predictions, average=average, zero_division=0))}


class ScoredAnswerAccuracy(_ScikitLearnMetric):
    """Mean score of the answers given, where an answer may be right to a degree (VQA, Antol et al. 2015)."""

    def _info(self) -> evaluate.MetricInfo:
        features: Any = {"predictions": datasets.Value("int64")}
        features["references"] = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(description=self.__doc__, citation=_CITATION, features=datasets.Features(features))

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"accuracy": float(np.mean([scores[i] for i, scores in zip(predictions, references, strict=True)]))}


class MeanSquaredError(_ScikitLearnMetric):
    """Mean squared difference, averaged over the targets."""

    dtype = "float64"

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        return {"mse": float(sk.mean_squared_error(references, predictions))}


def predictions_from_logits(logits: np.ndarray, problem_type: str) -> np.ndarray:
    """Decides: the best label (rows,), every label above probability one half (rows, labels), or the values themselves.

    The best label is taken both for a single label and for scored answers.

    Args:
        logits: (rows, labels).
        problem_type: As in the model's configuration.
    """
    if problem_type in ("single_label_classification", "scored_answers"):
        return logits.argmax(-1)
    if problem_type == "multi_label_classification":
        return (logits > 0).astype(np.int64)  # sigmoid(0) = one half
    return logits[:, 0] if logits.shape[1] == 1 else logits


def metric_names(problem_type: str) -> tuple[str, ...]:
    """Names of what `build_compute_metrics` computes, the first the one to choose a model by."""
    names = {"regression": ("mse",), "scored_answers": ("accuracy",)}
    return names.get(problem_type, ("accuracy", "f1"))


def build_compute_metrics(problem_type: str) -> Callable[[Any], dict[str, float]]:
    """Returns the `compute_metrics` hook of a Trainer for a problem type."""
    several = problem_type == "multi_label_classification"

    def compute(eval_prediction: Any) -> dict[str, float]:  # noqa: ANN401 (transformers.EvalPrediction)
        predictions = predictions_from_logits(np.asarray(eval_prediction.predictions), problem_type)
        references = np.asarray(eval_prediction.label_ids)
        if problem_type == "regression":
            modules: list[evaluate.Metric] = [MeanSquaredError(multi_label=predictions.ndim == 2)]
        elif problem_type == "scored_answers":
            modules = [ScoredAnswerAccuracy()]
        else:
            references = references.astype(np.int64)
            modules = [Accuracy(multi_label=several), F1(multi_label=several)]
        scores: dict[str, float] = {}
        for module in modules:
            scores.update(module.compute(predictions=predictions, references=references))
        return scores

    return compute


__all__ = [
    "F1",
    "Accuracy",
    "MeanSquaredError",
    "ScoredAnswerAccuracy",
    "build_compute_metrics",
    "metric_names",
    "predictions_from_logits",
]
