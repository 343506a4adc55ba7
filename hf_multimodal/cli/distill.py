# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal distill`: a smaller model that says what a larger one does."""

from pathlib import Path
from typing import Annotated

import typer

from hf_multimodal.cli.options import Overwrite


def distill(
    teacher: Annotated[str, typer.Argument(help="Folder (or Hub id) of the model to learn from.")],
    config: Annotated[Path, typer.Argument(help="YAML file of the smaller model's run, on the same labels.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Fields of the run, as key=value; distillation.temperature=4, …")
    ] = None,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the output folder.")] = False,
) -> None:
    """Train a smaller model on what a larger one says of each row, and compare the two on the validation rows.

    On several processes: accelerate launch scripts/train.py CONFIG distillation.teacher=TEACHER
    """
    from hf_multimodal.export.parity import report_markdown
    from hf_multimodal.export.run import compare_models
    from hf_multimodal.training.row_source import RowSource
    from hf_multimodal.training.run import train
    from hf_multimodal.training.run_config import RunConfig

    run = RunConfig.load(config, [f"distillation.teacher={teacher}", *(overrides or ())])
    result = train(run, overwrite=overwrite, resume=resume)
    role = "validation" if "validation" in result.sizes else "test"
    rows = RowSource.for_model(str(result.folder), source=None, split=role, columns=None)
    typer.echo(report_markdown(compare_models(teacher, str(result.folder), rows)))
    typer.echo(f"Saved to {result.folder}")


__all__ = ["distill"]
