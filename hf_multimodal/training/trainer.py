# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The trainer: transformers' own, with hooks only where rows of several modalities need them."""

from typing import Any, cast

import torch
from torch import nn
from transformers import EarlyStoppingCallback, PreTrainedConfig, PreTrainedModel, Trainer
from transformers.trainer_utils import IntervalStrategy

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.labels import LabelSchema
from hf_multimodal.evaluation.metrics import build_compute_metrics
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.optimizer_groups import set_tower_learning_rate


class _Saved:
    """A processor without a tokenizer, shown to Trainer only as something to save.

    Trainer aligns the model's special tokens with the tokenizer of any ProcessorMixin, and fails where there is none.
    """

    def __init__(self, processor: Any) -> None:  # noqa: ANN401 (MultimodalProcessor, also when loaded as remote code)
        self.processor = processor
        self.save_pretrained = processor.save_pretrained


class MultimodalTrainer(Trainer):
    """`transformers.Trainer` that brings collator, metrics and early stopping, and checks that processor and model fit.

    Args:
        model: A `Multimodal*` model with a head.
        args: `MultimodalTrainingArguments` (or plain `TrainingArguments` with `remove_unused_columns=False`).
        processing_class: The `MultimodalProcessor`; saved with every checkpoint.
        data_collator: None builds a `MultimodalCollator` on the processor and the model's labels.
        compute_metrics: None takes accuracy and macro F1, or mean squared error for regression.
        **kwargs: Everything else `transformers.Trainer` takes.

    Raises:
        ValueError: if the processor does not fit the model, or raw columns would not reach the collator.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: Any = None,  # noqa: ANN401 (MultimodalTrainingArguments or TrainingArguments)
        *,
        processing_class: Any,  # noqa: ANN401 (MultimodalProcessor, also when loaded as remote code)
        data_collator: Any = None,  # noqa: ANN401 (any callable)
        compute_metrics: Any = None,  # noqa: ANN401 (any callable)
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        processing_class.check_model(model.config)
        args = args or MultimodalTrainingArguments()
        if args.remove_unused_columns:
            raise ValueError("Set remove_unused_columns=False: the collator reads the raw text and image columns.")
        if kwargs.get("eval_dataset") is None and isinstance(args, MultimodalTrainingArguments):
            args.eval_strategy, args.load_best_model_at_end = IntervalStrategy.NO, False  # nothing to choose by
        collator: Any = data_collator or MultimodalCollator(processing_class, label_schema_of(model.config))
        shown: Any = processing_class if "text" in processing_class.modalities else _Saved(processing_class)
        super().__init__(
            model=model,
            args=args,
            processing_class=shown,
            data_collator=collator,
            compute_metrics=compute_metrics or build_compute_metrics(problem_type_of(model.config)),
            **kwargs,
        )
        patience = getattr(args, "early_stopping_patience", 0)
        if patience:
            self.add_callback(EarlyStoppingCallback(early_stopping_patience=patience))

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Builds the optimizer, with the towers' own learning rate where the arguments name one."""
        optimizer = super().create_optimizer(model)
        learning_rate = getattr(self.args, "tower_learning_rate", None)
        if learning_rate is not None:
            set_tower_learning_rate(optimizer, cast(PreTrainedModel, self.model), learning_rate)
        return optimizer


def problem_type_of(config: PreTrainedConfig) -> str:
    """The problem type a model trains for, spelled out where its configuration leaves it open."""
    if config.problem_type is not None:
        return config.problem_type
    return "regression" if config.num_labels == 1 else "single_label_classification"


def label_schema_of(config: PreTrainedConfig) -> LabelSchema:
    """The labels a model was built for, in the order of its logits."""
    id2label: Any = config.id2label
    return LabelSchema(problem_type_of(config), tuple(id2label[i] for i in range(len(id2label))))


__all__ = ["MultimodalTrainer", "label_schema_of", "problem_type_of"]
