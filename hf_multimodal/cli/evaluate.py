# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal evaluate`: a saved model on rows with labels."""

from pathlib import Path
from typing import Annotated

import typer

from hf_multimodal.cli.options import BatchSize, Column, Model, Overwrite, Source, Split, check_results_folder


def evaluate(
    model: Model,
    source: Source = None,
    split: Split = None,
    column: Column = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write metrics.json and predictions.parquet to.")
    ] = None,
    batch_size: BatchSize = 64,
    overwrite: Overwrite = False,
) -> None:
    """Evaluate a saved model: prints the metrics, and with --output writes them and every row's prediction."""
    from accelerate import PartialState

    from hf_multimodal.cli.train import format_metrics
    from hf_multimodal.training.inference import RowSource, evaluate_model

    if output is not None:
        check_results_folder(output, overwrite)
    rows = RowSource.for_model(model, source=source, split=split, columns=column)
    metrics = evaluate_model(model, rows, output=output, batch_size=batch_size)
    if PartialState().is_main_process:
        typer.echo(format_metrics({rows.split or "rows": metrics}))


__all__ = ["evaluate"]
