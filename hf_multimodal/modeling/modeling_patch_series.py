# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The built-in encoder of series and table rows: a token for each patch of each channel.

For a table, whose rows are series of length one, this is the feature tokenizer of Gorishniy et al. 2021 ("Revisiting
Deep Learning Models for Tabular Data"), followed by one more layer.

Shapes: B rows, T steps, C channels, P patches, W output width.
"""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

from .configuration_patch_series import PatchSeriesConfig


class PatchSeriesModel(PreTrainedModel):
    """Each channel's patches through that channel's own weights; what is unknown counts as zero, and is marked."""

    config_class = PatchSeriesConfig
    base_model_prefix = "patch_series"
    main_input_name = "past_values"
    # there is no attention whose implementation could be chosen: let a request for the whole composite model through
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(self, config: PatchSeriesConfig) -> None:
        super().__init__(config)
        channels, inputs = config.num_input_channels, 2 * config.patch_length  # the values, and which are known
        self.weight = nn.Parameter(torch.zeros(channels, inputs, config.d_model))
        self.bias = nn.Parameter(torch.zeros(channels, config.d_model))
        self.activation = nn.GELU()
        self.output = nn.Linear(config.d_model, config.d_model)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, PatchSeriesModel):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            init.normal_(module.bias, mean=0.0, std=self.config.initializer_range)

    def forward(
        self,
        past_values: torch.Tensor,
        past_observed_mask: torch.Tensor | None = None,
        return_dict: bool = True,
        output_attentions: bool = False,
    ) -> BaseModelOutput:
        """Encodes (B, T, C) values into (B, C, P, W).

        Args:
            past_values: (B, T, C).
            past_observed_mask: (B, T, C) 1 = known; None = all are.
            return_dict: As in transformers; only True is known.
            output_attentions: As in transformers; there are none.

        Raises:
            ValueError: if there are other numbers of steps or channels than the configuration says.
        """
        expected = (self.config.context_length, self.config.num_input_channels)
        if tuple(past_values.shape[1:]) != expected:
            raise ValueError(
                f"The series are of {past_values.shape[1]} steps and {past_values.shape[2]} channels, expected are "
                f"{expected[0]} and {expected[1]}."
            )
        known = torch.ones_like(past_values) if past_observed_mask is None else past_observed_mask.to(past_values.dtype)
        length = self.config.patch_length
        values = past_values.masked_fill(known == 0, 0)
        both = torch.cat(  # (B, P, C, 2 * patch_length)
            [values.unfold(1, length, length), known.unfold(1, length, length)], dim=-1
        )
        hidden = torch.einsum("bpci,cih->bcph", both, self.weight) + self.bias[:, None]
        return BaseModelOutput(last_hidden_state=self.output(self.activation(hidden)))


__all__ = ["PatchSeriesModel"]
