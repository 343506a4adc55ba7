# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model that writes: captions, answers, turns of a dialogue.

Shapes: B rows, L fused tokens, T tokens of text, H fusion width, W decoder width.
"""

import warnings
from typing import Any, cast

import torch
from torch import nn
from transformers import Cache, GenerationConfig, GenerationMixin
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_decoder import DecoderLike, decoder_fields
from .configuration_multimodal import TOWER_INPUTS, MultimodalConfig
from .modeling_decoder import CACHE, FusionDecoder, read_by_decoder, shift_right, text_loss
from .modeling_multimodal import MultimodalModel, MultimodalWithHead
from .modeling_outputs import MultimodalModelOutput
from .modeling_pretrained_towers import load_decoder
from .remote_code import GENERATION_PIPELINE

_ENCODER_INPUTS = (*(name for names in TOWER_INPUTS.values() for name in names), "picture_indices", "modality_mask")


class MultimodalForConditionalGeneration(MultimodalWithHead, GenerationMixin):
    """A text decoder over the pooled vector and the fused tokens of whatever modalities are given.

    A prompt, a question, the turns of a dialogue so far are the text tower's input; the decoder writes the answer, so
    nothing else is learned. A model without a text tower captions.
    """

    output_class = Seq2SeqLMOutput
    writes_text = True
    _pipelines = {"multimodal-generation": ["AutoModelForImageTextToText"]}
    _pipeline_code = GENERATION_PIPELINE

    def __init__(self, config: MultimodalConfig) -> None:
        if config.decoder_config is None:
            raise ValueError(
                "MultimodalForConditionalGeneration needs a decoder: set decoder_config, or give decoder to "
                "from_towers_pretrained."
            )
        super().__init__(config)
        # they are not saved; by this Trainer knows, when it loads the best checkpoint
        self._keys_to_ignore_on_save = list(self.all_tied_weights_keys)

    def build_head(self, config: MultimodalConfig, dropout: float) -> nn.Module:
        """Builds the decoder."""
        return FusionDecoder(config)

    @classmethod
    def from_towers_pretrained(cls, *, decoder: DecoderLike = None, **kwargs: Any) -> Any:  # noqa: ANN401 (as overridden)
        """Builds a model over existing towers, and an existing decoder or a fresh one.

        Args:
            decoder: Hub id, local folder, configuration, or dict of `DecoderSpec` fields of the decoder. A language
                model that has never seen an encoder gets fresh cross-attention.
            **kwargs: As in `MultimodalPreTrainedModel.from_towers_pretrained`.

        Raises:
            ValueError: as there; or if nothing says which tokens the decoder writes, or it cannot cross-attend.
        """
        spec, fields = decoder_fields(decoder, kwargs)
        model: Any = super().from_towers_pretrained(**{**fields, **kwargs})
        if spec.loads_weights:
            load_decoder(model.head.language_model, spec)
        return model

    def get_input_embeddings(self) -> nn.Module:
        """Returns the decoder's token embeddings; the text tower's are those of `model`."""
        return self.head.language_model.get_input_embeddings()  # type: ignore[union-attr, operator]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the decoder's token embeddings."""
        self.head.language_model.set_input_embeddings(value)  # type: ignore[union-attr, operator]

    def get_output_embeddings(self) -> nn.Module:
        """Returns the layer that scores the decoder's next token."""
        return self.head.language_model.get_output_embeddings()  # type: ignore[union-attr, operator]

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replaces the layer that scores the decoder's next token."""
        self.head.language_model.set_output_embeddings(new_embeddings)  # type: ignore[union-attr, operator]

    def get_encoder(self, modality: str | None = None) -> MultimodalModel:
        """Returns towers and fusion, which read what the text is about."""
        return self.model

    @torch.no_grad()
    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        **kwargs: Any,  # noqa: ANN401 (of `forward`, of the generation)
    ) -> Any:  # noqa: ANN401 (token ids, or an output with them)
        """Writes a text for each row; arguments as in `GenerationMixin.generate`, the inputs by their names.

        Rows of a batch that lacks the first modality as a whole are encoded here, since `GenerationMixin` would make
        up an input for it.
        """
        if inputs is None and kwargs.get(self.main_input_name) is None and kwargs.get("encoder_outputs") is None:
            given = {name: kwargs.pop(name) for name in _ENCODER_INPUTS if name in kwargs}
            kwargs["encoder_outputs"] = self.model(**given)
        return super().generate(inputs, generation_config, **kwargs)

    def _prepare_static_cache(self, **kwargs: Any) -> Cache:  # type: ignore[override]  # noqa: ANN401
        """Makes a cache of a fixed size, with room for the pooled vector, which the decoder reads, too."""
        given = kwargs.pop("model_kwargs")
        tokens, _ = read_by_decoder(_as_output(given["encoder_outputs"]))
        made: Any = super()  # typed as of some of transformers' own models only
        return made._prepare_static_cache(**kwargs, model_kwargs={**given, "encoder_outputs": (tokens,)})

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        picture_indices: torch.LongTensor | None = None,
        audio_values: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        series_values: torch.Tensor | None = None,
        series_mask: torch.Tensor | None = None,
        series_categories: torch.LongTensor | None = None,
        modality_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        encoder_outputs: MultimodalModelOutput | tuple | None = None,
        cache: Cache | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,  # noqa: ANN401 (output_* flags)
    ) -> ModelOutput:
        """Scores the next token of each row's text; see `MultimodalModel.forward` for the encoder's inputs.

        Args:
            input_ids: (B, L) the prompt.
            attention_mask: (B, L).
            token_type_ids: (B, L).
            inputs_embeds: (B, L, W).
            pixel_values: (B, 3, height, width).
            picture_indices: (B,) which of `pixel_values` each row has, where several share one; None = its own.
            audio_values: (B, 1, bands, frames) spectrograms for timm, else as the audio encoder reads them.
            audio_mask: (B, samples) or (B, frames) 1 = real sound.
            pixel_values_videos: (B, T, 3, height, width).
            series_values: (B, T, C).
            series_mask: (B, T, C).
            series_categories: (B, K).
            modality_mask: (B, M).
            labels: (B, T) the text's token ids, -100 where nothing is to be learned; the loss is the mean over tokens.
            decoder_input_ids: (B, T) the text so far, the start token first. With labels it follows from them.
            decoder_attention_mask: (B, T) 1 = real token.
            decoder_inputs_embeds: (B, T, W) instead of `decoder_input_ids`.
            encoder_outputs: What towers and fusion have read, instead of their inputs.
            cache: Keys and values of earlier tokens.
            past_key_values: The same, by its name in transformers before 5.24.
            use_cache: Whether to return keys and values.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`.

        Raises:
            ValueError: if nothing says what the decoder reads.
        """
        if past_key_values is not None and CACHE == "cache":
            warnings.warn("`past_key_values` is deprecated: give `cache`.", FutureWarning, stacklevel=2)
        inputs: dict[str, Any] = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "inputs_embeds": inputs_embeds,
            "pixel_values": pixel_values,
            "picture_indices": picture_indices,
            "audio_values": audio_values,
            "audio_mask": audio_mask,
            "pixel_values_videos": pixel_values_videos,
            "series_values": series_values,
            "series_mask": series_mask,
            "series_categories": series_categories,
            "modality_mask": modality_mask,
        }
        flags = {name: kwargs[name] for name in ("output_attentions", "output_hidden_states") if name in kwargs}
        encoded = self.model(**inputs, **flags) if encoder_outputs is None else _as_output(encoder_outputs)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if labels is None:
                raise ValueError("The decoder has nothing to read: give labels or decoder_input_ids, or call generate.")
            decoder_input_ids = cast(torch.LongTensor, shift_right(labels, *self._start_and_padding()))
        written = self.head(
            encoded,
            decoder_input_ids,
            decoder_attention_mask,
            decoder_inputs_embeds,
            cache if cache is not None else past_key_values,
            use_cache=use_cache if labels is None else False,
            **flags,
        )
        smoothing = float(self.config.label_smoothing) if self.training else 0.0
        return Seq2SeqLMOutput(
            loss=None if labels is None else text_loss(written.logits, labels, smoothing),
            logits=written.logits,
            decoder_hidden_states=written.hidden_states,
            decoder_attentions=written.attentions,
            cross_attentions=written.cross_attentions,
            encoder_last_hidden_state=encoded.last_hidden_state,
            encoder_hidden_states=encoded.hidden_states,
            encoder_attentions=encoded.attentions,
            **{CACHE: getattr(written, CACHE)},
        )

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Makes what the decoder reads from what it should write: (B, T) -> (B, T)."""
        return shift_right(labels, *self._start_and_padding())

    def align_special_tokens(self) -> None:
        """Makes the decoder's configuration and the one of generation name the tokens that this model's does."""
        for name in ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id"):
            for config in (self.config.decoder_config, self.generation_config):
                setattr(config, name, getattr(self.config, name))

    def _start_and_padding(self) -> tuple[int, int]:
        start, padding = self.config.decoder_start_token_id, self.config.pad_token_id
        if start is None or padding is None:
            raise ValueError("Set decoder_start_token_id and pad_token_id: without them labels cannot be fed back.")
        return start, padding


def _as_output(encoder_outputs: Any) -> MultimodalModelOutput:  # noqa: ANN401 (an output, or a tuple of its first parts)
    if isinstance(encoder_outputs, tuple):
        return MultimodalModelOutput(*encoder_outputs)
    return encoder_outputs


__all__ = ["MultimodalForConditionalGeneration"]
