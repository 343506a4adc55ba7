# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""timm backbones keep timm's own initial weights and their position tables, whichever way they are loaded."""

import math

import pytest
import timm
import torch
from transformers import AutoModel, TimmWrapperConfig

from hf_multimodal.modeling.modeling_multimodal import MultimodalModel
from hf_multimodal.modeling.modeling_timm import TimmBackbone
from tests.tiny import IMAGE_TOWERS, SIDE, TIMM_WITH_BUFFERS, tower_config


def pixels(rows=2):
    return torch.randn(rows, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def build_devices(monkeypatch):
    """Device types of the parameters of every backbone at the end of its construction."""
    devices = []
    original = TimmBackbone.post_init

    def post_init(self):
        devices.append(next(self.parameters()).device.type)
        original(self)

    monkeypatch.setattr(TimmBackbone, "post_init", post_init)
    return devices


@pytest.mark.parametrize("name", TIMM_WITH_BUFFERS)
def test_buffers_are_right_after_loading(tmp_path, build_devices, name):
    backbone = TimmBackbone(tower_config(TIMM_WITH_BUFFERS[name])).eval()
    persistent = set(backbone.state_dict())
    assert [key for key, _ in backbone.named_buffers() if key not in persistent], "nothing here that a file leaves out"
    backbone.save_pretrained(tmp_path)
    loaded = TimmBackbone.from_pretrained(tmp_path).eval()
    assert build_devices == ["cpu", "meta"]
    for key, buffer in backbone.named_buffers():
        assert torch.equal(loaded.get_buffer(key), buffer), key
    expected = backbone(pixels()).last_hidden_state
    assert torch.equal(loaded(pixels()).last_hidden_state, expected)


@pytest.mark.parametrize("name", TIMM_WITH_BUFFERS)
def test_buffers_are_right_inside_a_model(tmp_path, build_devices, name):
    model = MultimodalModel.from_towers_pretrained(
        image=tower_config(TIMM_WITH_BUFFERS[name]),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    ).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert build_devices == ["cpu", "meta"]
    with torch.no_grad():
        expected = model(pixel_values=pixels()).pooler_output
        assert torch.equal(loaded(pixel_values=pixels()).pooler_output, expected)


@pytest.mark.parametrize("name", TIMM_WITH_BUFFERS)
def test_buffers_are_right_in_bfloat16(tmp_path, name):
    backbone = TimmBackbone(tower_config(TIMM_WITH_BUFFERS[name])).eval()
    backbone.save_pretrained(tmp_path)
    loaded = TimmBackbone.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    with torch.no_grad():
        expected = backbone(pixels()).last_hidden_state
        actual = loaded(pixels().bfloat16()).last_hidden_state
    # features are layer-normed, about 1 in size; bfloat16 has 8 bits of mantissa
    torch.testing.assert_close(actual.float(), expected, atol=0.1, rtol=0.1)


def test_initial_weights_are_timms():
    """timm draws a convolution from N(0, 2 / (kernel area * output channels)), transformers from N(0, 0.02)."""
    model = MultimodalModel.from_towers_pretrained(
        image=tower_config({"architecture": "resnet18", "model_args": {"channels": [32, 32, 32, 32]}}),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    weight = model.towers["image"].backbone.timm_model.layer1[0].conv1.weight
    # 9216 draws: the relative error of their deviation is about 1 / sqrt(2 * 9216) = 0.7 %
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 32)), rel=0.04)


def test_initial_weights_are_timms_own_numbers():
    values = IMAGE_TOWERS["timm vit"]
    torch.manual_seed(0)
    theirs = timm.create_model(values["architecture"], num_classes=0, **values["model_args"]).state_dict()
    torch.manual_seed(0)
    ours = TimmBackbone(TimmWrapperConfig(**values)).timm_model.state_dict()
    assert all(torch.equal(ours[key], tensor) for key, tensor in theirs.items())


def test_weights_that_a_checkpoint_lacks_are_timms_initial_ones(tmp_path):
    backbone = TimmBackbone(tower_config(IMAGE_TOWERS["timm resnet"]))
    state = backbone.state_dict()
    lacking = "timm_model.layer1.0.conv1.weight"
    backbone.save_pretrained(tmp_path, state_dict={k: x for k, x in state.items() if k != lacking})
    loaded, info = TimmBackbone.from_pretrained(tmp_path, output_loading_info=True)
    assert set(info["missing_keys"]) == {lacking}
    # 8 output channels, 576 draws: relative error about 3 %
    assert loaded.state_dict()[lacking].std().item() == pytest.approx(math.sqrt(2 / (9 * 8)), rel=0.2)
    for key, tensor in state.items():
        assert key == lacking or torch.equal(loaded.state_dict()[key], tensor), key
