# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of the machine: library versions, and the memory of a training step."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

import psutil
import torch
from packaging.requirements import Requirement

from hf_multimodal.doctor.findings import Finding

_TOLD = ("torch", "transformers", "timm", "datasets", "accelerate")
_ADAM_BYTES = 12  # gradient and two moments of a trained parameter, in float32


def check_versions() -> Iterator[Finding]:
    """Finds installed libraries that this package's requirements do not allow, and tells the main ones' versions."""
    wanted = [Requirement(line) for line in requires("hf_multimodal") or ()]
    unfit = []
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            unfit.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            unfit.append(f"{requirement.name} {found} is not {requirement.specifier}")
    if unfit:
        yield Finding("versions", "error", f"{'; '.join(unfit)}.", "pip install -U hf_multimodal brings what fits.")
    yield Finding("versions", "note", ", ".join(f"{name} {version(name)}" for name in _TOLD) + ".")


def check_memory(model: Any, collator: Any, rows: Any, batch_size: int) -> Iterator[Finding]:  # noqa: ANN401 (of a run)
    """Estimates what a training step needs: weights, gradients and Adam's moments, and activations by two small steps.

    Args:
        model: The run's model.
        collator: The run's collator.
        rows: The training rows.
        batch_size: Rows of a batch on one device.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    sizes = (2, min(6, len(rows)))
    if sizes[1] <= sizes[0]:
        return
    model.train()
    first, second = (_activations(model, collator([rows[i] for i in range(count)])) for count in sizes)
    model.eval()
    per_row = max(0.0, (second - first) / (sizes[1] - sizes[0]))
    fixed = max(0.0, first - sizes[0] * per_row)
    needed = weights + _ADAM_BYTES * trained + fixed + per_row * batch_size
    available = free_memory()
    too_much = needed > 0.9 * available
    yield Finding(
        "memory",
        "warning" if too_much else "note",
        f"A step of {batch_size} rows needs about {_gigabytes(needed)} in float32: {_gigabytes(weights)} weights, "
        f"{_gigabytes(_ADAM_BYTES * trained)} gradients and moments, {_gigabytes(per_row * batch_size)} activations "
        f"({per_row / 2**20:.1f} MiB a row); {_gigabytes(available)} are free.",
        "Lower training.per_device_train_batch_size and raise gradient_accumulation_steps, freeze a tower, or set "
        "training.bf16."
        if too_much
        else "",
    )


def free_memory() -> int:
    """Bytes that are free on the accelerator, or without one in the machine."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def _activations(model: Any, batch: Any) -> float:  # noqa: ANN401 (of a run)
    """Bytes that autograd keeps of one step's forward; each storage counts once, weights do not."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # so that no address is given out twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(**{name: x.to(model.device) if hasattr(x, "to") else x for name, x in batch.items()})
        del output
    return float(sum(kept.values()))


__all__ = ["check_memory", "check_versions", "free_memory"]
