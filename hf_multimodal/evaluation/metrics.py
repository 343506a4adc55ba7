# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Which metrics belong to which problem, and a Trainer's hook that computes them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import evaluate
import numpy as np
import torch

from hf_multimodal.evaluation.label_metrics import F1, Accuracy, MeanSquaredError, ScoredAnswerAccuracy
from hf_multimodal.evaluation.retrieval_metrics import embedding_scores, score_names
from hf_multimodal.modeling.modeling_losses import known_rows


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


# metric -> what people call it
METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "f1_micro": "F1, micro average",
    "f1_weighted": "F1, weighted average",
    "precision": "precision",
    "recall": "recall",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "ece": "expected calibration error",
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "r2": "R²",
    "bleu": "BLEU-4",
    "rougeL": "ROUGE-L",
    "cider": "CIDEr-D",
    "exact_match": "exact match",
    "vqa_accuracy": "VQA accuracy",
    "distinct": "share of distinct texts",
    "mean_recall": "mean recall",
    "recall@1": "recall@1",
    "recall@5": "recall@5",
    "recall@10": "recall@10",
    "median_rank": "median rank",
    "mrr": "mean reciprocal rank",
    "ndcg@10": "nDCG@10",
}

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
    "METRIC_NAMES",
    "ProblemType",
    "build_compute_metrics",
    "choice_metric",
    "compute_scores",
    "known_labels",
    "metric_names",
    "predictions_from_logits",
]
