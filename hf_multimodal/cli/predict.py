# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal predict`: one row from the command line, or a whole table."""

import json
from pathlib import Path
from typing import Annotated

import typer


def predict(
    model: Annotated[str, typer.Argument(help="Folder (or Hub id) of a saved model.")],
    text: Annotated[str | None, typer.Option(help="Text of one row.")] = None,
    image: Annotated[Path | None, typer.Option(help="Image file of one row.")] = None,
    source: Annotated[str | None, typer.Option(help="Rows instead: folder, file, Hub id or 'scenes'.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the source; by default the run's test split, or the only one.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Column mapping, as text=question; the run's own by default.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write predictions.parquet to.")] = None,
    top_k: Annotated[int, typer.Option(help="Labels shown for one row.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Rows per device and step.")] = 64,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier predictions in the folder.")] = False,
) -> None:
    """Predict one row (--text, --image), printed as JSON, or many rows (--source) into a parquet file (--output)."""
    if source is None:
        if text is None and image is None:
            raise ValueError("Nothing to predict: give --text and/or --image for one row, or --source for many.")
        from hf_multimodal.training.inference import predict_row

        typer.echo(json.dumps(predict_row(model, text=text, image=image, top_k=top_k), indent=2))
        return
    if text is not None or image is not None:
        raise ValueError("Give --source for many rows, or --text and --image for one, not both.")
    if output is None:
        raise ValueError("Say where the predictions go: --output FOLDER.")
    from accelerate import PartialState

    from hf_multimodal.evaluation.predictions import refuse_existing
    from hf_multimodal.training.inference import RowSource, predict_rows

    if PartialState().is_main_process and not overwrite:
        refuse_existing(output)
    PartialState().wait_for_everyone()
    rows = RowSource.for_model(model, source=source, split=split, columns=column)
    count = predict_rows(model, rows, output=output, batch_size=batch_size)
    if PartialState().is_main_process:
        typer.echo(f"Predicted {count} rows into {output / 'predictions.parquet'}")


__all__ = ["predict"]
