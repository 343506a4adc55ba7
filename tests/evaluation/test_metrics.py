# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics: numbers derived by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from hf_multimodal.evaluation.label_metrics import F1, Accuracy, MeanSquaredError
from hf_multimodal.evaluation.metrics import build_compute_metrics, choice_metric, metric_names


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


KINDS = {"kind": "single_label_classification", "price": "regression"}


def test_tasks_over_the_rows_that_have_their_label():
    hook = build_compute_metrics(KINDS)
    logits = {"kind": np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]), "price": np.array([[1.0], [2.0], [5.0]])}
    labels = {"kind": np.array([0, -100, 1]), "price": np.array([np.nan, 4.0, 5.0])}
    result = hook(SimpleNamespace(predictions=logits, label_ids=labels))
    # kind: one of two right; F1 of class 0 is 2/3, of class 1 zero; price: errors of 2 and 0
    assert result == pytest.approx({"kind_accuracy": 1 / 2, "kind_f1": 1 / 3, "price_mse": 2.0})
    assert set(result) == set(metric_names(KINDS))
    labels["kind"] = np.full(3, -100)
    assert np.isnan(hook(SimpleNamespace(predictions=logits, label_ids=labels))["kind_accuracy"])


def test_accuracy_of_tasks_is_their_mean():
    hook = build_compute_metrics({"a": "single_label_classification", "b": "multi_label_classification"})
    logits = {"a": np.array([[2.0, 1.0], [0.0, 1.0]]), "b": np.array([[1.0, -1.0], [1.0, 1.0]])}
    labels = {"a": np.array([0, 0]), "b": np.array([[1.0, 0.0], [1.0, 1.0]])}
    result = hook(SimpleNamespace(predictions=logits, label_ids=labels))
    assert (result["a_accuracy"], result["b_accuracy"], result["accuracy"]) == (0.5, 1.0, 0.75)


def test_what_a_model_is_chosen_by():
    assert choice_metric("regression") == ("mse", False)
    assert choice_metric("scored_answers") == ("accuracy", True)
    assert choice_metric({"kind": "single_label_classification"}) == ("accuracy", True)
    assert choice_metric(KINDS) == ("loss", False)  # accuracy and squared error have no mean
