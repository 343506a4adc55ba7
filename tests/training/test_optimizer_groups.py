# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Learning rates of towers, of their blocks, of the head; everything is trained once."""

import pytest
import timm
import torch
from transformers import BertConfig, BertModel

from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.optimizer_groups import block_depths, set_learning_rates
from tests.tiny import tiny_model


def depths(model):
    return block_depths(name for name, _ in model.named_parameters())


def test_depths_of_a_text_encoder():
    found = depths(
        BertModel(BertConfig(hidden_size=8, num_hidden_layers=3, num_attention_heads=1, intermediate_size=8))
    )
    assert found["embeddings.word_embeddings.weight"] == 0
    assert found["encoder.layer.0.output.dense.weight"] == 1
    assert found["encoder.layer.2.attention.self.query.weight"] == 3
    assert found["pooler.dense.weight"] == 3


@pytest.mark.parametrize(
    ("architecture", "first", "blocks", "last"),
    [
        ("resnet18", "conv1.weight", 8, "layer4.1.conv2.weight"),  # stages of blocks: layer1.0, layer1.1, …
        ("mobilenetv2_100", "conv_stem.weight", 17, "conv_head.weight"),  # blocks.0.0, blocks.1.0, …
        ("test_vit", "patch_embed.proj.weight", None, "norm.weight"),
    ],
)
def test_depths_of_vision_encoders(architecture, first, blocks, last):
    found = depths(timm.create_model(architecture))
    assert found[first] == 0
    assert found[last] == max(found.values())
    assert blocks is None or max(found.values()) == blocks
    assert set(found.values()) == set(range(max(found.values()) + 1))  # none is left out


def rates_of(model, **options):
    """Parameter -> its learning rate, as the optimizer has it, which holds each once."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.5)
    set_learning_rates(optimizer, model, **options)
    rates = [(id(p), group["lr"]) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(x for x, _ in rates) == sorted(id(p) for p in model.parameters())
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.5}
    return {name: dict(rates)[id(p)] for name, p in model.named_parameters()}


def test_each_part_has_its_rate():
    model = tiny_model(num_labels=2)
    rates = rates_of(model, tower=0.1, head=3.0, layer_decay=0.5)
    assert rates["head.out_proj.weight"] == 3.0
    fusion = {rate for name, rate in rates.items() if not name.startswith("head.") and ".backbone." not in name}
    assert fusion == {1.0}  # the towers' own projections among them
    for modality in ("text", "image"):
        backbone = model.model.towers[modality].backbone
        highest = max(depths(backbone).values())
        for name, depth in depths(backbone).items():
            assert rates[f"model.towers.{modality}.backbone.{name}"] == pytest.approx(0.1 * 0.5 ** (highest - depth))
    assert len({rate for name, rate in rates.items() if ".backbone." in name}) > 1


def test_without_rates_nothing_changes():
    assert set(rates_of(tiny_model(num_labels=2)).values()) == {1.0}


def test_a_decay_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="tower_layer_decay=1.5: it is above 0 and at most 1"):
        MultimodalTrainingArguments(str(tmp_path), tower_layer_decay=1.5)
