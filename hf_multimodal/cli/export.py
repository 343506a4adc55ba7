# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal export`: a saved model as a smaller, faster bundle, with a report of what was lost."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hf_multimodal.cli.options import Column, Model, Overwrite, Source, Split


def export(
    model: Model,
    output: Annotated[Path, typer.Option(help="Folder of the bundle.")],
    to: Annotated[str, typer.Option(help="What runs it: onnx or openvino.")] = "onnx",
    int8: Annotated[bool, typer.Option("--int8", help="Weights of a quarter of the size, and faster.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Weights of half the size.")] = False,
    source: Source = None,
    split: Split = None,
    column: Column = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many rows to compare on; all by default.")] = None,
    max_lost: Annotated[float, typer.Option(min=0, help="Points of the metric that may be lost.")] = 0.5,
    max_difference: Annotated[
        float | None, typer.Option(min=0, help="Largest difference of a logit; 0.001 of fp32, else not looked at.")
    ] = None,
    min_agreement: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of the rows with the same answer.")
    ] = 0.97,
    overwrite: Overwrite = False,
) -> None:
    """Export a model to graphs, and compare the bundle with it on its run's validation rows (or --source).

    Where the bundle lost more than it may, nothing is written and the command fails.
    """
    from hf_multimodal.export.parity import Thresholds, report_markdown
    from hf_multimodal.export.run import export_model
    from hf_multimodal.training.row_source import RowSource

    if int8 and fp16:
        raise ValueError("Give --int8 or --fp16, not both.")
    precision = "int8" if int8 else "fp16" if fp16 else "fp32"
    if max_difference is None and precision == "fp32":
        max_difference = 1e-3
    rows = RowSource.for_model(model, source=source, split=split or (None if source else "validation"), columns=column)
    report = export_model(
        model,
        output,
        rows,
        runtime=to,
        precision=precision,
        thresholds=Thresholds(max_lost, max_difference, min_agreement),
        limit=limit,
        calibration=_training_rows(model) if to == "openvino" and int8 else None,
        overwrite=overwrite,
    )
    typer.echo(report_markdown(report))
    typer.echo(f"Bundle in {output}")


def _training_rows(model: str) -> Any:  # noqa: ANN401 (a RowSource)
    """The rows that OpenVINO's int8 is calibrated on: those of the run's training, never those it is judged by."""
    from hf_multimodal.training.row_source import RowSource

    try:
        return RowSource.for_model(model, source=None, split="train", columns=None)
    except ValueError as error:
        raise ValueError(f"OpenVINO's int8 is calibrated on the run's training rows. {error}") from error


__all__ = ["export"]
