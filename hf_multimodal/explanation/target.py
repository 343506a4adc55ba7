# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What is explained: one row's batch, and the output of the model that the explanation is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hf_multimodal.data.labels import LabelSchema, labels_from_config
from hf_multimodal.evaluation.predictions import scores_from_logits
from hf_multimodal.modeling.configuration_multimodal import check_known


@dataclass(frozen=True)
class Target:
    """One output of a model for one row.

    Attributes:
        label: Name of the label, or of the value.
        index: Its place among the logits.
        task: Of several tasks the one.
        score: Its probability, or the value.
    """

    label: str
    index: int
    task: str | None
    score: float

    def of(self, output: Any) -> torch.Tensor:  # noqa: ANN401 (a model output)
        """Takes this output's logits, (B,), from what a model returned."""
        logits = output.logits if self.task is None else output.logits[self.task]
        return logits[:, self.index]


@torch.no_grad()
def choose_target(
    model: Any,  # noqa: ANN401 (a model that predicts)
    batch: Mapping[str, torch.Tensor],
    label: str | None = None,
    task: str | None = None,
) -> Target:
    """Chooses what to explain: the label asked for, else the one the model decides on.

    Args:
        model: The model.
        batch: Of one row.
        label: Name of a label.
        task: Of a model of several tasks the one.

    Raises:
        ValueError: if there is no such label or task, or the task is not said.
    """
    schemas = labels_from_config(model.config)
    output = model(**batch)
    if isinstance(schemas, LabelSchema):
        if task is not None:
            raise ValueError(f"The model has one task only, but task={task!r} was asked for: leave it out.")
        schema, logits = schemas, output.logits
    else:
        if task is None:
            raise ValueError(f"The model has several tasks: say which to explain, of {', '.join(schemas.schemas)}.")
        check_known("task", task, tuple(schemas.schemas))
        schema, logits = schemas.schemas[task], output.logits[task]
    scores = scores_from_logits(logits.float().cpu().numpy(), schema.problem_type)[0]
    if label is None:
        index = int(scores.argmax())
    else:
        check_known("label", label, schema.names)
        index = schema.names.index(label)
    return Target(schema.names[index], index, task, float(scores[index]))


__all__ = ["Target", "choose_target"]
