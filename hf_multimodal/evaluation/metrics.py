# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics as `evaluate` modules; scikit-learn computes, the module accumulates and binds."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import datasets
import evaluate
import numpy as np
import torch
from sklearn import metrics as sk

from hf_multimodal.evaluation.retrieval_metrics import embedding_scores, score_names
from hf_multimodal.modeling.modeling_losses import known_rows

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


ProblemType: TypeAlias = str | Mapping[str, str]  # of one task, or task -> its own


def metric_names(problem_type: ProblemType, modalities: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of what `build_compute_metrics` computes.

    Args:
        problem_type: As there.
        modalities: Of retrieval: the two that are matched.
    """
    if problem_type == "retrieval":
        return score_names(modalities)
    if problem_type in ("generation", "pretraining"):  # a step gives its loss alone; what is written is scored apart
        return ()
    if not isinstance(problem_type, str):
        own = [f"{task}_{name}" for task, kind in problem_type.items() for name in metric_names(kind)]
        return ("accuracy", *own) if _all_have_accuracy(problem_type) else tuple(own)
    names = {"regression": ("mse",), "scored_answers": ("accuracy",)}
    return names.get(problem_type, ("accuracy", "f1"))


_CHOICES = {
    "regression": ("mse", False),
    "retrieval": ("mean_recall", True),
    "generation": ("loss", False),
    "pretraining": ("loss", False),
}


def choice_metric(problem_type: ProblemType) -> tuple[str, bool]:
    """The metric to choose a model by, and whether more of it is better.

    Of several tasks it is the mean accuracy where all have one, else the loss.
    """
    if isinstance(problem_type, str):
        return _CHOICES.get(problem_type, ("accuracy", True))
    return ("accuracy", True) if _all_have_accuracy(problem_type) else ("loss", False)


def _all_have_accuracy(problem_types: Mapping[str, str]) -> bool:
    return "regression" not in problem_types.values()


def build_compute_metrics(problem_type: ProblemType) -> Callable[[Any], dict[str, float]]:
    """Returns the `compute_metrics` hook of a Trainer.

    Args:
        problem_type: Of one task; or task -> problem type, for predictions and labels that are dicts of tasks. Metrics
            then are named `TASK_METRIC`, over the rows that have the task's label (NaN where none has), and `accuracy`
            is the tasks' mean, where all have one. Of `retrieval` the predictions are the embeddings of each modality.
    """

    def compute(eval_prediction: Any) -> dict[str, float]:  # noqa: ANN401 (transformers.EvalPrediction)
        logits, labels = eval_prediction.predictions, eval_prediction.label_ids
        if isinstance(logits, tuple):  # beside them, what else of a model's output was asked for
            logits = logits[0]
        if problem_type == "retrieval":
            return embedding_scores(logits, labels)
        if isinstance(problem_type, str):
            return compute_scores(logits, labels, problem_type)
        scores: dict[str, float] = {}
        for task, kind in problem_type.items():
            known = known_labels(labels[task]) if task in labels else np.zeros(len(logits[task]), dtype=bool)
            own: dict[str, float] = dict.fromkeys(metric_names(kind), math.nan)
            if known.any():
                own = compute_scores(np.asarray(logits[task])[known], np.asarray(labels[task])[known], kind)
            scores.update({f"{task}_{name}": value for name, value in own.items()})
        if _all_have_accuracy(problem_type):
            scores["accuracy"] = float(np.nanmean([scores[f"{task}_accuracy"] for task in problem_type]))
        return scores

    return compute


def known_labels(labels: np.ndarray) -> np.ndarray:
    """Says which rows have a label, (rows,) bool: in the others stands -100, or NaN."""
    return known_rows(torch.as_tensor(labels)).numpy()


def compute_scores(logits: np.ndarray, labels: np.ndarray, problem_type: str) -> dict[str, float]:
    """Computes the metrics of one task.

    Args:
        logits: (rows, labels).
        labels: As the collator makes them, none missing.
        problem_type: As in the model's configuration.
    """
    several = problem_type == "multi_label_classification"
    predictions, references = predictions_from_logits(np.asarray(logits), problem_type), np.asarray(labels)
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


__all__ = [
    "F1",
    "Accuracy",
    "MeanSquaredError",
    "ProblemType",
    "ScoredAnswerAccuracy",
    "build_compute_metrics",
    "choice_metric",
    "compute_scores",
    "known_labels",
    "metric_names",
    "predictions_from_logits",
]
