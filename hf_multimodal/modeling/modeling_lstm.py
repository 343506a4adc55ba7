# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The built-in text encoder of the classic CNN and LSTM systems (Antol et al. 2015, "VQA").

Shapes: B rows, L tokens, E embedding width, W output width.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

from .configuration_lstm import LstmTextConfig


class LstmTextModel(PreTrainedModel):
    """A bidirectional LSTM (Hochreiter and Schmidhuber 1997) over token embeddings; padding is never read."""

    config_class = LstmTextConfig
    base_model_prefix = "lstm_text"
    main_input_name = "input_ids"
    # there is no attention whose implementation could be chosen: let a request for the whole composite model through
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(self, config: LstmTextConfig) -> None:
        super().__init__(config)
        dropout = float(config.hidden_dropout_prob)
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(
            config.embedding_size,
            config.hidden_size // 2,
            config.num_hidden_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if config.num_hidden_layers > 1 else 0.0,
        )
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if "weight_hh" in name:
                    init.orthogonal_(parameter)
                elif "weight_ih" in name:
                    init.xavier_uniform_(parameter)
                else:
                    init.zeros_(parameter)

    def get_input_embeddings(self) -> nn.Module:
        """Returns the token embeddings."""
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the token embeddings."""
        self.embeddings = value  # type: ignore[assignment]  # as in transformers, any module that embeds

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        return_dict: bool = True,
        output_attentions: bool = False,
    ) -> BaseModelOutput:
        """Encodes token ids (B, L), or embeddings (B, L, E), into (B, L, W); padded positions are zero.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L) 1 = real token; at least one per row.
            inputs_embeds: (B, L, E) instead of `input_ids`.
            return_dict: As in transformers; only True is known.
            output_attentions: As in transformers; there are none.
        """
        embeds = self.dropout(self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds)
        if attention_mask is None:
            attention_mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
        mask = attention_mask.bool()
        # Real tokens first, wherever padding stands, so that the packed sequence holds them and nothing else.
        order = (~mask).long().argsort(dim=1, stable=True)  # (B, L)
        sorted_embeds = embeds.gather(1, order.unsqueeze(-1).expand_as(embeds))
        packed = pack_padded_sequence(sorted_embeds, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=mask.shape[1])
        back = order.argsort(dim=1)
        return BaseModelOutput(last_hidden_state=states.gather(1, back.unsqueeze(-1).expand_as(states)))


__all__ = ["LstmTextModel"]
