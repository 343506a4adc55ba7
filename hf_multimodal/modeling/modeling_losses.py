# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Objectives: pure functions of logits and labels."""

from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)


def infer_problem_type(labels: torch.Tensor, num_labels: int) -> str:
    """Infers the problem type from the labels when the configuration does not name it, as transformers does.

    Args:
        labels: (B,) or (B, C).
        num_labels: C.
    """
    if num_labels == 1:
        return "regression"
    is_integer = not (labels.is_floating_point() or labels.dtype == torch.bool)
    return "single_label_classification" if is_integer and labels.ndim == 1 else "multi_label_classification"


def classification_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    problem_type: str,
    *,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean loss over the batch: cross-entropy, binary cross-entropy per label, or squared error.

    Args:
        logits: (B, C).
        labels: (B,) long for one label per row; (B, C) of 0/1 for several; (B,) or (B, C) float for regression.
        problem_type: `single_label_classification`, `multi_label_classification` or `regression`.
        label_smoothing: Share of a single label's target that is spread over all (Szegedy et al. 2016).
        focal_gamma: Exponent of the focal loss, -(1 - p)^gamma log p of the true outcome's probability p (Lin et al.
            2017); 0 = plain.
        class_weights: (C,) weight of each label's rows (weighted mean), or of each label's positives where there are
            several per row.

    Raises:
        ValueError: if the labels' type or shape does not fit the problem type, or an option does not.
    """
    logits = logits.float()
    if problem_type == "scored_answers":
        raise ValueError("problem_type='scored_answers' is for MultimodalForQuestionAnswering: build that class.")
    if problem_type == "single_label_classification":
        return _single_label_loss(logits, labels, label_smoothing, focal_gamma, class_weights)
    if label_smoothing:
        raise ValueError("label_smoothing is for a single label per row: leave it at 0.")
    labels = labels.to(logits.dtype)
    if labels.ndim == 1 and logits.shape[1] == 1:
        labels = labels.unsqueeze(1)
    if labels.shape != logits.shape:
        raise ValueError(
            f"problem_type={problem_type!r} with {logits.shape[1]} labels needs labels of shape {tuple(logits.shape)}, "
            f"got {tuple(labels.shape)}."
        )
    if problem_type == "multi_label_classification":
        return _multi_label_loss(logits, labels, focal_gamma, class_weights)
    if focal_gamma or class_weights is not None:
        raise ValueError("focal_gamma and class_weights are for classes: leave them out of a regression.")
    return F.mse_loss(logits, labels)


def _single_label_loss(
    logits: torch.Tensor, labels: torch.Tensor, smoothing: float, gamma: float, weights: torch.Tensor | None
) -> torch.Tensor:
    if labels.is_floating_point() or labels.ndim != 1:
        raise ValueError(
            "problem_type='single_label_classification' needs integer labels of shape (batch,), got "
            f"{labels.dtype} of shape {tuple(labels.shape)}. For several labels per row set "
            "problem_type='multi_label_classification'; for numbers set problem_type='regression'."
        )
    if weights is not None and not weights[labels].any():
        return 0.0 * logits.sum()  # a weighted mean over nothing
    if not gamma:
        return F.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    losses = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    losses = losses * (1 - logits.softmax(-1).gather(1, labels[:, None]).squeeze(1)) ** gamma
    own = torch.ones_like(losses) if weights is None else weights[labels]
    return (own * losses).sum() / own.sum()


def _multi_label_loss(
    logits: torch.Tensor, labels: torch.Tensor, gamma: float, weights: torch.Tensor | None
) -> torch.Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weights, reduction="none")
    if gamma:
        probabilities = logits.sigmoid()
        losses = losses * (labels * (1 - probabilities) + (1 - labels) * probabilities) ** gamma
    return losses.mean()


def answer_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Loss over an answer set: cross-entropy for one right answer, soft binary cross-entropy for scored answers.

    Soft scores follow VQA 2.0 practice (Teney et al. 2018, "Tips and Tricks for Visual Question Answering"): the binary
    cross-entropy is summed over the answers and averaged over the rows.

    Args:
        logits: (B, C).
        labels: (B,) long answer indices, or (B, C) float scores between 0 and 1.
    """
    if labels.ndim == 1:
        return classification_loss(logits, labels, "single_label_classification")
    return classification_loss(logits, labels, "multi_label_classification") * logits.shape[1]


NO_LABEL = -100  # of a single label, as in transformers; of the others NaN


def known_rows(labels: torch.Tensor) -> torch.Tensor:
    """Says which rows have a label: (B,) or (B, C) -> (B,) bool.

    Args:
        labels: -100 (integers) or NaN (floats) where there is none; one NaN among several targets is enough.
    """
    known = ~torch.isnan(labels) if labels.is_floating_point() else labels != NO_LABEL
    return known if known.ndim == 1 else known.all(dim=1)


def task_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    problem_type: str,
    **options: Any,  # noqa: ANN401 (of classification_loss)
) -> torch.Tensor:
    """Mean loss over the rows that have a label; zero, with a gradient of zero, where none has.

    Args:
        logits: (B, C).
        labels: As in `classification_loss`, with -100 or NaN where a row has none.
        problem_type: As in `classification_loss`.
        **options: Of `classification_loss`.
    """
    known = known_rows(labels)
    if not known.any():
        return 0.0 * logits.float().sum()  # DDP waits for a gradient of every parameter
    return classification_loss(logits[known], labels[known], problem_type, **options)


def uncertainty_weighted(loss: torch.Tensor, log_variance: torch.Tensor, problem_type: str) -> torch.Tensor:
    """Weighs a task's loss by its learned variance (Kendall et al. 2018, equations 7 and 10).

    Args:
        loss: The task's loss, a scalar.
        log_variance: log sigma^2, a scalar.
        problem_type: For regression the result is loss / (2 sigma^2) + log sigma, for classes loss / sigma^2 +
            log sigma.
    """
    factor = 0.5 if problem_type == "regression" else 1.0
    return factor * torch.exp(-log_variance) * loss + 0.5 * log_variance


__all__ = [
    "NO_LABEL",
    "answer_loss",
    "classification_loss",
    "infer_problem_type",
    "known_rows",
    "task_loss",
    "uncertainty_weighted",
]
