# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Distillation (Hinton et al. 2015, arXiv 1503.02531): a smaller model learns what a larger one says of each row."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

import datasets
import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.columns import TEACHER_LOGITS
from hf_multimodal.data.labels import LabelSchema
from hf_multimodal.training.inference import evaluation_arguments, load_predictor
from hf_multimodal.training.run_config import check_fields
from hf_multimodal.training.trainer import MultimodalTrainer

_BATCH = 64


@dataclass(frozen=True)
class Distillation:
    """How a run learns from a teacher.

    Attributes:
        teacher: Folder or Hub id of a model that predicts the same labels.
        temperature: Of both models' probabilities while they are compared: the higher, the more the unlikely labels
            count.
        weight: Share of the loss that comes from the teacher; the rest from the labels.
    """

    teacher: str
    temperature: float = 2.0
    weight: float = 0.7

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Distillation":
        """Reads the section `distillation` of a run.

        Raises:
            ValueError: if a field is unknown, the teacher is not named, or a number makes no sense.
        """
        check_fields(values, [f.name for f in fields(cls)], "distillation.")
        if not isinstance(values.get("teacher"), str):
            raise ValueError("distillation.teacher names the folder of the model to learn from.")
        made = cls(**values)
        if not made.temperature > 0:
            raise ValueError(f"distillation.temperature={made.temperature}: it must be positive.")
        if not 0 < made.weight <= 1:
            raise ValueError(f"distillation.weight={made.weight}: it is a share, above 0 and up to 1.")
        return made


def add_teacher_logits(
    rows: datasets.Dataset, distillation: Distillation, schema: LabelSchema, columns: Mapping[str, Any]
) -> datasets.Dataset:
    """Asks the teacher about all rows once; several processes share the work.

    Args:
        rows: The rows, with all that the teacher reads.
        distillation: Names the teacher.
        schema: The student's labels.
        columns: The user's own names of the columns, for errors.

    Returns:
        The rows with a column `teacher_logits`, in the order of the student's labels.

    Raises:
        ValueError: if the teacher has other labels, or reads what the rows have not.
    """
    teacher, processor = load_predictor(distillation.teacher)
    config: Any = teacher.config
    own, others = schema.names, [config.id2label[i] for i in range(config.num_labels)]
    if config.tasks or sorted(own) != sorted(others):
        raise ValueError(
            f"The teacher {distillation.teacher!r} has other labels ({', '.join(others[:8])}) than the rows "
            f"({', '.join(own[:8])}): give one that was trained on the same."
        )
    if config.problem_type != schema.problem_type:
        raise ValueError(
            f"The teacher was trained on {config.problem_type}, the run is {schema.problem_type}: their answers do not "
            "compare."
        )
    if missing := sorted(set(config.modalities) - set(rows.column_names)):
        raise ValueError(f"The teacher reads {', '.join(missing)}, for which the run has no column: map it.")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = MultimodalTrainer(
            teacher,
            evaluation_arguments(scratch, _BATCH),
            processing_class=processor,
            data_collator=MultimodalCollator(processor, None, columns),
        )
        logits = cast(np.ndarray, trainer.predict(cast(Any, rows)).predictions)
    order = [others.index(name) for name in own]
    return rows.add_column(TEACHER_LOGITS, list(np.asarray(logits, dtype=np.float32)[:, order]))


def distillation_loss(
    logits: torch.Tensor, teacher: torch.Tensor, problem_type: str, temperature: float
) -> torch.Tensor:
    """How far a student's answers are from its teacher's, as a mean over the batch.

    Of one label it is the Kullback-Leibler divergence of the softened probabilities times the squared temperature, so
    that its gradient is as large as that of the labels (Hinton et al. 2015, section 2); of independent labels the same
    of each label's two probabilities; of values the squared error.

    Args:
        logits: (B, C) of the student.
        teacher: (B, C) of the teacher.
        problem_type: As in the model's configuration.
        temperature: Softens the probabilities.
    """
    logits, teacher = logits.float(), teacher.float()
    if problem_type == "regression":
        return F.mse_loss(logits, teacher)
    logits, teacher = logits / temperature, teacher / temperature
    if problem_type == "single_label_classification":
        log_student, log_teacher = logits.log_softmax(-1), teacher.log_softmax(-1)
        divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    else:
        target = teacher.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(teacher, target)
        divergence = F.binary_cross_entropy_with_logits(logits, target) - entropy
        if problem_type == "scored_answers":  # whose loss is a sum over the answers, too
            divergence = divergence * logits.shape[1]
    return divergence * temperature**2


class DistillingTrainer(MultimodalTrainer):
    """A `MultimodalTrainer` whose loss is partly that of the labels, partly the distance from a teacher.

    Args:
        *args: As of `MultimodalTrainer`.
        distillation: How it learns from the teacher.
        **kwargs: As of `MultimodalTrainer`; rows that are trained on have what `add_teacher_logits` adds.
    """

    def __init__(self, *args: Any, distillation: Distillation, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.distillation = distillation

    def compute_loss(  # type: ignore[override]  # what else it takes is handed on
        self,
        model: Any,  # noqa: ANN401 (as overridden)
        inputs: Any,  # noqa: ANN401
        return_outputs: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Computes the loss of a batch; that of rows without a teacher's word is that of their labels."""
        inputs = dict(inputs)
        teacher = inputs.pop(TEACHER_LOGITS, None)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if teacher is not None:
            config: Any = self.accelerator.unwrap_model(model).config
            own = self.distillation
            apart = distillation_loss(outputs["logits"], teacher, config.problem_type, own.temperature)
            loss = (1 - own.weight) * loss + own.weight * apart
        return (loss, outputs) if return_outputs else loss


__all__ = [
    "Distillation",
    "DistillingTrainer",
    "add_teacher_logits",
    "distillation_loss",
]
