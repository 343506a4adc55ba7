#!/usr/bin/env python
# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmark of training on several processes: how much of the ideal speed is reached at equal global batch."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import typer
from bench_common import describe_machine, header, spread
from bench_steps import StepTimer, build_batch, build_model, our_trainer

TOWERS = "small"


def train_share(batch_size: int, steps: int, seed: int) -> float:
    """Trains as one of the launched processes, and returns the median seconds of its steps."""
    torch.manual_seed(seed)
    batch = build_batch(TOWERS, batch_size, torch.device("cpu"))
    timer = StepTimer()
    model = build_model(TOWERS, "cross_attention", torch.device("cpu"))
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    with tempfile.TemporaryDirectory() as folder:
        our_trainer(model, folder, batch, steps * processes, timer, stall_timeout=0).train()
    return timer.median()


def launch(processes: int, batch_size: int, steps: int, seed: int) -> float:
    """Launches processes that share a batch out, and returns the median seconds of their steps."""
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    several = ["--multi_gpu"] if processes > 1 else []
    command = [sys.executable, "-m", "accelerate.commands.launch", *several, "--num_processes", str(processes)]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "seconds.json"
        own = [str(Path(__file__)), str(batch_size // processes), str(steps), str(seed), str(answer)]
        done = subprocess.run(
            [*command, "--main_process_port", "0", *own], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{processes} processes failed: {done.stderr[-2000:]}")
        return json.loads(answer.read_text())


def scale(
    processes: int = typer.Option(2, min=2, help="Processes that are compared with one."),
    batch_size: int = typer.Option(64, min=2, help="Rows in a batch of all processes together."),
    steps: int = typer.Option(12, min=6, help="Steps of a training."),
    rounds: int = typer.Option(3, min=2, help="Trainings of each kind, in turns."),
    seed: int = typer.Option(0, help="Seed of weights and rows."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures training on several processes against one at equal global batch, each process on one thread."""
    seconds: dict[int, list[float]] = {1: [], processes: []}
    for _ in range(rounds):
        for count, measured in seconds.items():
            measured.append(launch(count, batch_size, steps, seed))
    efficiency = [alone / (processes * shared) for alone, shared in zip(*seconds.values(), strict=True)]
    result: dict[str, Any] = {
        "settings": {"processes": processes, "batch_size": batch_size, "steps": steps, "rounds": rounds, "seed": seed},
        "machine": describe_machine(torch.device("cpu")),
        "milliseconds": {str(count): spread([1000 * x for x in values]) for count, values in seconds.items()},
        "efficiency": spread(efficiency),
    }
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    lines = [
        f"  {count} process(es): {times['median']:.0f} ms a step" for count, times in result["milliseconds"].items()
    ]
    found = result["efficiency"]
    lines.append(
        f"  {found['median']:.2f} of the ideal speed ({found['low']:.2f} to {found['high']:.2f}; aim 0.85, where there "
        "is a core for each)"
    )
    typer.echo("\n".join([*header(result), *lines]))


def main(batch_size: int, steps: int, seed: int, answer: Path) -> None:
    """Trains as a launched process; the first one writes its seconds."""
    seconds = train_share(batch_size, steps, seed)
    if int(os.environ.get("RANK", "0")) == 0:
        answer.write_text(json.dumps(seconds))


__all__ = ["launch", "scale", "train_share"]

if __name__ == "__main__":
    typer.run(main)
