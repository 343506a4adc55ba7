# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Contrastive and matching objectives, against numbers worked out by hand."""

import math

import pytest
import torch

from hf_multimodal.modeling.modeling_contrastive import draw_negatives, info_nce_loss, match_loss, sigmoid_loss


def masks(items, others=None):
    items, others = torch.tensor(items), torch.tensor(others if others is not None else items)
    same = items[:, None] == others[None, :]
    return same, ~same


def test_uniform_similarities_cost_the_logarithm_of_the_candidates():
    losses = info_nce_loss(torch.zeros(4, 4), *masks([0, 1, 2, 3]))
    assert losses.tolist() == pytest.approx([math.log(4)] * 4)


def test_one_positive_each_is_cross_entropy():
    torch.manual_seed(0)
    logits = 5 * torch.randn(6, 6)
    losses = info_nce_loss(logits, *masks(list(range(6))))
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(6), reduction="none")
    torch.testing.assert_close(losses, expected)


def test_rows_of_one_item_are_no_negatives():
    """Items a, a, b with uniform similarities: each positive of an a competes with the single b only: log 2."""
    losses = info_nce_loss(torch.zeros(3, 3), *masks([7, 7, 8]))
    assert losses.tolist() == pytest.approx([math.log(2), math.log(2), math.log(3)])


@pytest.mark.parametrize("objective", [info_nce_loss, sigmoid_loss])
def test_no_gradient_pushes_rows_of_one_item_apart(objective):
    torch.manual_seed(0)
    logits = (3 * torch.randn(5, 5)).requires_grad_()
    positives, negatives = masks([1, 1, 1, 2, 3])
    objective(logits, positives, negatives).sum().backward()
    assert (logits.grad[positives] < 0).all()  # descent raises them
    assert (logits.grad[negatives] > 0).all()


@pytest.mark.parametrize("objective", [info_nce_loss, sigmoid_loss])
def test_what_is_neither_positive_nor_negative_has_no_influence(objective):
    torch.manual_seed(0)
    logits = torch.randn(3, 3)
    positives, negatives = masks([1, 2, 3])
    positives[:, 2] = negatives[:, 2] = positives[2] = negatives[2] = False
    losses = objective(logits, positives, negatives)
    changed = logits.clone()
    changed[2], changed[:, 2] = torch.inf, -50.0
    torch.testing.assert_close(objective(changed, positives, negatives), losses)
    assert losses[2] == 0


def test_sigmoid_loss_by_hand():
    logits = torch.tensor([[2.0, -1.0], [0.0, 1.0]])
    losses = sigmoid_loss(logits, *masks([0, 1]))
    softplus = [math.log1p(math.exp(x)) for x in (-2.0, -1.0, 0.0, -1.0)]
    assert losses.tolist() == pytest.approx([softplus[0] + softplus[1], softplus[2] + softplus[3]])


def test_a_row_without_negatives_costs_nothing():
    losses = info_nce_loss(torch.randn(2, 2), *masks([4, 4]))
    assert losses.tolist() == [0.0, 0.0]


def test_negatives_are_drawn_by_similarity_and_never_from_the_same_item():
    torch.manual_seed(0)
    logits = torch.tensor([[9.0, 9.0, math.log(3), 0.0]]).expand(20_000, -1)
    negatives = torch.tensor([False, False, True, True]).expand(20_000, -1)
    chosen, there = draw_negatives(logits, negatives, torch.rand(20_000, 4), 1)
    assert there.all()
    assert set(chosen.flatten().tolist()) == {2, 3}
    # in proportion 3 : 1; the standard deviation of the share is 0.003
    assert (chosen == 2).float().mean().item() == pytest.approx(0.75, abs=0.015)


def test_fewer_negatives_than_asked_for_are_marked():
    negatives = torch.tensor([[False, True, True], [False, False, False]])
    chosen, there = draw_negatives(torch.zeros(2, 3), negatives, torch.rand(2, 3), 5)
    assert chosen.shape == (2, 3)
    assert there.sum(1).tolist() == [2, 0]
    assert set(chosen[0, :2].tolist()) == {1, 2}


def test_match_loss_by_hand():
    loss = match_loss(torch.tensor([0.0, 100.0, 3.0]), torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.5, 0.25, 0.0]))
    assert loss.item() == pytest.approx(0.5 * math.log(2))
