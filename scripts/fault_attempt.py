#!/usr/bin/env python
# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""One attempt at a training that `scripts/faults` spoils: it dies, hangs or runs out of disk where it is told to."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from hf_multimodal.cli.main import run_verb
from hf_multimodal.training import checkpoints, run
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.trainer import MultimodalTrainer

FILLER = "filler"
BATCHES = "batches"  # what each process trained on: lines of step and row ids


def die() -> None:
    """Ends this process as the kernel does when memory runs out: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk(folder: Path) -> None:
    """Writes to a disk until nothing more goes in."""
    with (folder / FILLER).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def before(owner: Any, name: str, happens: Callable[[Any], None]) -> None:  # noqa: ANN401 (a class or a module)
    """Has something happen before a function is called; it gets the function's first argument."""
    original = getattr(owner, name)

    def spoiled(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (any function)
        happens(args[0] if args else None)
        return original(*args, **kwargs)

    setattr(owner, name, spoiled)


def plan(fault: dict[str, Any], output: Path) -> None:
    """Arranges for the fault to happen.

    Args:
        fault: `kind`, the step `at` which it happens, and the `rank` it happens to.
        output: The run's folder.
    """
    kind, at = fault["kind"], fault.get("at", 0)
    if int(os.environ.get("RANK", "0")) != fault.get("rank", 0):
        return
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")):  # once is enough
        return
    known: list[Any] = []  # the trainer, once it trains

    def remember(trainer: Any) -> None:  # noqa: ANN401 (a MultimodalTrainer)
        known[:] = [trainer]

    before(MultimodalTrainer, "train", remember)

    def at_step(happens: Callable[[], None]) -> Callable[[Any], None]:
        return lambda _: happens() if known and known[0].state.global_step >= at else None

    def saving(_: Any) -> None:  # noqa: ANN401 (unused)
        if known and known[0].state.global_step >= at and known[0]._writes_to is not None:
            die()

    places: dict[str, tuple[Any, str, Callable[[Any], None]]] = {
        "step": (MultimodalTrainer, "training_step", at_step(die)),
        "evaluation": (MultimodalTrainer, "prediction_step", at_step(die)),
        "save: weights written": (MultimodalTrainer, "_save_optimizer_and_scheduler", saving),
        "save: optimizer written": (MultimodalTrainer, "_save_rng_state", saving),
        "save: all written": (checkpoints, "seal_checkpoint", at_step(die)),
        "save: sealed": (checkpoints, "publish_checkpoint", at_step(die)),
        "save: older ones not deleted": (checkpoints, "prune_checkpoints", at_step(die)),
        "final model": (run, "flush_folder", at_step(die)),
        "hang": (MultimodalTrainer, "training_step", at_step(lambda: time.sleep(10_000))),
        "disk full": (MultimodalTrainer, "training_step", at_step(lambda: fill_disk(output.parent))),
    }
    before(*places[kind])


def note_batches(output: Path) -> None:
    """Has every process write down what it trains on, in a file beside the run's folder."""
    file = output.parent / f"{output.name}-{BATCHES}-{os.environ.get('RANK', '0')}"
    original = MultimodalTrainer.training_step

    def noted(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (as it is called)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps([self.state.global_step, inputs["row_ids"]]) + "\n")
        return original(self, model, inputs, *args, **kwargs)

    MultimodalTrainer.training_step = noted  # type: ignore[method-assign]


def attempt(config: Path, *, resume: bool = False, fault: str | None = None) -> None:
    """Trains, and meets the fault.

    Args:
        config: The run's YAML file.
        resume: Whether it goes on from a checkpoint.
        fault: What happens, as JSON; see `plan`.
    """
    loaded = RunConfig.load(config)
    note_batches(Path(loaded.output_dir))
    if fault is not None:
        plan(json.loads(fault), Path(loaded.output_dir))
    run.train(loaded, resume=resume)


def attempt_as_child(config: str, resume: bool, fault: str | None, environment: Mapping[str, str], log: str) -> None:
    """Makes an attempt in this process, forked from one that has imported everything.

    Args:
        config: As of `attempt`.
        resume: As of `attempt`.
        fault: As of `attempt`.
        environment: Variables of the environment, such as a launcher sets them.
        log: File that takes what is printed.
    """
    os.environ.update(environment)
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    multiprocessing.set_start_method("fork", force=True)  # of a loader's workers, which end with their parent
    attempt(Path(config), resume=resume, fault=fault)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(attempt)
    run_verb(app)
