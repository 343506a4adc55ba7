# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal predict`: one row from the command line, or a whole table."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hf_multimodal.cli.options import BatchSize, Column, Model, Overwrite, Source, Split, check_results_folder


def predict(
    model: Model,
    text: Annotated[str | None, typer.Option(help="Text of one row.")] = None,
    image: Annotated[Path | None, typer.Option(help="Image file of one row.")] = None,
    audio: Annotated[Path | None, typer.Option(help="Sound file of one row.")] = None,
    source: Source = None,
    split: Split = None,
    column: Column = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write predictions.parquet to.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Labels shown for one row.")] = 5,
    batch_size: BatchSize = 64,
    overwrite: Overwrite = False,
) -> None:
    """Predict one row (--text, --image, --audio), printed as JSON, or many (--source) into parquet (--output)."""
    if source is None:
        if text is None and image is None and audio is None:
            raise ValueError("Nothing to predict: give --text, --image, --audio for one row, or --source for many.")
        from hf_multimodal.training.inference import predict_row

        typer.echo(json.dumps(predict_row(model, text=text, image=image, audio=audio, top_k=top_k), indent=2))
        return
    if text is not None or image is not None or audio is not None:
        raise ValueError("Give --source for many rows, or --text, --image, --audio for one, not both.")
    if output is None:
        raise ValueError("Say where the predictions go: --output FOLDER.")
    from accelerate import PartialState

    from hf_multimodal.training.inference import RowSource, predict_rows

    check_results_folder(output, overwrite)
    rows = RowSource.for_model(model, source=source, split=split, columns=column)
    count = predict_rows(model, rows, output=output, batch_size=batch_size)
    if PartialState().is_main_process:
        typer.echo(f"Predicted {count} rows into {output / 'predictions.parquet'}")


__all__ = ["predict"]
