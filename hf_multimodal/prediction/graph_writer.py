# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The decoder of a bundle as a model of transformers, so that its `generate` writes.

Shapes: B rows, L fused tokens, N layers of the decoder, A attention heads, P tokens read before, D width of a head,
V tokens of the vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import Cache, DynamicCache, EncoderDecoderCache, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils import ModelOutput

from hf_multimodal.modeling.configuration_multimodal import MultimodalConfig
from hf_multimodal.modeling.modeling_decoder import CACHE

Step = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@dataclass
class EncodedRows(ModelOutput):
    """What a bundle's encoder tells of rows; with beams each row stands there several times.

    Attributes:
        mask: (B, L) 1 = a token.
        cross: (B, 2N, A, L, D) keys and values of the fused tokens, layer by layer.
        logits: (B, V) of what follows the token that starts a text.
        past: (B, 2N, A, 1, D) that token's own keys and values.
    """

    mask: torch.Tensor | None = None
    cross: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    past: torch.Tensor | None = None

    @property
    def last_hidden_state(self) -> torch.Tensor:
        """Where `generate` looks for the number of rows: (B, L, 1)."""
        assert self.mask is not None
        return self.mask.unsqueeze(-1)


class GraphForGeneration(PreTrainedModel, GenerationMixin):
    """A decoder whose every step is a graph's.

    Args:
        config: The model's.
        generation_config: How it writes where nothing else is asked for.
        step: Runs the graph: `decoder_input_ids` (B, 1), `past`, `cross` and `mask` -> `logits` (B, V) and the token's
            own keys and values, `new` (B, 2N, A, 1, D).
    """

    config_class = MultimodalConfig
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: MultimodalConfig, generation_config: GenerationConfig, step: Step) -> None:
        super().__init__(config)
        self.place = nn.Parameter(torch.zeros(()), requires_grad=False)  # tells transformers where it computes
        self.generation_config = generation_config
        self.step = step

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """Returns nothing that reads: `generate` is given `encoder_outputs`."""
        return self

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        encoder_outputs: EncodedRows | None = None,
        cache: Cache | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,  # noqa: ANN401 (of `generate`: masks, output_* flags)
    ) -> Seq2SeqLMOutput:
        """Scores what follows each row's text.

        Args:
            input_ids: Of no use here.
            decoder_input_ids: (B, T) those tokens of the text that the cache does not hold.
            encoder_outputs: What the texts are about.
            cache: An `EncoderDecoderCache` with the tokens' keys and values.
            past_key_values: The same, by its name in transformers before 5.24.
            **kwargs: Not read.

        Raises:
            ValueError: if a text does not begin as the model's texts do, or one of the two is missing.
        """
        if encoder_outputs is None or decoder_input_ids is None:
            raise ValueError("A bundle's decoder reads decoder_input_ids and encoder_outputs: give both.")
        given: Any = cache if cache is not None else past_key_values
        whole = EncoderDecoderCache(DynamicCache(), DynamicCache()) if given is None else given
        scores = [
            self._read(token, encoder_outputs, whole.self_attention_cache) for token in decoder_input_ids.split(1, 1)
        ]
        told: dict[str, Any] = {CACHE: None if given is None else whole}
        return Seq2SeqLMOutput(logits=torch.stack(scores, dim=1), **told)

    def _read(self, token: torch.Tensor, encoded: Any, cache: Any) -> torch.Tensor:  # noqa: ANN401 (as given to `forward`)
        """Reads one more token (B, 1) of each text; returns the scores of what follows (B, V)."""
        if not cache.get_seq_length():
            if (token != self.config.decoder_start_token_id).any():
                raise ValueError("A bundle's texts begin with decoder_start_token_id: leave decoder_input_ids out.")
            logits, new = encoded.logits, encoded.past
        else:
            layers = cache.layers[: encoded.past.shape[1] // 2]  # a cache may have been made for more
            length = int(cache.get_seq_length())  # those of a fixed size have room beyond it
            past = torch.stack([x[..., :length, :] for layer in layers for x in (layer.keys, layer.values)], dim=1)
            told = self.step({"decoder_input_ids": token, "past": past, "cross": encoded.cross, "mask": encoded.mask})
            logits, new = told["logits"], told["new"]
        for layer, (keys, values) in enumerate(zip(new[:, ::2].unbind(1), new[:, 1::2].unbind(1), strict=True)):
            cache.update(keys, values, layer)
        return logits


__all__ = ["EncodedRows", "GraphForGeneration"]
