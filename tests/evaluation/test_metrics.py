# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics: numbers derived by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from hf_multimodal.evaluation.metrics import F1, Accuracy, MeanSquaredError, build_compute_metrics


def scores(logits, labels, problem_type):
    hook = build_compute_metrics(problem_type)
    return hook(SimpleNamespace(predictions=np.array(logits, dtype=np.float32), label_ids=np.array(labels)))


def test_single_label():
    # predicted 0, 1, 1, 1 for 0, 0, 1, 1: three of four right; F1 of class 0 is 2/3, of class 1 4/5
    result = scores([[2, 1], [0, 1], [0, 3], [1, 2]], [0, 0, 1, 1], "single_label_classification")
    assert result == pytest.approx({"accuracy": 3 / 4, "f1": (2 / 3 + 4 / 5) / 2})


def test_multi_label_needs_all_labels_of_a_row_right():
    # row 1 right, row 2 has one label too many; label 0: F1 1, label 1: precision 1/2, recall 1
    result = scores([[1, -1], [-1, 1], [-1, 1]], [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], "multi_label_classification")
    assert result == pytest.approx({"accuracy": 2 / 3, "f1": (1 + 2 / 3) / 2})


def test_regression():
    assert scores([[1.0], [3.0]], [2.0, 5.0], "regression") == {"mse": pytest.approx((1 + 4) / 2)}


def test_scored_answers():
    # the first row's best answer scores 2/3, the second's nothing
    result = scores([[1, 5, 0], [9, 0, 0]], [[1.0, 2 / 3, 0.0], [0.0, 1.0, 0.3]], "scored_answers")
    assert result == {"accuracy": pytest.approx((2 / 3 + 0) / 2)}


def test_regression_with_several_targets():
    assert scores([[1.0, 0.0]], [[2.0, 0.0]], "regression") == {"mse": pytest.approx(0.5)}


@pytest.mark.parametrize("metric", [Accuracy, F1, MeanSquaredError])
def test_modules_accumulate_over_batches(metric):
    whole, parts = metric(), metric()
    parts.add_batch(predictions=[0, 1], references=[0, 0])
    parts.add_batch(predictions=[1], references=[1])
    assert parts.compute() == whole.compute(predictions=[0, 1, 1], references=[0, 0, 1])
