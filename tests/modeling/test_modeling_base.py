# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Gradient checkpointing reaches both towers and the fusion, and changes nothing but the memory."""

import copy

import pytest
import torch

from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification
from tests.tiny import tiny_batch, tiny_model

# transformers 5.20 does not know the newer names yet
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing_:FutureWarning")

# image tower -> a module inside one of its checkpointed blocks
INSIDE = {
    "timm resnet": "timm_model.layer1.0.conv1",
    "timm vit": "timm_model.blocks.0.attn",
    "vit": "layers.0.attention",
}


def training_model(**towers):
    model = tiny_model(MultimodalForClassification, **towers).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # running statistics would move twice
    return model


def count_calls(model, names):
    """Counts how often each named module runs."""
    calls = dict.fromkeys(names, 0)

    def counter(name):
        def count(*_):
            calls[name] += 1

        return count

    for name in names:
        model.get_submodule(name).register_forward_hook(counter(name))
    return calls


def gradients(model, batch):
    model(**batch).loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("image", INSIDE)
def test_checkpointing_reaches_towers_and_fusion(image, reentrant):
    model = training_model(image=image)
    checkpointed = copy.deepcopy(model)
    checkpointed.gradient_checkpointing_enable({"use_reentrant": reentrant})
    names = (
        f"model.towers.image.backbone.{INSIDE[image]}",
        "model.towers.text.backbone.encoder.layer.0.attention",
        "model.fusion.layers.0.blocks.text",
    )
    calls = count_calls(checkpointed, names)
    batch = tiny_batch(labels=torch.tensor([0, 1, 0]))
    expected, actual = gradients(model, batch), gradients(checkpointed, batch)
    assert calls == dict.fromkeys(names, 2)  # once forward, once again in the backward pass
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


def test_checkpointing_can_be_switched_off():
    model = training_model(image="timm vit")
    model.gradient_checkpointing_enable()
    model.gradient_checkpointing_disable()
    name = f"model.towers.image.backbone.{INSIDE['timm vit']}"
    calls = count_calls(model, [name])
    gradients(model, tiny_batch(labels=torch.tensor([0, 1, 0])))
    assert calls == {name: 1}


def test_checkpointing_where_only_timm_has_layers():
    model = training_model(image="timm resnet", text=None, fusion="concat")
    model.gradient_checkpointing_enable()
    name = f"model.towers.image.backbone.{INSIDE['timm resnet']}"
    calls = count_calls(model, [name])
    gradients(model, {"pixel_values": tiny_batch()["pixel_values"], "labels": torch.tensor([0, 1, 0])})
    assert calls == {name: 2}
