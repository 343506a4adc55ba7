# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Objectives, on numbers that can be derived by hand."""

import math

import pytest
import torch

from hf_multimodal.modeling.modeling_losses import answer_loss, classification_loss, infer_problem_type
from hf_multimodal.modeling.modeling_multimodal import (
    MultimodalForClassification,
    MultimodalForQuestionAnswering,
    MultimodalModel,
)


def test_uniform_logits_cost_log_c():
    loss = classification_loss(torch.full((4, 5), 3.0), torch.tensor([0, 1, 2, 4]), "single_label_classification")
    assert loss.item() == pytest.approx(math.log(5), abs=1e-6)


def test_cross_entropy_of_one_known_row():
    # softmax([log 3, 0]) = [3/4, 1/4]
    loss = classification_loss(torch.tensor([[math.log(3), 0.0]]), torch.tensor([1]), "single_label_classification")
    assert loss.item() == pytest.approx(math.log(4), abs=1e-6)


def test_zero_logits_cost_log_2_per_label():
    labels = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    assert classification_loss(torch.zeros(2, 3), labels, "multi_label_classification").item() == pytest.approx(
        math.log(2), abs=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.long, torch.bool, torch.float64])
def test_multi_label_targets_may_be_integer_or_boolean(dtype):
    labels = torch.tensor([[0, 1]]).to(dtype)
    # -log(1 - sigmoid(0)) and -log(sigmoid(log 3)) = -log(3/4)
    expected = (math.log(2) + math.log(4 / 3)) / 2
    loss = classification_loss(torch.tensor([[0.0, math.log(3)]]), labels, "multi_label_classification")
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_regression_is_the_mean_squared_error():
    # errors 1 and 3
    assert classification_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([2.0, 5.0]), "regression").item() == 5.0
    # errors 1, 0, 0, 2
    logits = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert classification_loss(logits, torch.tensor([[2.0, 2.0], [3.0, 2.0]]), "regression").item() == 1.25


def test_half_precision_logits_are_scored_in_float32():
    # the difference, 999, is no bfloat16 number: around it they are 4 apart
    logits = torch.tensor([[1000.0, 1.0]]).bfloat16()
    assert classification_loss(logits, torch.tensor([1]), "single_label_classification").item() == 999


@pytest.mark.parametrize(
    ("logits", "labels", "problem_type", "message"),
    [
        ((2, 3), torch.zeros(2), "single_label_classification", "integer labels.*got torch.float32.*'regression'"),
        ((2, 3), torch.zeros(2, 3).long(), "single_label_classification", "'multi_label_classification'"),
        ((2, 3), torch.zeros(2), "multi_label_classification", r"needs labels of shape \(2, 3\), got \(2,\)"),
        ((2, 3), torch.zeros(2, 2), "regression", r"'regression' with 3 labels needs labels of shape \(2, 3\)"),
    ],
)
def test_labels_it_refuses(logits, labels, problem_type, message):
    with pytest.raises(ValueError, match=message):
        classification_loss(torch.zeros(logits), labels, problem_type)


@pytest.mark.parametrize(
    ("labels", "num_labels", "expected"),
    [
        (torch.zeros(2), 1, "regression"),
        (torch.zeros(2, dtype=torch.long), 1, "regression"),
        (torch.zeros(2, dtype=torch.long), 3, "single_label_classification"),
        (torch.zeros(2, dtype=torch.int32), 3, "single_label_classification"),
        (torch.zeros(2, 3), 3, "multi_label_classification"),
    ],
)
def test_inferred_problem_type_is_transformers_own(labels, num_labels, expected):
    from transformers import BertConfig, BertForSequenceClassification

    assert infer_problem_type(labels, num_labels) == expected
    small = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    theirs = BertForSequenceClassification(BertConfig(**small, intermediate_size=8, num_labels=num_labels))
    # squared error is computed on labels as they are given
    given = labels.float() if expected == "regression" else labels.long() if labels.ndim == 1 else labels
    theirs(input_ids=torch.ones(2, 4, dtype=torch.long), labels=given)
    assert theirs.config.problem_type == expected


def test_answer_loss_of_one_right_answer():
    assert answer_loss(torch.zeros(2, 4), torch.tensor([1, 3])).item() == pytest.approx(math.log(4), abs=1e-6)


def test_answer_loss_of_scored_answers_sums_over_answers():
    # each of the 4 answers costs log 2 at logit 0, whatever its score; mean over rows
    scores = torch.tensor([[0.0, 0.3, 1.0, 0.9], [0.0, 0.0, 0.0, 0.6]])
    assert answer_loss(torch.zeros(2, 4), scores).item() == pytest.approx(4 * math.log(2), abs=1e-6)


@pytest.mark.parametrize("cls", [MultimodalModel, MultimodalForClassification, MultimodalForQuestionAnswering])
def test_trainer_is_told_to_divide_the_loss_by_the_accumulation_steps(cls):
    assert cls.accepts_loss_kwargs is False


SINGLE, MULTI = "single_label_classification", "multi_label_classification"
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
LABELS = torch.tensor([0, 2])


def test_label_smoothing_by_hand():
    logs = LOGITS.log_softmax(-1)
    targets = torch.full((2, 3), 0.1 / 3)
    targets[[0, 1], LABELS] += 0.9
    expected = -(targets * logs).sum(1).mean()
    torch.testing.assert_close(classification_loss(LOGITS, LABELS, SINGLE, label_smoothing=0.1), expected)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 5.0])])
def test_focal_loss_by_hand(weights):
    p = LOGITS.softmax(-1)[[0, 1], LABELS]
    losses = -((1 - p) ** 2) * p.log()
    own = torch.ones(2) if weights is None else weights[LABELS]
    loss = classification_loss(LOGITS, LABELS, SINGLE, focal_gamma=2.0, class_weights=weights)
    torch.testing.assert_close(loss, (own * losses).sum() / own.sum())


def test_focal_loss_of_several_labels_by_hand():
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    p = LOGITS.sigmoid()
    weights = torch.tensor([1.0, 2.0, 5.0])
    losses = -(labels * weights * (1 - p) ** 2 * p.log() + (1 - labels) * p**2 * (1 - p).log())
    loss = classification_loss(LOGITS, labels, MULTI, focal_gamma=2.0, class_weights=weights)
    torch.testing.assert_close(loss, losses.mean())


def test_class_weights_of_a_single_label():
    weights = torch.tensor([1.0, 2.0, 5.0])
    losses = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none")
    loss = classification_loss(LOGITS, LABELS, SINGLE, class_weights=weights)
    torch.testing.assert_close(loss, (losses * weights[LABELS]).sum() / weights[LABELS].sum())


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match="label_smoothing is for a single label"):
        classification_loss(LOGITS, torch.zeros(2, 3), MULTI, label_smoothing=0.1)
    with pytest.raises(ValueError, match="leave them out of a regression"):
        classification_loss(LOGITS, torch.zeros(2, 3), "regression", focal_gamma=1.0)
