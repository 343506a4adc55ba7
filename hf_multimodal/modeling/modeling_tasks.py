# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model of several tasks."""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from transformers import initialization as init

from .configuration_multimodal import MultimodalConfig, check_known
from .modeling_heads import ClassificationHead
from .modeling_losses import known_rows, task_loss, uncertainty_weighted
from .modeling_multimodal import MultimodalWithHead
from .modeling_outputs import MultimodalModelOutput, MultimodalMultiTaskOutput


class MultimodalForMultiTask(MultimodalWithHead):
    """Several heads over the same towers and fusion: any mix of single-label, multi-label and regression tasks.

    The tasks are those of `config.tasks`. A row may lack the label of any of them (see `forward`). The loss is the sum
    of the tasks' losses, each a mean over the rows that have its label, weighted by `config.task_weights` and, with
    `config.task_weighting="uncertainty"`, by a learned variance per task (Kendall et al. 2018).
    """

    output_class = MultimodalMultiTaskOutput

    def __init__(self, config: MultimodalConfig) -> None:
        if not config.tasks:
            raise ValueError("MultimodalForMultiTask needs tasks: {name: {problem_type: ..., labels: [...]}, ...}.")
        super().__init__(config)

    def build_head(self, config: MultimodalConfig, dropout: float) -> nn.Module:
        """Builds a linear head per task, in the order of `config.task_names`."""
        tasks: Any = config.tasks
        if config.task_weighting == "uncertainty":
            self.log_variances = nn.Parameter(torch.zeros(len(tasks)))
        sizes = [len(tasks[name]["labels"]) for name in config.task_names]
        builders = [partial(ClassificationHead, config.hidden_size, size, dropout) for size in sizes]
        return nn.ModuleList(self.per_modality(config, build) for build in builders)

    def init_own_parameters(self, std: float) -> None:
        """Starts every task at a variance of one."""
        if self.config.task_weighting == "uncertainty":
            init.zeros_(self.log_variances)

    def compute_output(self, outputs: MultimodalModelOutput, labels: Any) -> dict[str, Any]:  # noqa: ANN401
        """Computes the tasks' logits, their losses and the weighted sum of these.

        Args:
            outputs: Of the model without heads.
            labels: task -> labels as in `classification_loss`, with -100 (single label) or NaN (the others) where a row
                has none. A task may be left out. None = no loss.

        Raises:
            TypeError: if the labels are no mapping.
            ValueError: if they name a task that nobody declared.
        """
        tasks, names, heads = self.config.tasks, self.config.task_names, cast(nn.ModuleList, self.head)
        logits = {name: self.score(head, outputs) for name, head in zip(names, heads, strict=True)}
        if labels is None:
            return {"loss": None, "logits": logits, "task_losses": None}
        if not isinstance(labels, Mapping):
            raise TypeError(
                f"labels is a {type(labels).__name__}: give a mapping of task to labels. Tasks: {', '.join(names)}."
            )
        for name in labels:
            check_known("task", name, names)
        losses = {name: self._task_loss(name, logits[name], labels[name]) for name in names if name in labels}
        total = 0.0 * sum(x.float().sum() for x in logits.values())  # of the heads that got no labels
        for index, name in enumerate(names):
            if name not in losses:
                continue
            loss = losses[name]
            if self.config.task_weighting == "uncertainty":
                is_known = known_rows(labels[name]).any()
                loss = uncertainty_weighted(loss, self.log_variances[index], tasks[name]["problem_type"]) * is_known
            total = total + (self.config.task_weights or {}).get(name, 1.0) * loss
        return {"loss": total, "logits": logits, "task_losses": losses}

    def _task_loss(self, name: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        task, config = self.config.tasks[name], self.config
        options: dict[str, Any] = {}
        if task["problem_type"] != "regression":
            weights = (config.class_weights or {}).get(name)
            options["class_weights"] = None if weights is None else logits.new_tensor(weights, dtype=torch.float32)
            options["focal_gamma"] = config.focal_gamma
        if task["problem_type"] == "single_label_classification":
            options["label_smoothing"] = config.label_smoothing
        return task_loss(logits, labels, task["problem_type"], **options)


__all__ = ["MultimodalForMultiTask"]
