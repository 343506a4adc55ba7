# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The image processor does what timm's own evaluation transform does."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import AutoImageProcessor

from hf_multimodal.modeling.image_processing_multimodal import MultimodalImageProcessor

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CONFIGS = {
    "crop, bicubic": {"input_size": (3, 64, 64), "interpolation": "bicubic", "crop_pct": 0.875, **_IMAGENET},
    "whole, bilinear": {
        "input_size": (3, 48, 48),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
    },
    "squash": {
        "input_size": (3, 64, 64),
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "squash",
        **_IMAGENET,
    },
    # bilinear: up to 1.0.30, timm takes no other for sides that differ
    "oblong": {"input_size": (3, 48, 64), "interpolation": "bilinear", "crop_pct": 0.9, **_IMAGENET},
}
# Downsampled by all of them, with even and odd margins around the crop.
SIZES = [(100, 100), (160, 90), (75, 140), (333, 200)]


def picture(width, height):
    """Smooth waves, steep enough to tell a shift by a pixel; at hard edges two resamplings differ by their rounding."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + 1) + np.cos(y / 7), np.sin((x + y) / 11), np.sin(x / 5) * np.sin(y / 5)]
    return Image.fromarray(np.stack([127 + 60 * wave for wave in waves], axis=-1).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", SIZES)
def test_parity_with_timm(name, size):
    config = CONFIGS[name]
    transform = timm.data.create_transform(**timm.data.resolve_data_config(config), is_training=False)
    expected = transform(picture(*size))
    processor = MultimodalImageProcessor.from_timm(config)
    actual = processor(picture(*size), return_tensors="pt")["pixel_values"][0]
    assert actual.shape == expected.shape == (3, *config["input_size"][1:])
    steps = (actual - expected).abs() * torch.tensor(config["std"]).view(3, 1, 1) * 255
    # one step of uint8; bicubic rounds twice, rows then columns, and comes to a second step on single pixels
    assert steps.quantile(0.999) <= 1.001
    assert steps.max() <= 2.001


def test_a_uniform_picture_by_hand():
    processor = MultimodalImageProcessor.from_timm(CONFIGS["whole, bilinear"])
    pixels = processor(Image.new("RGB", (100, 80), (255, 0, 51)), return_tensors="pt")["pixel_values"]
    # (value / 255 - 0.5) / 0.5
    torch.testing.assert_close(pixels, torch.tensor([1.0, -1.0, -0.6]).view(1, 3, 1, 1).expand(1, 3, 48, 48))


def test_own_size_and_crop():
    processor = MultimodalImageProcessor.from_timm(CONFIGS["crop, bicubic"], image_size=70)
    assert dict(processor.crop_size) == {"height": 70, "width": 70}
    assert dict(processor.size) == {"shortest_edge": 80}  # 70 / 0.875
    processor = MultimodalImageProcessor.from_timm(CONFIGS["crop, bicubic"], crop_pct=1.0)
    assert dict(processor.size) == {"shortest_edge": 64}


def test_crop_without_height_and_width():
    processor = MultimodalImageProcessor(crop_size={"shortest_edge": 48})
    with pytest.raises(ValueError, match="crop_size is .*'shortest_edge': 48.*: give it a height and a width"):
        processor(picture(100, 80), return_tensors="pt")


@pytest.mark.parametrize("name", CONFIGS)
def test_save_and_load(tmp_path, name):
    processor = MultimodalImageProcessor.from_timm(CONFIGS[name])
    processor.save_pretrained(tmp_path)
    expected = processor(picture(100, 80), return_tensors="pt")["pixel_values"]
    for loader in (MultimodalImageProcessor, AutoImageProcessor):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is MultimodalImageProcessor
        assert torch.equal(loaded(picture(100, 80), return_tensors="pt")["pixel_values"], expected)
