# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The retrieval model: embeddings, matching, objectives, and gradient caching."""

import copy
import json
import math
import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoModel

from hf_multimodal import MultimodalForRetrieval
from hf_multimodal.modeling.modeling_gradient_cache import frozen_statistics
from hf_multimodal.modeling.modeling_retrieval import MAX_LOGIT_SCALE
from tests.tiny import TEXTS, tiny_batch, tiny_model, tiny_pictures, tiny_processor

ITEMS = torch.tensor([3, 4, 3])


def retrieval_model(**config):
    return tiny_model(MultimodalForRetrieval, **{"embedding_size": 8, **config})


def gradients(model, batch, seed=1):
    model.zero_grad()
    torch.manual_seed(seed)  # of the negatives
    output = model(**batch)
    output.loss.backward()
    return output, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_embeddings_are_unit_vectors_and_need_one_modality_only():
    model, batch = retrieval_model(), tiny_batch()
    output = model(**batch)
    assert {m: tuple(x.shape) for m, x in output.embeds.items()} == {"text": (3, 8), "image": (3, 8)}
    torch.testing.assert_close(output.embeds["text"].norm(dim=1), torch.ones(3))
    assert output.match_logits.shape == (3,)
    assert output.loss is None
    alone = model.embed(model.encode(pixel_values=batch["pixel_values"]))
    assert list(alone) == ["image"]
    torch.testing.assert_close(alone["image"], output.embeds["image"])


def test_pairs_are_scored_as_rows_are():
    """Any pairing of encoded rows gets the score of the row that holds both."""
    model, batch = retrieval_model(), tiny_batch()
    pixels = batch["pixel_values"]
    towers = model.encode(**batch)
    scores = model.match(towers, torch.tensor([0, 0, 2]), torch.tensor([1, 2, 0]))
    for pair, (text, image) in enumerate([(0, 1), (0, 2), (2, 0)]):
        row = {k: x[text : text + 1] for k, x in batch.items() if k not in ("pixel_values", "modality_mask")}
        alone = model(**row, pixel_values=pixels[image : image + 1]).match_logits
        torch.testing.assert_close(scores[pair : pair + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("objective", ["infonce", "sigmoid"])
def test_every_parameter_learns(objective):
    model = retrieval_model(contrastive_objective=objective).train()
    output, grads = gradients(model, tiny_batch(labels=ITEMS))
    assert output.loss.item() == pytest.approx(output.contrastive_loss.item() + output.match_loss.item(), rel=1e-5)
    # a bias before keys shifts all scores of a softmax alike
    silent = {name for name, g in grads.items() if not g.any() and "k_proj.bias" not in name and "key.bias" not in name}
    assert set(grads) == {name for name, _ in model.named_parameters()}
    assert not {n for n in silent if not n.startswith("model.towers") and "absent_token" not in n}


def test_without_a_match_head_its_weights_and_the_fusions_are_left_out_of_training(tmp_path):
    """Nothing waits for their gradient, and nothing decays them."""
    retrieval_model(match_weight=0).save_pretrained(tmp_path)
    for model in (retrieval_model(match_weight=0), MultimodalForRetrieval.from_pretrained(tmp_path)):
        output, grads = gradients(model.train(), tiny_batch(labels=ITEMS))
        assert output.match_loss is None
        left_out = {name for name, p in model.named_parameters() if not p.requires_grad}
        assert left_out == {n for n, _ in model.named_parameters() if n.startswith(("head.", "model.fusion."))}
        assert set(grads) == {name for name, _ in model.named_parameters()} - left_out


def test_rows_that_lack_a_modality_have_no_influence():
    model = retrieval_model().train()
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    losses = []
    for filling in (0.0, 100.0):
        batch = tiny_batch(labels=torch.tensor([1, 2, 3]), modality_mask=mask)
        batch["pixel_values"] = batch["pixel_values"].clone()
        batch["pixel_values"][1] = filling
        losses.append(gradients(model, batch)[0].loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    # two pairs are left: with them alone the contrastive loss is the same
    batch = tiny_batch(labels=torch.tensor([1, 2, 3]), modality_mask=mask)
    pair = {k: x[[0, 2]] for k, x in batch.items()}
    whole, alone = model(**batch).contrastive_loss, model(**pair).contrastive_loss
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-5)
    embeds = model.eval()(**batch).embeds["image"]
    assert not embeds[1].any()
    assert embeds[0].any()


def test_a_batch_of_one_item_has_no_negatives():
    model = retrieval_model().train()
    output, _ = gradients(model, tiny_batch(labels=torch.tensor([5, 5, 5])))
    assert output.contrastive_loss.item() == pytest.approx(0.0, abs=1e-6)
    # matching pairs only, half the weight of the loss; an untrained head says about 0: log 2 / 2
    assert 0.1 < output.match_loss.item() < 0.7


def test_temperature_is_clamped():
    model = retrieval_model().train()
    assert model.logit_scale.exp().item() == pytest.approx(1 / 0.07)  # as CLIP starts
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
    model(**tiny_batch(labels=ITEMS))
    assert model.logit_scale.item() == pytest.approx(MAX_LOGIT_SCALE) == math.log(100)


@pytest.mark.parametrize("objective", ["infonce", "sigmoid"])
@pytest.mark.parametrize("chunk_size", [1, 2, 3])
def test_gradient_caching_changes_no_gradient(objective, chunk_size):
    model = retrieval_model(contrastive_objective=objective, match_negatives=2, hidden_dropout_prob=0.0).train()
    batch = tiny_batch(labels=ITEMS)
    whole, expected = gradients(model, batch)
    model.set_chunk_size(chunk_size)
    cached, found = gradients(model, batch)
    assert cached.loss.item() == pytest.approx(whole.loss.item(), rel=1e-6)
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_gradient_caching_replays_dropout():
    """With dropout a second encoding with other random numbers would give other gradients than the loss has."""
    model = retrieval_model(hidden_dropout_prob=0.5).train()
    model.set_chunk_size(3)  # one chunk: the same random numbers as without
    batch = tiny_batch(labels=ITEMS)
    _, cached = gradients(model, batch)
    again = gradients(model, batch)[1]
    for name, gradient in cached.items():
        torch.testing.assert_close(again[name], gradient, rtol=1e-5, atol=1e-6, msg=name)
    model.set_chunk_size(None)
    _, whole = gradients(model, batch)
    torch.testing.assert_close(cached["logit_scale"], whole["logit_scale"], rtol=1e-3, atol=1e-4)


def test_gradient_caching_counts_batch_statistics_once():
    model = retrieval_model(image="timm resnet").train()
    twin = copy.deepcopy(model)
    batch = tiny_batch(labels=ITEMS)
    model.set_chunk_size(3)
    for one in (model, twin):
        gradients(one, batch)
    ours, theirs = dict(model.named_buffers()), dict(twin.named_buffers())
    assert any(name.endswith("running_mean") for name in ours)
    for name, buffer in theirs.items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(ours[name], buffer, msg=name)


def test_frozen_statistics_come_back():
    norm = torch.nn.BatchNorm1d(2, momentum=0.3)
    with frozen_statistics(norm):
        norm(torch.randn(4, 2))
        assert norm.running_mean.tolist() == [0.0, 0.0]
    assert norm.momentum == 0.3


def test_chunk_size_must_be_positive():
    with pytest.raises(ValueError, match="chunk_size=0: give at least 1"):
        retrieval_model().set_chunk_size(0)


def test_other_numbers_of_modalities_are_refused():
    with pytest.raises(ValueError, match=r"matches two modalities, but the configuration has 1 \(text\)"):
        retrieval_model(image=None)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"contrastive_objective": "infonse"}, "Did you mean 'infonce'"),
        ({"match_weight": -1}, "match_weight=-1: it cannot be negative"),
        ({"embedding_size": 0}, "embedding_size=0: it must be at least 1"),
        ({"match_negatives": 0}, "match_negatives=0: it must be at least 1"),
        ({"position_temperature": 0.5}, "position_temperature=0.5: it must be at least 1"),
    ],
)
def test_bad_settings_are_refused(field, message):
    with pytest.raises(ValueError, match=message):
        retrieval_model(**field)


def test_saved_model_is_a_plain_feature_extractor_and_comes_back_whole(tmp_path):
    model, batch = retrieval_model(), tiny_batch()
    model.save_pretrained(tmp_path)
    again = MultimodalForRetrieval.from_pretrained(tmp_path).eval()
    for modality, embeds in model(**batch).embeds.items():
        torch.testing.assert_close(again(**batch).embeds[modality], embeds)
    features = AutoModel.from_pretrained(tmp_path).eval()(**batch)
    expected = model.model(**batch)
    torch.testing.assert_close(features.pooler_output, expected.pooler_output)
    torch.testing.assert_close(features.last_hidden_state, expected.last_hidden_state)


_WITHOUT_PACKAGE = """
import sys
sys.modules["hf_multimodal"] = None  # as if it were not installed
from transformers import AutoModel, AutoProcessor
from transformers.dynamic_module_utils import get_class_from_dynamic_module
source = sys.argv[1]
model_class = get_class_from_dynamic_module("modeling_retrieval.MultimodalForRetrieval", source)
model = model_class.from_pretrained(source).eval()
processor = AutoProcessor.from_pretrained(source, trust_remote_code=True)
batch = processor(text=["a red square"], return_tensors="pt")
batch.pop("modality_mask")
print(model.embed(model.encode(**{k: batch[k] for k in ("input_ids", "attention_mask")}))["text"].tolist())
print(type(AutoModel.from_pretrained(source, trust_remote_code=True)).__name__)
"""


@pytest.mark.slow
def test_loads_where_the_package_is_absent(tmp_path):
    model, processor = retrieval_model(), tiny_processor()
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PACKAGE, str(tmp_path / "model")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    vector, name = done.stdout.strip().splitlines()
    batch = processor(text=TEXTS[:1], images=tiny_pictures(1), return_tensors="pt")
    expected = model(**batch).embeds["text"][0].tolist()
    assert json.loads(vector)[0] == pytest.approx(expected, abs=1e-5)
    assert name == "MultimodalModel"
