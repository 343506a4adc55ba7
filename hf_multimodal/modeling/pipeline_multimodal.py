# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The pipeline of predictions: rows of raw text and images in, labels with scores out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.utils import ModelOutput

from .pipeline_rows import RowPipeline


def _rank(
    logits: torch.Tensor, names: Sequence[str], problem_type: str | None, top_k: int | None
) -> list[dict[str, Any]]:
    """Turns logits (C,) into labels with scores, best first; into values for regression."""
    if problem_type == "regression":
        return [{"label": name, "value": value} for name, value in zip(names, logits.tolist(), strict=True)]
    is_independent = problem_type in ("multi_label_classification", "scored_answers")
    scores = logits.sigmoid() if is_independent else logits.softmax(-1)
    ranked = sorted(zip(names, scores.tolist(), strict=True), key=lambda pair: -pair[1])
    return [{"label": name, "score": score} for name, score in ranked[:top_k]]


def label_scores(
    logits: Mapping[str, torch.Tensor],
    config: Any,  # noqa: ANN401 (a MultimodalConfig, also as remote code)
    top_k: int | None = None,
) -> Any:  # noqa: ANN401 (a list, or a dict of them)
    """Turns the logits of one row into labels with scores, best first, or into values.

    Args:
        logits: Task -> (C,) logits; of a model of one task the key is empty.
        config: The model's configuration.
        top_k: How many labels; None = all.
    """
    if config.tasks:
        return {
            name: _rank(logits[name], task["labels"], task["problem_type"], top_k)
            for name, task in sorted(config.tasks.items())
        }
    names = [config.id2label[i] for i in range(len(logits[""]))]
    return _rank(logits[""], names, config.problem_type or ("regression" if len(names) == 1 else None), top_k)


class MultimodalClassificationPipeline(RowPipeline):
    """Classification, regression, question answering and several tasks; see `RowPipeline` for the rows.

    `top_k` is the number of labels returned, all by default. Per row it returns a list of `{"label", "score"}`, best
    first; for regression a list of `{"label", "value"}`. From a model of several tasks a dict of task to such a list.
    """

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs: Any) -> tuple[dict, dict, dict]:  # noqa: ANN401
        if kwargs:
            raise TypeError(f"Unknown arguments {sorted(kwargs)}: this pipeline takes top_k.")
        return {}, {}, {} if top_k is None else {"top_k": top_k}

    def _forward(self, input_tensors: Mapping[str, Any], **kwargs: Any) -> ModelOutput:  # noqa: ANN401
        logits = self.model(**self.batch_of(input_tensors)).logits
        by_task = logits if isinstance(logits, Mapping) else {"": logits}
        return ModelOutput({f"logits {task}": x.float() for task, x in by_task.items()})

    def postprocess(  # type: ignore[override]
        self, model_outputs: Mapping[str, torch.Tensor], top_k: int | None = None
    ) -> Any:  # noqa: ANN401 (a list, or a dict of them)
        """Turns the logits of one row into labels with scores."""
        own = {name.removeprefix("logits "): logits[0] for name, logits in model_outputs.items()}
        return label_scores(own, self.model.config, top_k)


__all__ = ["MultimodalClassificationPipeline", "label_scores"]
