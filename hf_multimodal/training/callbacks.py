# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What the trainer does at the beginning of a training or of an epoch."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from hf_multimodal.training.checkpoints import WholeCheckpoints


class OwnSpecialTokens(TrainerCallback):
    """Gives a model that writes its decoder's special tokens back: Trainer takes those of the text tower for it."""

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:  # noqa: ANN401
        """Aligns them."""
        model.align_special_tokens()


class FindBest(TrainerCallback):
    """Finds the best checkpoint of a run that was moved.

    Args:
        trainer: The run's.
    """

    def __init__(self, trainer: WholeCheckpoints) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Looks where none is known."""
        if state.best_model_checkpoint is None:
            self.trainer.find_best(Path(args.output_dir))


class TellEpoch(TrainerCallback):
    """Keeps the number of the epoch where the worker processes of a loader see it.

    Args:
        epoch: Where it is kept, in shared memory.
    """

    def __init__(self, epoch: torch.Tensor) -> None:
        self.epoch = epoch

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Notes it."""
        self.epoch.fill_(int(state.epoch))


__all__ = ["FindBest", "OwnSpecialTokens", "TellEpoch"]
