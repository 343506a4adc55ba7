# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Explanations: what has to add up adds up, the rules are the paper's, and they follow the model's weights."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from hf_multimodal.cli.main import app
from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.explanation.explain import Explainer, mass_inside, points_into
from hf_multimodal.explanation.relevance import _crossing, _normalised
from hf_multimodal.explanation.run import _pointing
from hf_multimodal.explanation.shapley import modality_shares
from hf_multimodal.explanation.target import choose_target
from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import tiny_model, tiny_pictures, tiny_processor, tiny_sounds
from tests.training.tiny_run import tiny_run

PICTURE = tiny_pictures(1)[0]
SOUND = (tiny_sounds(8000)[0], 8000)
ROW = {"text": "a red circle", "image": PICTURE}


def make_explainer(audio=None, **config):
    model = tiny_model(MultimodalForClassification, audio=audio, num_labels=3, **config)
    return Explainer(model, tiny_processor(audio=audio))


@pytest.fixture(scope="module")
def explainer():
    return make_explainer()


def test_shapes_and_json(explainer):
    explanation = explainer.explain({"row_id": "r", **ROW})
    side = explanation.picture.shape[:2]
    assert set(explanation.maps) == {"integrated_gradients", "relevance", "attention"}
    for found in explanation.maps.values():
        assert found["text"].shape == (len(explanation.tokens),)
        assert found["image"].shape == side
    assert explanation.maps["attention"]["image"].min() >= 0
    told = json.loads(json.dumps(explanation.to_dict()))
    assert told["row_id"] == "r"
    assert sum(told["modality_share"].values()) == pytest.approx(1)
    assert len(told["maps"]["relevance"]["image"]) <= 16


def test_integrated_gradients_are_complete(explainer):
    assert explainer.explain(ROW, steps=64, methods=["integrated_gradients"]).incompleteness < 0.01


def test_shapley_values_add_up(explainer):
    batch = MultimodalCollator(explainer.processor)([ROW])
    target = choose_target(explainer.model, batch, "LABEL_1")
    shares = modality_shares(explainer.model, batch, target)
    with torch.no_grad():
        inputs = {name: x for name, x in batch.items() if name != "modality_mask"}
        whole = target.of(explainer.model(**batch)).item()
        nothing = target.of(explainer.model(**inputs, modality_mask=torch.tensor([[False, False]]))).item()
        alone = {
            m: target.of(explainer.model(**inputs, modality_mask=torch.tensor([mask]))).item()
            for m, mask in {"text": [True, False], "image": [False, True]}.items()
        }
    assert sum(shares.values()) == pytest.approx(whole - nothing, abs=1e-5)
    by_hand = (alone["text"] - nothing + whole - alone["image"]) / 2
    assert shares["text"] == pytest.approx(by_hand, abs=1e-5)


def test_absent_modalities_have_no_share_and_no_map(explainer):
    explanation = explainer.explain({"text": "a red circle"})
    assert set(explanation.shares) == {"text"}
    assert all(set(found) <= {"text"} for found in explanation.maps.values())
    explanation = explainer.explain({"image": PICTURE})
    assert set(explanation.shares) == {"image"}
    assert set(explanation.maps["integrated_gradients"]) == {"image"}


def test_three_modalities():
    explanation = make_explainer(audio="timm resnet").explain({**ROW, "audio": SOUND})
    assert set(explanation.shares) == {"text", "image", "audio"}
    assert set(explanation.maps["relevance"]) == {"text", "image", "audio"}
    assert explanation.maps["integrated_gradients"]["audio"].ndim == 2


@pytest.mark.parametrize("fusion", ["merged_attention", "concat", "bottleneck"])
def test_other_fusions(fusion):
    explanation = make_explainer(fusion=fusion).explain(ROW)
    attends = fusion == "merged_attention"
    assert set(explanation.maps) == ({"integrated_gradients"} | ({"relevance", "attention"} if attends else set()))
    assert explanation.incompleteness < 0.05


def test_the_rules_on_two_modalities_by_hand():
    """One layer, cross-attention then self-attention, after equations 6 to 11 of Chefer et al. with R = I at first."""
    rng = np.random.default_rng(0)
    own = [rng.random((2, 2)), rng.random((3, 3))]
    cross = [rng.random((2, 3)), rng.random((3, 2))]
    tensors = [[torch.tensor(x, dtype=torch.float32) for x in group] for group in (own, cross)]
    found = _crossing(*tensors, {"text": 2, "image": 3}).numpy()
    # the normalised R̄ of an identity is the identity, so R_ti becomes A_ti, and R_tt stays, as R_it is zero
    text_image = cross[0] + own[0] @ cross[0]
    image_text = cross[1] + own[1] @ cross[1]
    expected = np.block([[np.eye(2) + own[0], text_image], [image_text, np.eye(3) + own[1]]])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_rules_of_a_second_layer():
    rng = np.random.default_rng(1)
    own = [rng.random((n, n)) for n in (2, 3, 2, 3)]
    cross = [rng.random(shape) for shape in ((2, 3), (3, 2), (2, 3), (3, 2))]
    tensors = [[torch.tensor(x, dtype=torch.float32) for x in group] for group in (own, cross)]
    first = _crossing(tensors[0][:2], tensors[1][:2], {"text": 2, "image": 3})
    tt, ti, it, ii = (first[:2, :2], first[:2, 2:], first[2:, :2], first[2:, 2:])

    def bar(relevance):  # equations 8 and 9
        added = relevance.numpy() - np.eye(len(relevance))
        return added / added.sum(1, keepdims=True) + np.eye(len(relevance))

    np.testing.assert_allclose(_normalised(tt).numpy(), bar(tt), rtol=1e-5)
    crossed = ti.numpy() + bar(tt).T @ cross[2] @ bar(ii)
    kept = tt.numpy() + cross[2] @ it.numpy()
    expected = np.concatenate([kept + own[2] @ kept, crossed + own[2] @ crossed], axis=1)
    found = _crossing(*tensors, {"text": 2, "image": 3})[:2].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_other_weights_of_the_head_give_other_maps():
    explainer = make_explainer()
    before = explainer.explain(ROW, label="LABEL_0")
    torch.manual_seed(7)
    for parameter in explainer.model.head.parameters():
        torch.nn.init.normal_(parameter)
    after = explainer.explain(ROW, label="LABEL_0")
    for method in ("integrated_gradients", "relevance"):
        one, other = (x.maps[method]["image"].ravel() for x in (before, after))
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.95


def test_a_planted_cause_ranks_first():
    """The head sees the mean of the text's tower alone, and only the word's own embedding decides it."""
    explainer = make_explainer(fusion="mean")
    tower = explainer.model.model.towers["text"]
    embed = tower.backbone.get_input_embeddings()
    ids = explainer.processor.tokenizer("a red circle")["input_ids"]
    red = explainer.processor.tokenizer.convert_tokens_to_ids("red")
    with torch.no_grad():
        kept = embed.weight[red].clone() * 20
        embed.weight.zero_()
        embed.weight[red] = kept
    explanation = explainer.explain({"text": "a red circle"}, methods=["integrated_gradients"])
    strength = np.abs(explanation.maps["integrated_gradients"]["text"])
    assert strength.argmax() == ids.index(red)
    assert strength[ids.index(red)] > 0.99 * strength.sum()


def test_pointing():
    values = np.zeros((10, 20))
    values[7, 3] = 1.0
    values[0, 0] = -5.0
    values[7, 15] = 0.5
    inside, elsewhere = np.zeros((2, 10, 20), dtype=bool)
    inside[7, 2:5] = elsewhere[7, 10:] = True
    assert points_into(values, inside)
    assert not points_into(values, elsewhere)
    assert mass_inside(values, inside) == pytest.approx(2 / 3)
    assert mass_inside(np.zeros((10, 20)), inside) == 0


def test_boxes_follow_the_processor(explainer):
    side = explainer.explain(ROW, methods=[]).picture.shape[0]
    inside = explainer.region((4 * side, 4 * side), [0, 0, 2 * side, 4 * side])  # the left half
    assert inside[:, : side // 2 - 1].all()
    assert not inside[:, side // 2 + 1 :].any()


def test_methods_are_scored_over_the_rows_that_have_them():
    one = {"chance": 0.2, "hits": {"attention": True}, "mass": {"attention": 0.5}}
    other = {"chance": 0.4, "hits": {}, "mass": {}}
    told = _pointing([one, other])
    assert (told["rows"], told["chance"]) == (2, pytest.approx(0.3))
    assert told["attention"] == {"rows": 1, "hits": 1.0, "mass": 0.5}


def test_mistakes(explainer):
    with pytest.raises(ValueError, match="Unknown label 'LABEL_9'"):
        explainer.explain(ROW, label="LABEL_9")
    with pytest.raises(ValueError, match="one task only"):
        explainer.explain(ROW, task="price")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return str(train(RunConfig.from_dict(tiny_run(folder))).folder)


def test_the_command_on_a_set(finished, tmp_path):
    arguments = ["explain", finished, "--output", str(tmp_path / "out"), "--limit", "3", "--box-column", "decisive_box"]
    result = CliRunner().invoke(app, [*arguments, "--steps", "4"])
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert len(told["rows"]) == told["pointing"]["rows"] == 3
    assert 0 < told["pointing"]["chance"] < 0.5
    assert set(told["pointing"]["relevance"]) == {"rows", "hits", "mass"}
    with Image.open(tmp_path / "out" / "explanation_2.png") as drawn:
        assert min(drawn.size) > 300


def test_the_command_on_one_row(finished, tmp_path):
    Image.new("RGB", (30, 30), "red").save(tmp_path / "x.png")
    arguments = ["--text", "the star is red", "--image", str(tmp_path / "x.png"), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["explain", finished, *arguments, "--label", "true", "--steps", "4"])
    assert result.exit_code == 0, result.output
    assert "0: true (" in result.output
    assert (tmp_path / "out" / "explanation_0.png").is_file()
