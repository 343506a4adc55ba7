# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal doctor`: what is wrong with rows and configuration, before anything is trained."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Any field of it, as key=value.")] = None,
    output: Annotated[Path | None, typer.Option(help="File to write all findings to, as JSON.")] = None,
    fix: Annotated[
        Path | None, typer.Option(help="New folder for a copy without the rows that have errors or stand twice.")
    ] = None,
) -> None:
    """Examine rows and configuration of a run.

    The exit code is 1 if there are errors: training would fail, or its numbers would be wrong.
    """
    from hf_multimodal.training.run_config import RunConfig

    run_config = RunConfig.load(config, overrides or ())

    from hf_multimodal.doctor.checkup import examine, overrides_for, save_findings, write_cleaned
    from hf_multimodal.doctor.findings import format_findings

    examination = examine(run_config)
    typer.echo(format_findings(examination.findings))
    if output is not None:
        save_findings(examination, output)
    if fix is not None:
        counts = write_cleaned(run_config, examination, fix)
        left = ", ".join(f"{count:,} {role}" for role, count in counts.items())
        changed = " ".join(f"'{x}'" for x in overrides_for(run_config, fix))
        typer.echo(f"{len(examination.dropped):,} rows left out; {left} rows in {fix}: {changed}")
    if examination.has_errors:
        raise typer.Exit(1)


__all__ = ["doctor"]
