# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Steps whose loss or gradient is not finite: left out, written down with their rows, and after some the end."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from transformers import TrainerCallback

SKIPPED_STEPS = "skipped_steps"  # of each process a file of its own


class NonFiniteError(ValueError):
    """Training has met more steps without a finite loss or gradient than it may."""


class SkipNonFiniteSteps(TrainerCallback):
    """Leaves the weights as they are where a step's loss or gradient is infinite or not a number.

    All processes decide alike. Each writes the rows that it had in such a step to `skipped_steps-RANK.jsonl`. Where
    something else makes the steps, DeepSpeed or the gradient scaler of fp16, which leaves some out by itself, those
    without a finite loss are only counted and written down.

    It counts from the start of each training, so a resumed one may leave out as many again.

    Args:
        limit: Steps that may be left out; one more ends the training.
        folder: Where the files go.
        rank: The process's number.
        makes_steps: Whether the gradients are this process's to look at and to drop.
    """

    def __init__(self, limit: int, folder: str | Path, rank: int = 0, *, makes_steps: bool = True) -> None:
        self.limit, self.rank, self.makes_steps = limit, rank, makes_steps
        self.file = Path(folder) / f"{SKIPPED_STEPS}-{rank}.jsonl"
        self.skipped = 0
        self._losses: list[torch.Tensor] = []
        self._row_ids: list[str] = []

    def note(self, loss: torch.Tensor, row_ids: Sequence[str]) -> None:
        """Remembers a batch of the step that is being made.

        Args:
            loss: Its loss.
            row_ids: Its rows.
        """
        self._losses.append(loss.detach())
        self._row_ids += row_ids

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Begins to count anew."""
        self.skipped, self._losses, self._row_ids = 0, [], []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:  # noqa: ANN401
        """Looks at loss and gradient, and drops the gradient where either is not finite.

        Raises:
            NonFiniteError: after more such steps than are allowed.
        """
        losses, row_ids = self._losses, self._row_ids
        self._losses, self._row_ids = [], []
        norm = _gradient_norm(model) if self.makes_steps else None
        numbers = torch.stack([x.float().to(losses[0].device) for x in (*losses, *([] if norm is None else [norm]))])
        is_bad = (~torch.isfinite(numbers).all()).float()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(is_bad, dist.ReduceOp.MAX)
        if not is_bad.item():
            return
        if self.makes_steps:
            model.zero_grad(set_to_none=True)  # so that the optimizer has nothing to do
        self.skipped += 1
        step = state.global_step + 1
        facts = {
            "step": step,
            "losses": [_told(x) for x in losses],
            "gradient_norm": None if norm is None else _told(norm),
            "row_ids": row_ids,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        if self.skipped > self.limit:
            raise NonFiniteError(
                f"{self.skipped} steps, the last of them {step}, had no finite loss or gradient, and {self.limit} may "
                f"(training.max_skipped_steps). Their rows are in {str(self.file)!r}: look at them, lower the learning "
                "rate, or clip the gradient (training.max_grad_norm)."
            )


def _gradient_norm(model: nn.Module) -> torch.Tensor | None:
    """The norm of this process's gradients; of sharded ones, of its share."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if not gradients:
        return None
    local = [getattr(gradient, "to_local", lambda own=gradient: own)() for gradient in gradients]
    norms = torch._foreach_norm(local, 2, torch.float32)  # in half precision its square would overflow
    return torch.linalg.vector_norm(torch.stack(norms))


def _told(number: torch.Tensor) -> float | str:
    """A number as JSON has it, which knows no infinity."""
    value = number.item()
    return value if math.isfinite(value) else str(value)


__all__ = ["SKIPPED_STEPS", "NonFiniteError", "SkipNonFiniteSteps"]
