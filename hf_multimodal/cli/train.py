# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal train`: one YAML file, from rows to a saved model."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Any field of it, as key=value: training.learning_rate=1e-4 model.fusion=concat."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier run in the output folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier run in the output folder.")] = False,
) -> None:
    """Train a model described by a YAML file; evaluates it and saves model, processor, card and metrics.

    On several processes: accelerate launch scripts/train.py CONFIG.yaml [key=value ...].
    """
    from hf_multimodal.training.run_config import RunConfig

    run_config = RunConfig.load(config, overrides or ())

    from accelerate import PartialState

    from hf_multimodal.training.run import train as run_training

    result = run_training(run_config, overwrite=overwrite, resume=resume)
    if PartialState().is_main_process:
        typer.echo(format_metrics(result.metrics))
        typer.echo(f"Saved to {result.folder}")


def format_metrics(metrics: dict[str, dict[str, float]]) -> str:
    """Writes split -> metric -> value as an aligned table, times and speeds left out."""
    rows = [
        (split, name, f"{value:.4f}")
        for split, values in metrics.items()
        if split != "training"
        for name, value in values.items()
        if not name.endswith(("runtime", "per_second", "preparation_time")) and name != "epoch"
    ]
    if not rows:
        return "There is no validation or test split to evaluate on."
    rows.insert(0, ("split", "metric", "value"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


__all__ = ["format_metrics", "train"]
