# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Heads over the pooled vector."""

import pytest
import torch

from hf_multimodal.modeling.modeling_heads import AnswerHead, ClassificationHead

HEADS = {"classification": ClassificationHead(16, 3, 0.5), "answer": AnswerHead(16, 3, 0.5, 1e-6)}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_shape_and_dropout(head):
    pooled = torch.randn(4, 16)
    assert head(pooled).shape == (4, 3)
    head.eval()
    assert torch.equal(head(pooled), head(pooled))
    head.train()
    assert not torch.equal(head(pooled), head(pooled))


def test_classification_is_one_linear_layer():
    head = ClassificationHead(16, 3, 0.0)
    pooled = torch.randn(4, 16)
    torch.testing.assert_close(head(pooled), pooled @ head.out_proj.weight.T + head.out_proj.bias)
