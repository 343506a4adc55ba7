# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows of all processes, with gradients: a contrastive batch is as large as all processes' batches together.

Each process computes the mean loss of its own rows against everybody's. Its gradient then reaches the rows of the
others, and the mean over the processes, which DDP takes, is the gradient of the whole batch on one process.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)

from .modeling_outputs import TowerOutput


def num_processes() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_index() -> int:
    """Which of them this is."""
    return dist.get_rank() if num_processes() > 1 else 0


class _GatherRows(torch.autograd.Function):
    """All processes' rows; backwards, the sum of all processes' gradients, of which each takes its own rows'."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 (autograd's context)
        parts = [torch.empty_like(rows) for _ in range(num_processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 (autograd's context)
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient.chunk(num_processes())[process_index()]


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Gathers (B, ...) of every process into (G, ...), in the order of the processes.

    Raises:
        ValueError: on every process, if they have not equally many rows.
    """
    if num_processes() == 1:
        return rows
    _check_equal(rows)
    gathered: torch.Tensor = _GatherRows.apply(rows)
    return gathered


def gather_tower(output: TowerOutput) -> TowerOutput:
    """Gathers a tower's output; where the processes' rows differ in length, the shorter ones are filled up."""
    if num_processes() == 1:
        return output
    missing = _extreme(output.tokens.shape[1], output.tokens.device)[0] - output.tokens.shape[1]
    return TowerOutput(
        tokens=gather_rows(F.pad(output.tokens, (0, 0, 0, missing))),
        mask=gather_rows(F.pad(output.mask.long(), (0, missing))).bool(),
        present=None if output.present is None else gather_rows(output.present.long()).bool(),
    )


def shared_seed(device: torch.device) -> int:
    """Draws a seed that all processes agree on: the first one's."""
    seed = torch.randint(2**31, (1,), dtype=torch.long).to(device)
    if num_processes() > 1:
        dist.broadcast(seed, src=0)
    return int(seed.item())


def _extreme(value: int, device: torch.device) -> tuple[int, int]:
    """The largest and the smallest value of all processes."""
    both = torch.tensor([value, -value], device=device)
    dist.all_reduce(both, op=dist.ReduceOp.MAX)
    return int(both[0].item()), -int(both[1].item())


def _check_equal(rows: torch.Tensor) -> None:
    most, fewest = _extreme(rows.shape[0], rows.device)
    if most != fewest:
        raise ValueError(
            f"The processes have {fewest} to {most} rows in this step: a contrastive batch needs equally many of each. "
            "Leave accelerate's even_batches on, or set dataloader_drop_last=True."
        )


__all__ = ["gather_rows", "gather_tower", "num_processes", "process_index", "shared_seed"]
