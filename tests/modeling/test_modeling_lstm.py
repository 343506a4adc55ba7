# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The built-in LSTM text encoder, by itself and as a tower."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForSequenceClassification

from hf_multimodal.modeling.configuration_lstm import LstmTextConfig
from hf_multimodal.modeling.modeling_lstm import LstmTextModel
from tests.tiny import tiny_batch, tiny_model

SMALL = {"vocab_size": 32, "embedding_size": 8, "hidden_size": 16}


def encoder(**values):
    torch.manual_seed(0)
    return LstmTextModel(LstmTextConfig(**{**SMALL, **values})).eval()


def test_padding_is_never_read_wherever_it_stands():
    model = encoder(num_hidden_layers=2)
    alone = model(input_ids=torch.tensor([[2, 7, 3]])).last_hidden_state
    right, mask_right = torch.tensor([[2, 7, 3, 9, 9]]), torch.tensor([[1, 1, 1, 0, 0]])
    left, mask_left = torch.tensor([[9, 9, 2, 7, 3]]), torch.tensor([[0, 0, 1, 1, 1]])
    gaps, mask_gaps = torch.tensor([[2, 9, 7, 9, 3]]), torch.tensor([[1, 0, 1, 0, 1]])
    for ids, mask in ((right, mask_right), (left, mask_left), (gaps, mask_gaps)):
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(states[:, mask[0].bool()], alone)
        assert (states[:, ~mask[0].bool()] == 0).all()


def test_it_reads_in_both_directions():
    model = encoder()
    first, second = (model(input_ids=torch.tensor([ids])).last_hidden_state for ids in ([2, 7, 3], [2, 7, 5]))
    assert torch.equal(first[:, 0, :8], second[:, 0, :8])  # forwards: knows nothing of the last token yet
    assert not torch.allclose(first[:, 0, 8:], second[:, 0, 8:])


def test_one_direction_by_hand():
    """Against torch's own cell, step by step."""
    model = encoder()
    cell = torch.nn.LSTMCell(8, 8)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in model.lstm.state_dict().items() if k.endswith("_l0")})
    embeds, state = model.embeddings(torch.tensor([2, 7, 3])), None
    for embed in embeds:
        state = cell(embed[None], state)
    torch.testing.assert_close(model(input_ids=torch.tensor([[2, 7, 3]])).last_hidden_state[:, -1, :8], state[0])


def test_an_odd_width_is_refused():
    with pytest.raises(StrictDataclassError, match="hidden_size=15"):
        LstmTextConfig(hidden_size=15)


def test_as_a_tower(tmp_path):
    model = tiny_model(text="lstm", num_labels=2)
    batch = tiny_batch()
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path).text_config, LstmTextConfig)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits, atol=1e-5, rtol=0)
