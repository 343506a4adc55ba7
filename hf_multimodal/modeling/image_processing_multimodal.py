# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""An image processor made from a timm backbone's own data configuration."""

import math
from typing import Any

import timm
import torch
from torchvision.transforms.v2 import functional as tvF  # noqa: N812 (as in transformers)
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling, SizeDict

from .configuration_multimodal import check_known
from .remote_code import AUTO_MAP

_RESAMPLING = {
    "bicubic": PILImageResampling.BICUBIC,
    "bilinear": PILImageResampling.BILINEAR,
    "nearest": PILImageResampling.NEAREST,
}


# How an image is brought to a `size` of height and width: to exactly it; in its own proportions, to cover it; in its
# own proportions, to fit into it, with a border in the mean colour up to the crop.
CROP_MODES = ("squash", "center", "border")


class MultimodalImageProcessor(TorchvisionBackend):
    """Resizes, crops, rescales and normalises as timm's evaluation transform does.

    Args:
        crop_mode: One of `CROP_MODES`, timm's names.
        **kwargs: As for every image processor of transformers.

    Raises:
        ValueError: if the crop mode is unknown.
    """

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

    def __init__(self, crop_mode: str = "squash", **kwargs: Any) -> None:  # noqa: ANN401 (ImagesKwargs)
        check_known("crop_mode", crop_mode, CROP_MODES)
        super().__init__(**kwargs)
        self.crop_mode = crop_mode
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
        resized = {"height": math.floor(height / crop_pct), "width": math.floor(width / crop_pct)}
        if data["crop_mode"] == "center" and height == width:
            resized = {"shortest_edge": resized["height"]}
        return cls(
            size=resized,
            crop_size={"height": height, "width": width},
            crop_mode=data["crop_mode"],
            image_mean=list(data["mean"]),
            image_std=list(data["std"]),
            resample=_RESAMPLING.get(data["interpolation"], PILImageResampling.BICUBIC),
        )

    def resize(
        self,
        image: torch.Tensor,
        size: SizeDict,
        *args: Any,  # noqa: ANN401 (resample, antialias)
        **kwargs: Any,  # noqa: ANN401
    ) -> torch.Tensor:
        """Resizes images (…, height, width) by the crop mode."""
        if self.crop_mode != "squash" and size.height and size.width:
            height, width = image.shape[-2:]
            choose = min if self.crop_mode == "center" else max
            ratio = choose(height / size.height, width / size.width)
            size = SizeDict(height=round(height / ratio), width=round(width / ratio))
        return super().resize(image, size, *args, **kwargs)

    def center_crop(  # type: ignore[override]
        self,
        image: torch.Tensor,
        size: SizeDict,
        **kwargs: Any,  # noqa: ANN401
    ) -> torch.Tensor:
        """Crops the middle out of images (…, height, width).

        An odd margin is split as torchvision and timm do it, which is not how transformers' base class does it.

        Raises:
            ValueError: if the crop size has no height and width.
        """
        if size.height is None or size.width is None:
            raise ValueError(f"crop_size is {dict(size)}: give it a height and a width.")
        if self.crop_mode == "border":
            left, top = (max(0, size.width - image.shape[-1]) // 2, max(0, size.height - image.shape[-2]) // 2)
            right, bottom = (max(0, size.width - image.shape[-1] - left), max(0, size.height - image.shape[-2] - top))
            fill = [float(round(255 * mean)) for mean in self.image_mean]
            image = tvF.pad(image, [left, top, right, bottom], fill=fill)
        return tvF.center_crop(image, [size.height, size.width])


__all__ = ["MultimodalImageProcessor"]
