# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""An image processor made from a timm backbone's own data configuration."""

import math
from typing import Any

import timm
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling

from .remote_code import AUTO_MAP

_RESAMPLING = {
    "bicubic": PILImageResampling.BICUBIC,
    "bilinear": PILImageResampling.BILINEAR,
    "nearest": PILImageResampling.NEAREST,
}


class MultimodalImageProcessor(TorchvisionBackend):
    """Resizes, crops, rescales and normalises as timm's evaluation transform does."""

    resample = PILImageResampling.BICUBIC
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    size = {"shortest_edge": 224}
    crop_size = {"height": 224, "width": 224}
    do_resize = True
    do_center_crop = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 (ImagesKwargs)
        super().__init__(**kwargs)
        self.auto_map = {"AutoImageProcessor": AUTO_MAP["AutoImageProcessor"]}

    @classmethod
    def from_timm(
        cls, pretrained_cfg: dict[str, Any], *, image_size: int | None = None, crop_pct: float | None = None
    ) -> "MultimodalImageProcessor":
        """Reads a timm `pretrained_cfg`.

        Args:
            pretrained_cfg: timm's description of how the backbone was trained (input size, mean, std, crop).
            image_size: Side of the square input in pixels; None takes the backbone's own.
            crop_pct: Share of the resized image that the centre crop keeps; None takes the backbone's own.
        """
        data = timm.data.resolve_data_config(pretrained_cfg, model=None, verbose=False)
        height, width = (image_size, image_size) if image_size else data["input_size"][1:]
        crop_pct = crop_pct or data["crop_pct"]
        squash = data.get("crop_mode") == "squash"
        resized = {"shortest_edge": math.floor(min(height, width) / crop_pct)}
        if squash:
            resized = {"height": math.floor(height / crop_pct), "width": math.floor(width / crop_pct)}
        return cls(
            size=resized,
            crop_size={"height": height, "width": width},
            image_mean=list(data["mean"]),
            image_std=list(data["std"]),
            resample=_RESAMPLING.get(data["interpolation"], PILImageResampling.BICUBIC),
        )


__all__ = ["MultimodalImageProcessor"]
