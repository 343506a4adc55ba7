# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal predict`: one row from the command line, or a whole table."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hf_multimodal.cli.options import (
    BatchSize,
    Column,
    Model,
    NumBeams,
    NumSamples,
    Overwrite,
    Source,
    Split,
    check_results_folder,
)


def predict(
    model: Model,
    text: Annotated[str | None, typer.Option(help="Text of one row.")] = None,
    image: Annotated[Path | None, typer.Option(help="Image file of one row.")] = None,
    audio: Annotated[Path | None, typer.Option(help="Sound file of one row.")] = None,
    video: Annotated[Path | None, typer.Option(help="Clip of one row.")] = None,
    series: Annotated[
        str | None, typer.Option(help='Series or table row, as JSON: [[step, …], …] or {"column": value, …}.')
    ] = None,
    source: Source = None,
    split: Split = None,
    column: Column = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write predictions.parquet to.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Labels shown for one row.")] = 5,
    batch_size: BatchSize = 64,
    num_beams: NumBeams = 1,
    num_samples: NumSamples = 0,
    overwrite: Overwrite = False,
) -> None:
    """Predict one row (--text, --image, …), printed as JSON, or many (--source) into parquet (--output)."""
    row = one_row(text=text, image=image, audio=audio, video=video, series=series)
    modalities = "--text, --image, --audio, --video, --series"
    writing: dict[str, Any] = {"num_beams": num_beams, "num_samples": num_samples}
    if source is None:
        if not row:
            raise ValueError(f"Nothing to predict: give {modalities} for one row, or --source for many.")
        typer.echo(json.dumps(_predict_one(model, row, top_k, writing), indent=2))
        return
    if row:
        raise ValueError(f"Give --source for many rows, or {modalities} for one, not both.")
    if output is None:
        raise ValueError("Say where the predictions go: --output FOLDER.")
    from accelerate import PartialState

    from hf_multimodal.training.inference import RowSource

    check_results_folder(output, overwrite)
    rows = RowSource.for_model(model, source=source, split=split, columns=column)
    count = _predict_many(model, rows, output, batch_size, writing)
    if PartialState().is_main_process:
        typer.echo(f"Predicted {count} rows into {output / 'predictions.parquet'}")


def _predict_one(model: str, row: dict[str, Any], top_k: int, writing: dict[str, Any]) -> Any:  # noqa: ANN401 (for JSON)
    from hf_multimodal.training.inference import kind_of_model, predict_row
    from hf_multimodal.training.output_folder import is_bundle

    if is_bundle(model):
        from hf_multimodal.prediction.bundle_rows import answer_row

        return answer_row(_open_bundle(model, writing), row, top_k=top_k, num_beams=writing["num_beams"])
    if kind_of_model(model) == "generation":
        from hf_multimodal.training.generation import predict_text

        return predict_text(model, row, **writing)
    return predict_row(model, row, top_k=top_k)


def _predict_many(model: str, rows: Any, output: Path, batch_size: int, writing: dict[str, Any]) -> int:  # noqa: ANN401
    from hf_multimodal.training.inference import kind_of_model, predict_rows
    from hf_multimodal.training.output_folder import is_bundle

    where: dict[str, Any] = {"output": output, "batch_size": batch_size}
    if is_bundle(model):
        from hf_multimodal.prediction.bundle_rows import answer_rows

        return answer_rows(_open_bundle(model, writing), rows, **where, num_beams=writing["num_beams"])
    if kind_of_model(model) == "generation":
        from hf_multimodal.training.generation import predict_texts

        return predict_texts(model, rows, **where, **writing)
    return predict_rows(model, rows, **where)


def _open_bundle(bundle: str, writing: dict[str, Any]) -> Any:  # noqa: ANN401 (a GraphPredictor)
    """Opens a bundle, which does not choose among drawn texts, on one process."""
    from hf_multimodal.prediction.load import open_predictor
    from hf_multimodal.prediction.rows import OWN_ROWS
    from hf_multimodal.training.inference import process_state

    if writing["num_samples"]:
        raise ValueError("A bundle does not choose among drawn texts: leave --num-samples out, or give the model.")
    if process_state().num_processes > 1:
        raise ValueError("A bundle predicts on one process: start hf-multimodal without a launcher.")
    return open_predictor(bundle, limits=OWN_ROWS)


def one_row(
    *, text: str | None, image: Path | None, audio: Path | None, video: Path | None, series: str | None
) -> dict[str, Any]:
    """What was given of one row on the command line: modality -> value."""
    given = {"text": text, "image": image, "audio": audio, "video": video, "series": _parse_series(series)}
    return {modality: value for modality, value in given.items() if value is not None}


def _parse_series(text: str | None) -> Any:  # noqa: ANN401 (lists or a mapping)
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f'Cannot read --series {text!r} as JSON ({error}): write [[1.0, 2.0], [1.5, null]] or {{"age": 31}}.'
        ) from error


__all__ = ["one_row", "predict"]
