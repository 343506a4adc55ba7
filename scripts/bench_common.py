# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: timing in turns, and telling what it was measured on."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import timm
import torch
import transformers

import hf_multimodal
from hf_multimodal.export.parity import processor_name

WARM_UP = 3


def timed(step: Callable[[], Any]) -> float:
    """Returns the seconds of one call, with what it left running on an accelerator."""
    started = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def take_turns(steps: dict[str, Callable[[], None]], rounds: int) -> list[dict[str, float]]:
    """Returns the seconds of every step in each round; a round starts with another step each time."""
    names, results = list(steps), []
    for index in range(-WARM_UP, rounds):
        start = index % len(names)
        seconds = {name: timed(steps[name]) for name in names[start:] + names[:start]}
        if index >= 0:
            results.append(seconds)
    return results


def spread(values: list[float]) -> dict[str, float]:
    """Returns median and quartiles."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def describe_machine(device: torch.device) -> dict[str, str]:
    """Names what the numbers were measured on."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else processor_name()
    libraries = {library.__name__: library.__version__ for library in (hf_multimodal, torch, transformers, timm)}
    threads = str(torch.get_num_threads())
    return {"device": name, "threads": threads, "python": platform.python_version(), **libraries}


def header(result: Mapping[str, Any]) -> list[str]:
    """Writes settings and machine, a line each."""
    return [", ".join(f"{key} {value}" for key, value in result[part].items()) for part in ("settings", "machine")]
