# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal compare`: is multimodal worth it?"""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Any field of it, as key=value.")] = None,
    output: Annotated[
        Path, typer.Option(help="Folder for the runs and the report; called again, it goes on where it was stopped.")
    ] = Path("runs/comparison"),
    fusion: Annotated[list[str] | None, typer.Option(help="A fusion to train; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="A seed; may be repeated. By default 0, 1 and 2.")] = None,
    split: Annotated[str, typer.Option(help="Role of the rows that are scored.")] = "test",
) -> None:
    """Train each modality alone, all columns as text, and each fusion on the same rows; say what to ship."""
    from hf_multimodal.training.run_config import RunConfig

    run_config = RunConfig.load(config, overrides or ())

    from accelerate import PartialState

    from hf_multimodal.comparison.compare import PAGE, comparison_table
    from hf_multimodal.comparison.compare import compare as run_comparison

    fusions = fusion or ["cross_attention", "concat"]
    result = run_comparison(run_config, output, fusions=fusions, seeds=seed or (0, 1, 2), split=split)
    if PartialState().is_main_process:
        typer.echo(comparison_table(result))
        typer.echo(f"\nWritten to {output / PAGE}")


__all__ = ["compare"]
