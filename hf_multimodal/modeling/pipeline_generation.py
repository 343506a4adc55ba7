# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The pipeline of texts: rows of raw text and images in, captions, answers and turns of a dialogue out."""

from collections.abc import Mapping
from typing import Any

from transformers import GenerationConfig
from transformers.utils import ModelOutput

from .pipeline_rows import RowPipeline


def with_length(options: Mapping[str, Any], longest: int, saved: GenerationConfig | None) -> dict[str, Any]:
    """Adds how long a text may get to arguments of `generate` where neither they nor the model's own settings say it.

    Args:
        options: Arguments of `generate`.
        longest: Most tokens that the decoder can write.
        saved: The model's settings.
    """
    given = options.get("generation_config") or saved
    named = (options.get("max_new_tokens"), options.get("max_length"))
    configured = (getattr(given, "max_new_tokens", None), getattr(given, "max_length", None))
    is_said = any(value is not None for value in (*named, *configured))
    return dict(options) if is_said else {**options, "max_new_tokens": longest}


class MultimodalGenerationPipeline(RowPipeline):
    """Captions, open answers and dialogue; see `RowPipeline` for the rows.

    In the place of `text` a row may hold `dialogue`, the turns so far as `MultimodalProcessor.fold_dialogue` takes
    them. Arguments of `generate` (`num_beams`, `do_sample`, `max_new_tokens`, `num_return_sequences`, ...) are handed
    on. Per row it returns a list of `{"generated_text"}`, one of each sequence asked for.
    """

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:  # noqa: ANN401
        return {}, kwargs, {}

    def preprocess(self, input_: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """Opens a row's media; a dialogue becomes its text."""
        if isinstance(input_, Mapping) and "dialogue" in input_:
            row = {key: value for key, value in input_.items() if key != "dialogue"}
            if input_["dialogue"] is not None:
                if row.get("text") is not None:
                    raise ValueError("A row has either text or dialogue, not both.")
                row["text"] = self.processor.fold_dialogue(input_["dialogue"])
            input_ = row
        return super().preprocess(input_, **kwargs)

    def _forward(self, input_tensors: Mapping[str, Any], **kwargs: Any) -> ModelOutput:  # noqa: ANN401
        batch = self.batch_of(input_tensors)
        longest = self.processor.decoder_tokenizer.model_max_length - 1
        options = with_length(kwargs, longest, self.model.generation_config)
        written = self.model.generate(**batch, **options)  # type: ignore[operator]  # it writes
        sequences = getattr(written, "sequences", written)
        rows = len(batch["modality_mask"])
        return ModelOutput(sequences=sequences.view(rows, len(sequences) // rows, -1))

    def postprocess(self, model_outputs: Mapping[str, Any], **kwargs: Any) -> list[dict[str, str]]:  # noqa: ANN401
        """Turns the token ids of one row into texts."""
        texts = self.processor.batch_decode(model_outputs["sequences"][0], skip_special_tokens=True)
        return [{"generated_text": text.strip()} for text in texts]


__all__ = ["MultimodalGenerationPipeline", "with_length"]
