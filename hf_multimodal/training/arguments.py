# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Training arguments: transformers' own, with defaults that fit multimodal rows."""

from dataclasses import dataclass, field
from typing import Any

from transformers import TrainingArguments

STALL_TIMEOUT = 600  # seconds


@dataclass
class MultimodalTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with the best model kept, TensorBoard on, and raw columns left to the collator.

    Attributes:
        early_stopping_patience: Evaluations without improvement of `metric_for_best_model` before training stops; 0 =
            never.
        tower_learning_rate: Learning rate of the towers' backbones; None trains them at `learning_rate`.
        tower_layer_decay: Factor by which each block of a backbone learns slower than the one after it; None is 1.
        head_learning_rate: Learning rate of what follows the fusion; None trains it at `learning_rate`.
        adapters: modality -> fields of a low-rank adapter, which is trained in the place of the tower's weights; see
            `training.adapters.add_adapters`. A run ends with them merged, and saved alone beside the model.
        gradient_cache_size: Of retrieval: rows encoded at a time, so that the batch is bounded by time and not by
            memory (gradient caching); None encodes the batch whole.
        rows_per_picture: How many rows of one picture stand together in training, where it has several: a batch encodes
            each of its pictures once, so the image tower does that much less. 1 leaves the order to chance.
        soup_checkpoints: How many of the last checkpoints are averaged in the end, as long as the mean gets better on
            the validation rows (a greedy soup); 0 averages none.
        max_skipped_steps: Steps that may be left out because their loss or gradient is not finite, before training ends
            with an error; their rows are in `skipped_steps-RANK.jsonl`.
        stall_timeout: Seconds without a step, an evaluated batch or a checkpoint after which a training of several
            processes is ended, with the name of the one that holds the others up; 0 waits for ever.
        feature_cache: Folder where the features of frozen towers are kept, so that each text, picture, sound and clip
            goes through its tower once; None computes them in every step.
        feature_cache_dtype: Precision they are kept in: `float32`, `float16` or `bfloat16`.
    """

    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Must stay False: the collator reads raw columns."}
    )
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save: no, steps or epoch."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept."})
    load_best_model_at_end: bool | None = field(  # type: ignore[assignment]  # decided in __post_init__
        default=None, metadata={"help": "Whether to end with the best model; by default where it is saved."}
    )
    report_to: str | list[str] = field(default="tensorboard", metadata={"help": "Trackers."})
    early_stopping_patience: int = field(
        default=0, metadata={"help": "Evaluations without improvement; 0 = never stop."}
    )
    tower_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the towers' backbones."}
    )
    tower_layer_decay: float | None = field(default=None, metadata={"help": "Of each block to the one after it."})
    head_learning_rate: float | None = field(default=None, metadata={"help": "Learning rate of the head."})
    adapters: dict[str, Any] | None = field(default=None, metadata={"help": "Low-rank adapters of towers."})
    gradient_cache_size: int | None = field(default=None, metadata={"help": "Of retrieval: rows encoded at a time."})
    rows_per_picture: int = field(default=1, metadata={"help": "Rows of one picture that stand together."})
    soup_checkpoints: int = field(default=0, metadata={"help": "Checkpoints that are tried for a greedy soup."})
    max_skipped_steps: int = field(default=10, metadata={"help": "Steps without a finite loss that are left out."})
    stall_timeout: int = field(default=STALL_TIMEOUT, metadata={"help": "Seconds until a hung process ends it."})
    feature_cache: str | None = field(default=None, metadata={"help": "Folder for frozen towers' features."})
    feature_cache_dtype: str = field(default="float32", metadata={"help": "Their precision."})

    def __post_init__(self) -> None:
        """Checks what the collator relies on.

        Raises:
            ValueError: if raw columns would be dropped before the collator sees them, or a number makes no sense.
        """
        if self.remove_unused_columns:
            raise ValueError(
                "remove_unused_columns=True would drop the raw text and image columns before the collator reads them: "
                "leave it False."
            )
        if self.adapters is not None and not isinstance(self.adapters, dict):
            raise ValueError(f"adapters={self.adapters!r}: give a mapping of modality to fields: {{text: {{r: 8}}}}.")
        if self.rows_per_picture < 1:
            raise ValueError(f"rows_per_picture={self.rows_per_picture}: give 1 or more.")
        if self.rows_per_picture > 1 and self.train_sampling_strategy != "random":
            raise ValueError("rows_per_picture and train_sampling_strategy are two orders of the rows: give one.")
        if self.tower_layer_decay is not None and not 0 < self.tower_layer_decay <= 1:
            raise ValueError(f"tower_layer_decay={self.tower_layer_decay}: it is above 0 and at most 1.")
        limit, wanted = self.save_total_limit, self.soup_checkpoints
        if limit and limit < wanted:
            raise ValueError(f"soup_checkpoints={wanted}, but {limit} are kept: raise save_total_limit.")
        if wanted and not self.eval_strategy == self.save_strategy != "no":
            raise ValueError(
                f"soup_checkpoints={wanted} compares checkpoints by their validation scores: give validation rows, and "
                "the same eval_strategy as save_strategy."
            )
        if self.load_best_model_at_end is None:
            steps_fit = self.eval_strategy != "steps" or self.save_steps == (self.eval_steps or self.logging_steps)
            self.load_best_model_at_end = self.eval_strategy == self.save_strategy != "no" and steps_fit
        super().__post_init__()
        if self.device.type == "cpu":  # nothing to pin memory for; PyTorch would warn at every loader
            self.dataloader_pin_memory = False


__all__ = ["STALL_TIMEOUT", "MultimodalTrainingArguments"]
