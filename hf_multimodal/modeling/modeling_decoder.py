# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The text decoder: any causal language model of transformers that can cross-attend, over the fused tokens.

Shapes: B rows, L fused tokens, T tokens of text, H fusion width, W decoder width.
"""

import inspect
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, Cache, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import Seq2SeqLMOutput

from .configuration_multimodal import MultimodalConfig
from .modeling_losses import NO_LABEL
from .modeling_outputs import MultimodalModelOutput

# transformers has renamed the argument and output that holds keys and values
CACHE = "cache" if "cache" in Seq2SeqLMOutput.__dataclass_fields__ else "past_key_values"
_DECODERS = "bert, roberta, xlm-roberta, electra, camembert, roformer, gpt2"


def decoder_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """Returns the causal language model of a configuration.

    Raises:
        ValueError: if transformers has none, or it cannot read an encoder's output.
    """
    found: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if isinstance(found, tuple):
        found = found[0]
    if found is None or "encoder_hidden_states" not in inspect.signature(found.forward).parameters:
        raise ValueError(
            f"A decoder of model_type={config.model_type!r} cannot attend to an encoder's output: give one that can, "
            f"for instance {_DECODERS}."
        )
    return found


class FusionDecoder(nn.Module):
    """A causal language model that cross-attends to the row's pooled vector and its fused tokens.

    They pass a linear map to its own width.
    """

    def __init__(self, config: MultimodalConfig) -> None:
        super().__init__()
        own: Any = config.decoder_config
        own.is_decoder = own.add_cross_attention = True
        self.projection = nn.Linear(config.hidden_size, own.hidden_size)
        # in the dtype of the whole model: its configuration may name the one in which it was saved
        self.language_model: Any = decoder_class(own)._from_config(own, dtype=torch.get_default_dtype())
        # transformers asks a model's direct children only, which this is
        tied = self.language_model.all_tied_weights_keys.items()
        self.all_tied_weights_keys = {f"language_model.{key}": f"language_model.{source}" for key, source in tied}

    def forward(
        self,
        encoded: MultimodalModelOutput,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cache: Cache | None = None,
        **kwargs: Any,  # noqa: ANN401 (output_* flags, use_cache)
    ) -> Any:  # noqa: ANN401 (the language model's own output)
        """Runs the language model.

        Args:
            encoded: What towers and fusion have read.
            input_ids: (B, T) text so far; with a cache the new tokens only.
            attention_mask: (B, T) 1 = real token of the text.
            inputs_embeds: (B, T, W) instead of `input_ids`.
            cache: Keys and values of earlier tokens, and of the fused ones.
            **kwargs: `use_cache`, `output_attentions`, `output_hidden_states`.
        """
        # once the keys and values of the fused tokens are in the cache, nobody reads the tokens again
        is_read = cache is not None and getattr(cache, "is_updated", {}).get(0, False)
        tokens, mask = read_by_decoder(encoded)
        return self.language_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=tokens if is_read else self.projection(tokens),
            encoder_attention_mask=mask,
            return_dict=True,
            **{CACHE: cache},
            **kwargs,
        )


def read_by_decoder(encoded: MultimodalModelOutput) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The pooled vector as a token before the fused ones: (B, 1 + L, H), and their mask (B, 1 + L)."""
    tokens, mask = cast(torch.Tensor, encoded.last_hidden_state), encoded.token_mask
    if encoded.pooler_output is not None:
        tokens = torch.cat([encoded.pooler_output.unsqueeze(1), tokens], dim=1)
        mask = None if mask is None else F.pad(mask, (1, 0), value=1)
    return tokens, mask


def shift_right(labels: torch.Tensor, start_token_id: int, pad_token_id: int) -> torch.Tensor:
    """Makes what the decoder reads from what it should write: (B, T) -> (B, T), the start token first."""
    shifted = torch.cat([labels.new_full((len(labels), 1), start_token_id), labels[:, :-1]], dim=1)
    return shifted.masked_fill(shifted == NO_LABEL, pad_token_id)


def text_loss(logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Mean cross-entropy of the next token, over the tokens that have a label.

    Args:
        logits: (B, T, vocabulary).
        labels: (B, T) token ids, -100 where nothing is to be learned.
        label_smoothing: Share of the target that is spread over all tokens.
    """
    flat = logits.reshape(-1, logits.shape[-1]).float()
    count = (labels != NO_LABEL).sum().clamp(min=1)
    options: dict[str, Any] = {"ignore_index": NO_LABEL, "label_smoothing": label_smoothing}
    return F.cross_entropy(flat, labels.reshape(-1), reduction="sum", **options) / count


__all__ = ["CACHE", "FusionDecoder", "decoder_class", "read_by_decoder", "shift_right", "text_loss"]
