# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A timm backbone as a `PreTrainedModel` whose weights stay timm's own."""

from typing import Any

import timm
import torch
from torch import nn
from transformers.models.timm_wrapper.modeling_timm_wrapper import TimmWrapperModel


class TimmBackbone(TimmWrapperModel):
    """TimmWrapperModel that keeps timm's initialisation and is right after loading on the meta device.

    The wrapper initialises timm modules with N(0, 0.02) and leaves timm's non-persistent buffers (position tables,
    attention biases) uninitialised after a meta-device load (pytorch-image-models#2661, transformers#43520). Here every
    tensor that no checkpoint filled is copied from a freshly created timm model.
    """

    _no_split_modules = ["TimmBackbone"]
    # timm dispatches to scaled_dot_product_attention by itself: let a request for the whole composite model through.
    _supports_flash_attn = True
    _supports_flex_attn = True

    def post_init(self) -> None:
        """Marks what timm has just initialised, so that transformers leaves it alone."""
        for tensor in self._timm_tensors().values():
            if tensor.device.type != "meta":
                tensor._is_hf_initialized = True
        super().post_init()

    def _timm_tensors(self) -> dict[str, Any]:
        # Any: tensors, on which transformers sets an attribute of its own
        return dict(self.timm_model.named_parameters()) | dict(self.timm_model.named_buffers())

    @torch.no_grad()
    def _initialize_weights(self, module: nn.Module, is_custom_code: bool = False) -> None:
        # Overridden here and not in `_init_weights`, which transformers skips at the root for code loaded from the Hub.
        if module is not self:
            return  # timm owns its sub-modules
        own = self._timm_tensors()
        unfilled = [
            k for k, x in own.items() if x.device.type != "meta" and not getattr(x, "_is_hf_initialized", False)
        ]
        if not unfilled:
            return
        with torch.device("cpu"):
            fresh = timm.create_model(self.config.architecture, num_classes=0, **(self.config.model_args or {}))
        source = dict(fresh.named_parameters()) | dict(fresh.named_buffers())
        for name in unfilled:
            own[name].copy_(source[name])
            own[name]._is_hf_initialized = True

    def load_resampled(self, state: dict[str, torch.Tensor]) -> None:
        """Loads timm weights of this architecture made for another image size, fitted to this one as timm does it.

        Args:
            state: By timm's own names; others, a classifier's for instance, are left aside.

        Raises:
            KeyError: if a tensor is lacking.
            RuntimeError: of torch, if they fit at no size.
        """
        own = self.timm_model.state_dict().keys()
        # with a classifier, if a made-up one: timm knows its own weights by it
        kwargs: Any = {"num_classes": 1, **(self.config.model_args or {})}
        with torch.device("cpu"):
            fresh = timm.create_model(self.config.architecture, **kwargs).state_dict()
            whole = {name: state[name] if name in own else tensor for name, tensor in fresh.items()}
            overlay = {"state_dict": whole, "source": "", "num_classes": 1, "label_offset": 0}
            fitted = timm.create_model(
                self.config.architecture, pretrained=True, pretrained_cfg_overlay=overlay, **kwargs
            ).state_dict()
        self.timm_model.load_state_dict({name: tensor for name, tensor in fitted.items() if name in own})


__all__ = ["TimmBackbone"]
