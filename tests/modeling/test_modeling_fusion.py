# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Fusion strategies: shapes, what must have no influence, and the attention inside."""

import pytest
import torch

from hf_multimodal.modeling.configuration_multimodal import MultimodalConfig
from hf_multimodal.modeling.modeling_attention import FusionAttention, ResidualGate, masked_mean
from hf_multimodal.modeling.modeling_fusion import FUSION_CLASSES
from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification, MultimodalModel
from hf_multimodal.modeling.modeling_outputs import TowerOutput
from hf_multimodal.modeling.modeling_pooled_fusion import JointPooler
from tests.tiny import SIDE, needs_dynamo, tiny_batch, tiny_model

B, H = 2, 16
LENGTHS = {"text": 5, "image": 4}


def towers(*modalities, seed=0):
    """Tokens of two rows; the second row's text has three real tokens."""
    generator = torch.Generator().manual_seed(seed)
    outputs = {}
    for modality in modalities or LENGTHS:
        mask = torch.ones(B, LENGTHS[modality], dtype=torch.bool)
        if modality == "text":
            mask[1, 3:] = False
        outputs[modality] = TowerOutput(tokens=torch.randn(B, LENGTHS[modality], H, generator=generator), mask=mask)
    return outputs


def build(fusion, modalities=("text", "image"), **config):
    values = tiny_model(MultimodalModel, fusion=fusion, **config).config
    torch.manual_seed(1)
    return FUSION_CLASSES[fusion](values, modalities).eval()


@pytest.mark.parametrize("fusion", FUSION_CLASSES)
@pytest.mark.parametrize("modalities", [("text", "image"), ("text",), ("image",)])
def test_shapes(fusion, modalities):
    output = build(fusion, modalities)(towers(*modalities))
    assert {m: x.shape for m, x in output.tokens.items()} == {m: (B, LENGTHS[m], H) for m in modalities}
    assert output.modality_embeds.shape == (B, len(modalities), H)
    assert output.pooled.shape == (B, H)
    assert output.pooled.isfinite().all()


@pytest.mark.parametrize("fusion", FUSION_CLASSES)
def test_masked_tokens_have_no_influence(fusion):
    layers = build(fusion)
    given = towers()
    other = towers()
    other["text"].tokens[1, 3:] = 100.0
    torch.testing.assert_close(layers(other).pooled, layers(given).pooled, atol=1e-5, rtol=0)
    shorter = towers()
    shorter["text"] = TowerOutput(tokens=given["text"].tokens[1:, :3], mask=given["text"].mask[1:, :3])
    shorter["image"] = TowerOutput(tokens=given["image"].tokens[1:], mask=given["image"].mask[1:])
    torch.testing.assert_close(layers(shorter).pooled, layers(given).pooled[1:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("fusion", FUSION_CLASSES)
@pytest.mark.parametrize("modality", LENGTHS)
def test_every_modality_has_influence(fusion, modality):
    layers = build(fusion)
    changed = {**towers(), modality: towers(seed=1)[modality]}
    assert (layers(changed).pooled - layers(towers()).pooled).abs().max() > 1e-3


def test_tokens_look_at_the_other_modality_and_concat_does_not():
    changed = {**towers(), "image": towers(seed=1)["image"]}
    for fusion, moves in (("cross_attention", True), ("concat", False)):
        layers = build(fusion)
        before, after = layers(towers()).tokens["text"], layers(changed).tokens["text"]
        assert torch.equal(before, after) is not moves


def test_gates_start_closed():
    """Cross-attention adds nothing until its gate has learned; self-attention and the pooled vector work."""
    layers = build("cross_attention", fusion_gates=True)
    changed = {**towers(), "image": towers(seed=1)["image"]}
    assert torch.equal(layers(towers()).tokens["text"], layers(changed).tokens["text"])
    assert not torch.equal(layers(towers()).pooled, layers(changed).pooled)
    gates = [module for module in layers.modules() if isinstance(module, ResidualGate)]
    assert len(gates) == 2
    layers(towers()).pooled.square().sum().backward()
    layers(towers()).tokens["text"].square().sum().backward()
    assert gates[0].alpha.grad.abs() > 0
    torch.nn.init.constant_(gates[0].alpha, 1.0)
    assert not torch.equal(layers(towers()).tokens["text"], layers(changed).tokens["text"])


def test_gate_is_a_tanh():
    gate = ResidualGate()
    torch.nn.init.constant_(gate.alpha, 0.5)
    torch.testing.assert_close(gate(torch.tensor([2.0])), torch.tensor([2.0]) * torch.tanh(torch.tensor(0.5)))


def test_masked_mean_by_hand():
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[5.0, 5.0], [7.0, 7.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(tokens, mask).tolist() == [[2.0, 3.0], [0.0, 0.0]]


class TestPooler:
    @staticmethod
    def pooler():
        """Two modalities of four channels; the hidden layer passes them on as they are, the last takes the first's."""
        config = MultimodalConfig(
            hidden_size=4, num_attention_heads=2, intermediate_size=8, hidden_act="relu", layer_norm_eps=0.0
        )
        pooler = JointPooler(config, ("text", "image")).eval()
        mlp = pooler.mlp
        for layer in (mlp.gate_proj, mlp.up_proj, mlp.down_proj):
            torch.nn.init.eye_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        torch.nn.init.zeros_(mlp.up_proj.weight)
        torch.nn.init.ones_(mlp.up_proj.bias)  # the gated product is the gate alone
        return pooler

    def test_it_joins_the_normed_modalities_side_by_side(self):
        """Each modality is normed by itself, so that a loud one does not drown the other: text, then image."""
        pooler = self.pooler()
        embeds = torch.tensor([[[1.0, -1.0, 1.0, -1.0], [500.0, 500.0, 300.0, 300.0]]])
        # mean 0 and deviation 1; mean 400 and deviation 100: (1, -1, 1, -1) and (1, 1, -1, -1), then the relu
        torch.testing.assert_close(pooler(embeds), torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
        with torch.no_grad():
            pooler.mlp.down_proj.weight.copy_(torch.eye(8)[4:])  # takes the image's half
        torch.testing.assert_close(pooler(embeds), torch.tensor([[1.0, 1.0, 0.0, 0.0]]))

    def test_it_answers_to_what_they_say_together(self):
        """A sum of one answer per modality gives zero: f(a, b) - f(a, -b) - f(-a, b) + f(-a, -b)."""
        pooler = self.pooler()
        with torch.no_grad():
            pooler.mlp.up_proj.bias.zero_()
            pooler.mlp.up_proj.weight[0, 4] = 1.0  # the first hidden unit is the text's first channel times the image's
        up = torch.tensor([1.0, -1.0, 1.0, -1.0])
        f = {(i, j): pooler(torch.stack([i * up, j * up])[None])[0, 0].item() for i in (1, -1) for j in (1, -1)}
        # relu(1) * 1 - relu(1) * -1 - relu(-1) * 1 + relu(-1) * -1
        assert f[1, 1] - f[1, -1] - f[-1, 1] + f[-1, -1] == pytest.approx(2.0)

    def test_its_dropout_is_of_training_only(self):
        config = MultimodalConfig(
            hidden_size=4, num_attention_heads=2, intermediate_size=64, hidden_dropout_prob=0.5, hidden_act="relu"
        )
        pooler, embeds = JointPooler(config, ("text", "image")), torch.randn(3, 2, 4)
        assert torch.equal(pooler.eval()(embeds), pooler(embeds))
        assert not torch.equal(pooler.train()(embeds), pooler(embeds))


class TestAttention:
    @staticmethod
    def attention(implementation):
        config = tiny_model(MultimodalModel).config
        config._attn_implementation = implementation
        torch.manual_seed(0)
        return FusionAttention(config, H, 2, 0.0).eval()

    def test_weights_sum_to_one_and_leave_masked_tokens_out(self):
        mask = torch.zeros(B, 1, 5, 4)
        mask[1, :, :, 2:] = torch.finfo(torch.float32).min
        output, weights = self.attention("eager")(torch.randn(B, 5, H), torch.randn(B, 4, H), mask)
        assert output.shape == (B, 5, H)
        assert weights.shape == (B, 2, 5, 4)
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, 2, 5))
        assert (weights[1, :, :, 2:] == 0).all()
        assert (weights[0] > 0).all()

    def test_one_context_token_is_passed_on(self):
        """With one token to look at the weights are 1: the output is that token's value, projected."""
        attention = self.attention("eager")
        context = torch.randn(B, 1, H)
        output, _ = attention(torch.randn(B, 5, H), context, None)
        torch.testing.assert_close(output, attention.o_proj(attention.v_proj(context)).expand(B, 5, H))

    def test_eager_is_sdpa(self):
        mask = torch.zeros(B, 1, 5, 4)
        mask[1, :, :, 2:] = torch.finfo(torch.float32).min
        inputs = torch.randn(B, 5, H), torch.randn(B, 4, H), mask
        eager, _ = self.attention("eager")(*inputs)
        sdpa, weights = self.attention("sdpa")(*inputs)
        torch.testing.assert_close(eager, sdpa, atol=1e-5, rtol=0)
        assert weights is None


@pytest.mark.parametrize("fusion", FUSION_CLASSES)
def test_model_eager_is_sdpa(fusion):
    batch = tiny_batch()
    logits = {}
    for implementation in ("eager", "sdpa"):
        model = tiny_model(fusion=fusion, num_hidden_layers=2)
        model.set_attn_implementation(implementation)
        logits[implementation] = model(**batch).logits
    torch.testing.assert_close(logits["eager"], logits["sdpa"], atol=1e-5, rtol=0)


def test_recorded_attentions():
    model = tiny_model(MultimodalModel, num_hidden_layers=2)
    model.set_attn_implementation("eager")
    batch = tiny_batch()
    output = model(**batch, output_attentions=True, output_hidden_states=True)
    text, image = batch["input_ids"].shape[1], 17
    assert [tuple(x.shape[2:]) for x in output.attentions] == [(text, text), (image, image)] * 2
    assert [tuple(x.shape[2:]) for x in output.cross_attentions] == [(text, image), (image, text)] * 2
    for weights in (*output.attentions, *output.cross_attentions):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]))
    padding = batch["attention_mask"] == 0
    assert padding.any()
    looking_at_text = output.cross_attentions[1]  # of the image
    assert (looking_at_text.masked_select(padding[:, None, None, :]) == 0).all()
    assert [tuple(x.shape) for x in output.hidden_states] == [(3, text + image, 16)] * 3


def test_gradient_checkpointing_gives_the_same_gradients():
    batch = tiny_batch(labels=torch.tensor([0, 1, 0]))
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model(num_hidden_layers=2).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert all(layer.gradient_checkpointing for layer in model.model.fusion.layers)
        model(**batch).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-7, rtol=1e-5)


@needs_dynamo
@pytest.mark.parametrize("fusion", FUSION_CLASSES)
def test_compiles_without_a_graph_break(fusion):
    """Whole, in training, with rows that lack a modality; `fullgraph` raises at the first break."""
    batch = tiny_batch(labels=torch.tensor([0, 1, 0]))
    batch["modality_mask"] = torch.tensor([[True, True], [False, True], [True, False]])
    torch._dynamo.reset()
    model = tiny_model(fusion=fusion).train()
    expected = model(**batch).loss
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    loss = compiled(**batch).loss
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in model.model.towers["image"].projection.parameters())


@pytest.mark.parametrize("fusion", FUSION_CLASSES)
class TestAbsentModality:
    """Row 0 lacks the text, row 2 the picture; what their tensors hold has no influence."""

    MASK = torch.tensor([[False, True], [True, True], [True, False]])

    def batch(self):
        return tiny_batch(modality_mask=self.MASK, labels=torch.tensor([0, 1, 0]))

    @pytest.mark.parametrize("filling", [0.0, 1e4, float("nan"), float("inf")])
    def test_pixels(self, fusion, filling):
        model = tiny_model(fusion=fusion)
        expected = model(**self.batch()).logits
        batch = self.batch()
        batch["pixel_values"][2] = filling
        torch.testing.assert_close(model(**batch).logits, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("attended", [0, 1])
    def test_token_ids(self, fusion, attended):
        model = tiny_model(fusion=fusion)
        expected = model(**self.batch()).logits
        batch = self.batch()
        batch["input_ids"][0] = 9
        batch["attention_mask"][0] = attended
        torch.testing.assert_close(model(**batch).logits, expected, atol=1e-5, rtol=0)

    def test_absence_has_influence(self, fusion):
        model = tiny_model(fusion=fusion)
        present = tiny_batch()
        difference = (model(**self.batch()).logits - model(**present).logits).abs().max(dim=1).values
        assert (difference[[0, 2]] > 1e-3).all()
        assert difference[1] < 1e-5

    @pytest.mark.parametrize(("index", "names"), [(0, ("input_ids", "attention_mask")), (1, ("pixel_values",))])
    def test_same_as_not_passing_the_tensor(self, fusion, index, names):
        model = tiny_model(fusion=fusion)
        batch = tiny_batch()
        batch["modality_mask"][:, index] = False
        given = {k: x for k, x in batch.items() if k not in (*names, "modality_mask")}
        torch.testing.assert_close(model(**given).logits, model(**batch).logits, atol=1e-5, rtol=0)

    def test_nan_does_not_reach_the_gradients(self, fusion):
        model = tiny_model(fusion=fusion)
        batch = self.batch()
        batch["pixel_values"][2] = float("nan")
        model(**batch).loss.backward()
        spoilt = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        assert spoilt == []

    def test_pixels_in_training_with_batch_statistics(self, fusion):
        """A batch norm sees all rows: what stands in an absent row must not reach the others through it."""
        logits = []
        for filling in (0.0, 100.0):
            model = tiny_model(fusion=fusion, image="timm resnet").train()
            batch = self.batch()
            batch["pixel_values"] = torch.randn(3, 3, 2 * SIDE, 2 * SIDE, generator=torch.Generator().manual_seed(0))
            batch["pixel_values"][2] = filling
            logits.append(model(**batch).logits)
        torch.testing.assert_close(logits[1], logits[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("only", ["text", "image"])
@pytest.mark.parametrize("fusion", FUSION_CLASSES)
def test_model_of_a_single_modality(fusion, only):
    towers_left_out = {"text": None} if only == "image" else {"image": None}
    model = tiny_model(MultimodalForClassification, fusion=fusion, **towers_left_out)
    assert model.config.modalities == (only,)
    batch = tiny_batch()
    names = ("input_ids", "attention_mask") if only == "text" else ("pixel_values",)
    inputs = {k: batch[k] for k in names}
    output = model(**inputs, labels=torch.tensor([0, 1, 0]))
    output.loss.backward()
    assert output.logits.shape == (3, 2)
    assert output.modality_embeds.shape == (3, 1, 16)
    torch.testing.assert_close(model(**inputs, modality_mask=torch.ones(3, 1, dtype=torch.bool)).logits, output.logits)


def mark_absent(outputs, modality, row):
    """Marks a modality of one row as absent, as a tower does: one token is left."""
    tokens, mask = outputs[modality].tokens.clone(), outputs[modality].mask.clone()
    tokens[row], mask[row, 1:] = 0.0, False
    present = torch.ones(B, dtype=torch.bool)
    present[row] = False
    return {**outputs, modality: TowerOutput(tokens=tokens, mask=mask, present=present)}


@pytest.mark.parametrize("fusion", ["weighted", "decision"])
def test_weights_sum_to_one_over_what_is_present(fusion):
    weights = build(fusion)(mark_absent(towers(), "image", row=1)).modality_weights
    assert weights.shape == (B, 2)
    torch.testing.assert_close(weights.sum(1), torch.ones(B))
    assert weights[1].tolist() == [1.0, 0.0]
    assert (weights[0] > 0).all()


@pytest.mark.parametrize("fusion", ["mean", "weighted", "decision"])
def test_an_absent_vector_has_no_say(fusion):
    layers = build(fusion)
    outputs = mark_absent(towers(), "image", row=1)
    other = {**outputs, "image": TowerOutput(**outputs["image"])}
    other["image"].tokens = outputs["image"].tokens.clone()
    other["image"].tokens[1, 0] = 3.0  # another absent token
    torch.testing.assert_close(layers(other).pooled[0], layers(outputs).pooled[0])
    if fusion != "weighted":  # whose gate sees what is missing
        torch.testing.assert_close(layers(other).pooled[1], layers(outputs).pooled[1])


def test_mean_by_hand():
    layers = build("mean")
    layers.output = torch.nn.Identity()
    given = mark_absent(towers(), "image", row=1)
    means = torch.stack([masked_mean(x.tokens, x.mask) for x in given.values()], dim=1)
    expected = torch.stack([means[0].mean(0), means[1, 0]])
    torch.testing.assert_close(layers(given).pooled, expected)


def test_a_row_with_nothing_has_finite_outputs():
    for fusion in FUSION_CLASSES:
        given = mark_absent(mark_absent(towers(), "image", row=1), "text", row=1)
        output = build(fusion)(given)
        assert output.pooled.isfinite().all(), fusion


def test_bottleneck_is_the_only_way_between_modalities():
    """With one layer the shared tokens have not come back yet: the text's own tokens know nothing of the image."""
    one, two = (build("bottleneck", num_hidden_layers=n) for n in (1, 2))
    given, other = towers(), towers()
    other["image"] = TowerOutput(tokens=other["image"].tokens.roll(1, -1), mask=other["image"].mask)
    torch.testing.assert_close(one(other).tokens["text"], one(given).tokens["text"])
    assert not torch.allclose(two(other).tokens["text"], two(given).tokens["text"])


@pytest.mark.parametrize("fusion", ["cross_attention", "merged_attention"])
def test_tokens_meet_in_the_first_layer(fusion):
    layers, given, other = build(fusion, num_hidden_layers=1), towers(), towers()
    other["image"] = TowerOutput(tokens=other["image"].tokens.roll(1, -1), mask=other["image"].mask)
    assert not torch.allclose(layers(other).tokens["text"], layers(given).tokens["text"])


def test_decision_adds_the_modalities_own_logits():
    model = tiny_model(fusion="decision", num_labels=3)
    with torch.no_grad():
        model.model.fusion.scores.copy_(torch.tensor([0.0, 1.0]))
        output = model(**tiny_batch())
        heads = model.head.heads
        own = [heads[m](output.modality_embeds[:, i]) for i, m in enumerate(("text", "image"))]
    weights = torch.tensor([0.0, 1.0]).softmax(0)
    torch.testing.assert_close(output.logits, weights[0] * own[0] + weights[1] * own[1])
    torch.testing.assert_close(output.modality_weights, weights.expand(len(output.logits), 2))
