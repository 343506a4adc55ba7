# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Configuration of the built-in encoder of series and table rows."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig


@strict
class PatchSeriesConfig(PreTrainedConfig):
    """Configuration of `PatchSeriesModel`. The names are PatchTST's.

    Args:
        num_input_channels: Channels of a series; numeric columns of a table, of which there may be none.
        context_length: Steps of a series; 1 for the rows of a table.
        patch_length: Steps that become one token. `context_length` is a multiple of it.
        d_model: Width of the output.
        initializer_range: Standard deviation of each channel's initial weights.

    Raises:
        StrictDataclassError: of huggingface_hub, if a field has the wrong type, or the patches do not fill the series.
    """

    model_type = "patch_series"

    num_input_channels: int = 1
    context_length: int = 1
    patch_length: int = 1
    d_model: int = 64
    initializer_range: float = 0.5

    def validate_patches(self) -> None:
        """Checks that there is something to read, and that patches leave no step out."""
        least = {"num_input_channels": 0, "context_length": 1, "patch_length": 1, "d_model": 1}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name}={getattr(self, name)}: it must be at least {minimum}.")
        if self.context_length % self.patch_length:
            raise ValueError(
                f"context_length={self.context_length} is not a multiple of patch_length={self.patch_length}: steps "
                "would be left out."
            )

    @property
    def patch_stride(self) -> int:
        """Steps from one patch to the next: patches do not overlap."""
        return self.patch_length


AutoConfig.register(PatchSeriesConfig.model_type, PatchSeriesConfig, exist_ok=True)

__all__ = ["PatchSeriesConfig"]
