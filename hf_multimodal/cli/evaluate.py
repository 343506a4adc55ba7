# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal evaluate`: a saved model on rows with labels."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[str, typer.Argument(help="Folder (or Hub id) of a saved model.")],
    source: Annotated[
        str | None, typer.Option(help="Rows: folder, file, Hub id or 'scenes'; the run's own by default.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the source; by default the run's test split, or the only one.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Column mapping, as text=question; the run's own by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write metrics.json and predictions.parquet to.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows per device and step.")] = 64,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier evaluation in the folder.")
    ] = False,
) -> None:
    """Evaluate a saved model: prints the metrics, and with --output writes them and every row's prediction."""
    from accelerate import PartialState

    from hf_multimodal.cli.train import format_metrics
    from hf_multimodal.evaluation.predictions import refuse_existing
    from hf_multimodal.training.inference import RowSource, evaluate_model

    if output is not None and PartialState().is_main_process and not overwrite:
        refuse_existing(output)
    PartialState().wait_for_everyone()
    rows = RowSource.for_model(model, source=source, split=split, columns=column)
    metrics = evaluate_model(model, rows, output=output, batch_size=batch_size)
    if PartialState().is_main_process:
        typer.echo(format_metrics({rows.split or "rows": metrics}))


__all__ = ["evaluate"]
