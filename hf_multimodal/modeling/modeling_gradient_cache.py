# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Gradient caching (GradCache, Gao et al. 2021): a contrastive batch bounded by time, not by memory.

A contrastive loss needs the whole batch's embeddings at once, but not its activations. The batch is encoded chunk by
chunk, and of a chunk only the result is kept; when the loss's gradient reaches it, the chunk is encoded once more, now
with activations, which are gone before the next chunk's turn. Non-reentrant checkpointing of each chunk does just that,
random numbers included, under autocast, gradient accumulation and DDP as they are.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .modeling_outputs import TowerOutput


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Keeps batch norms from counting a batch into their running statistics that they have counted before."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def cached(module: nn.Module, function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 (of the function)
    """Calls a function of a module without keeping its activations; they are computed again for the gradient."""
    return checkpoint(
        function,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), frozen_statistics(module)),
    )


def encode_in_chunks(
    tower: nn.Module, present: torch.Tensor | None, inputs: Mapping[str, torch.Tensor], chunk_size: int
) -> TowerOutput:
    """Runs a tower in training mode on a batch, a chunk at a time.

    Args:
        tower: The tower. Its batch norms see a chunk as their batch.
        present: (B,) bool, or None when every row has the modality.
        inputs: What it takes, a row each.
        chunk_size: Most rows of a chunk.
    """
    names, parts = list(inputs), []

    def run(part: torch.Tensor | None, *tensors: torch.Tensor) -> TowerOutput:
        return tower(part, **dict(zip(names, tensors, strict=True)))

    count = next(iter(inputs.values())).shape[0]
    chunks = -(-count // chunk_size)  # alike in size: batch norm takes no single row
    masks = [None] * chunks if present is None else present.tensor_split(chunks)
    for part, *tensors in zip(masks, *(x.tensor_split(chunks) for x in inputs.values()), strict=True):
        parts.append(cached(tower, run, part, *tensors))
    return TowerOutput(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


__all__ = ["cached", "encode_in_chunks", "frozen_statistics"]
