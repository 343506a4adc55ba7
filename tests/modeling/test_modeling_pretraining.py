# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model that learns without labels: each objective's loss, what it sees of hidden parts, and the way to a task."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForPreTraining

from hf_multimodal import (
    MultimodalCollator,
    MultimodalForClassification,
    MultimodalForPreTraining,
    MultimodalForRetrieval,
)
from hf_multimodal.data.masking import MaskingSchema
from hf_multimodal.modeling.modeling_reconstruction import from_patches, hide_patches, reconstruction_loss, to_patches
from tests.tiny import TEXTS, tiny_batch, tiny_model, tiny_pictures, tiny_processor, tiny_sounds

ALL = {"masked_language": 1.0, "contrastive": 0.5, "matching": 2.0, "reconstruction": 3.0}


def pretrainer(objectives=None, **config):
    options = {"pretraining_objectives": objectives or ALL, "embedding_size": 8, **config}
    return tiny_model(MultimodalForPreTraining, **options)


def batch_for(model, seed=0, ratios=None, **processor):
    torch.manual_seed(seed)
    options = {} if ratios is None else {"ratios": ratios}
    made = tiny_processor(**processor)
    collator = MultimodalCollator(made, MaskingSchema.from_config(model.config, **options))
    rows = [{"text": t, "image": p, "row_id": i} for i, (t, p) in enumerate(zip(TEXTS, tiny_pictures(), strict=True))]
    if "audio" in made.modalities:
        rate = made.feature_extractor.sampling_rate
        sounds = tiny_sounds(rate)
        rows = [{**row, "audio": {"array": x, "sampling_rate": rate}} for row, x in zip(rows, sounds, strict=True)]
    return collator(rows)


def test_the_loss_is_the_weighted_sum():
    model = pretrainer()
    output = model(**batch_for(model))
    assert set(output.objective_losses) == set(ALL)
    total = sum(ALL[name] * loss for name, loss in output.objective_losses.items())
    torch.testing.assert_close(output.loss, total)


@pytest.mark.parametrize("names", [(name,) for name in ALL] + [tuple(ALL)])
def test_every_parameter_has_a_gradient(names):
    model = pretrainer(dict.fromkeys(names, 1.0)).train()
    model(**batch_for(model)).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_pairs_are_learned_as_retrieval_learns_them():
    model = pretrainer({"contrastive": 1.0, "matching": 1.0})
    finder = tiny_model(MultimodalForRetrieval, embedding_size=8)
    finder.model.load_state_dict(model.model.state_dict())
    finder.embedding_heads.load_state_dict(model.embedding_heads.state_dict())
    finder.head.load_state_dict(model.head["matching"].state_dict())
    batch = batch_for(model)
    items = batch["labels"]["items"]
    expected = finder(**{**batch, "labels": items})
    found = model(**batch).objective_losses
    torch.testing.assert_close(found["contrastive"], expected.contrastive_loss)
    torch.testing.assert_close(found["matching"], expected.match_loss)


def test_what_is_hidden_is_not_seen():
    model = pretrainer({"reconstruction": 1.0})
    batch = batch_for(model)
    hidden = batch["labels"]["image"]
    losses = []
    for value in (0.0, 9.0):
        pixels = batch["pixel_values"].clone()
        changed = hide_patches(torch.ones_like(pixels), ~hidden, 8) * value  # something else where patches are hidden
        shown = hide_patches(pixels, hidden, 8) + changed
        towers = model.model.encode({**batch, "pixel_values": hide_patches(shown, hidden, 8)}, batch["modality_mask"])
        losses.append(towers["image"].tokens)
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=0)
    drawn = [model(**{**batch, "pixel_values": x}).loss for x in (batch["pixel_values"], shown)]
    assert drawn[0] != drawn[1]  # but it is what should be drawn


def test_patches_there_and_back():
    pixels = torch.randn(2, 3, 8, 16)
    patches = to_patches(pixels, 4)
    assert patches.shape == (2, 8, 48)
    torch.testing.assert_close(patches[1, 5].view(3, 4, 4), pixels[1, :, 4:8, 4:8])
    torch.testing.assert_close(from_patches(patches, (2, 4), 4), pixels)
    hidden = torch.zeros(2, 8, dtype=torch.bool)
    hidden[1, 5] = True
    blank = hide_patches(pixels, hidden, 4)
    assert (blank[1, :, 4:8, 4:8] == 0).all()
    assert (blank != pixels).sum() == 48


def test_reconstruction_error_by_hand():
    patches, drawn = torch.zeros(2, 2, 4), torch.ones(2, 2, 4)
    drawn[0, 0] = 3.0
    hidden = torch.tensor([[True, False], [False, False]])
    # the first row's hidden patch: 9; the second row hides none, so that both of its patches count: 1
    assert reconstruction_loss(drawn, patches, hidden).item() == 5.0


def test_an_autoencoder_is_one_configuration():
    model = pretrainer({"reconstruction": 1.0}, text=None, hidden_size=32).train()
    batch = batch_for(model, ratios={"image": 0.0}, text=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    model.eval()
    drawn = model(pixel_values=batch["pixel_values"]).reconstructions["image"]
    torch.testing.assert_close(
        reconstruction_loss(drawn, to_patches(batch["pixel_values"], 8), batch["labels"]["image"]),
        model(**batch).loss,
    )


def test_spectrograms_are_drawn_too():
    model = pretrainer({"reconstruction": 1.0}, audio="timm resnet", reconstruction_patch_size=4, image=None)
    batch = batch_for(model, audio="timm resnet", image=False)
    bands, frames = batch["audio_values"].shape[-2:]
    assert (bands, frames % 4) == (16, 1)  # the last patch of a row hangs over
    assert batch["labels"]["audio"].shape == (3, bands // 4 * (frames // 4 + 1))
    assert model(**batch).loss.item() > 0


def test_sounds_that_are_no_spectrograms_are_not_drawn():
    model = pretrainer({"reconstruction": 1.0}, audio="wav2vec2")
    assert MaskingSchema.from_config(model.config).drawn == ("image",)
    assert list(model.head["reconstruction"]) == ["image"]


def test_an_absent_modality():
    model = pretrainer()
    batch = batch_for(model)
    batch["modality_mask"] = torch.tensor([[True, True], [True, False], [True, True]])
    noise = {**batch, "pixel_values": batch["pixel_values"].clone()}
    noise["pixel_values"][1] = 7.0
    torch.testing.assert_close(model(**batch).loss, model(**noise).loss)


def test_a_text_that_the_model_did_not_get_is_not_guessed():
    model = pretrainer({"masked_language": 1.0})
    batch = batch_for(model)
    batch["modality_mask"] = torch.tensor([[False, True]] * 3)
    assert model(**batch).loss.item() == 0


def test_masked_language_reads_the_picture():
    model = pretrainer({"masked_language": 1.0})
    batch = batch_for(model)
    other = {**batch, "pixel_values": batch["pixel_values"].flip(0)}
    assert model(**batch).loss != model(**other).loss


def test_on_to_a_task(tmp_path, caplog):
    model = pretrainer()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForPreTraining.from_pretrained(tmp_path)
    assert type(loaded) is MultimodalForPreTraining
    batch = batch_for(model)
    torch.testing.assert_close(loaded(**batch).loss, model(**batch).loss)
    classifier, info = MultimodalForClassification.from_pretrained(tmp_path, num_labels=3, output_loading_info=True)
    assert info["missing_keys"] == {"head.out_proj.weight", "head.out_proj.bias"}
    assert classifier(**tiny_batch()).logits.shape == (3, 3)
    kept = classifier.model.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.model.state_dict().items())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"objectives": {"masked": 1.0}}, "Unknown objective in pretraining_objectives 'masked'"),
        ({"objectives": {"contrastive": -1.0}}, "it cannot be negative"),
        ({"objectives": {"masked_language": 1.0}, "text": None}, "needs a tower of text"),
        ({"objectives": {"reconstruction": 1.0}, "image": None}, "needs a tower of image or audio"),
        ({"objectives": {"contrastive": 1.0}, "image": None}, "matches two modalities"),
        ({"objectives": {"reconstruction": 1.0}, "image": None, "audio": "wav2vec2"}, "this model reads neither"),
        ({"objectives": {"masked_language": 1.0}, "fusion": "concat"}, "tokens never meet the other modalities"),
    ],
)
def test_objectives_that_cannot_be(config, message):
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        pretrainer(**config)


def test_no_objectives():
    with pytest.raises(ValueError, match="needs objectives"):
        tiny_model(MultimodalForPreTraining)


def test_an_unknown_label():
    model = pretrainer()
    with pytest.raises(ValueError, match="Unknown label of pretraining 'class'"):
        model(**{**batch_for(model), "labels": {"class": torch.zeros(3)}})
