# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Configuration of the built-in LSTM text encoder."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig


@strict
class LstmTextConfig(PreTrainedConfig):
    """Configuration of `LstmTextModel`.

    Args:
        vocab_size: Number of tokens.
        embedding_size: Width of the token embeddings.
        hidden_size: Width of the output: half of it per direction.
        num_hidden_layers: LSTM layers.
        hidden_dropout_prob: Dropout on the embeddings and between layers.
        initializer_range: Standard deviation of the embeddings' initial values.
        pad_token_id: Index of the padding token.

    Raises:
        StrictDataclassError: of huggingface_hub, if a field has the wrong type or `hidden_size` is odd.
    """

    model_type = "lstm_text"

    vocab_size: int = 30_522
    embedding_size: int = 128
    hidden_size: int = 256
    num_hidden_layers: int = 1
    hidden_dropout_prob: int | float = 0.0
    initializer_range: float = 0.02
    pad_token_id: int | None = 0

    def validate_width(self) -> None:
        """Checks that the two directions share the width evenly."""
        if self.hidden_size < 2 or self.hidden_size % 2:
            raise ValueError(f"hidden_size={self.hidden_size}: half of it goes to each direction, so it must be even.")


AutoConfig.register(LstmTextConfig.model_type, LstmTextConfig, exist_ok=True)

__all__ = ["LstmTextConfig"]
