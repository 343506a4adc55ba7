# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a bundle says of rows: of one, or of a whole table."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from hf_multimodal.data.columns import ROW_ID, Columns, is_empty, source_name
from hf_multimodal.data.labels import TaskSchemas, labels_from_config
from hf_multimodal.evaluation.predictions import METRICS, write_predictions
from hf_multimodal.evaluation.text_page import TEXT_PAGE
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.prediction.predictor import MultimodalPredictor
from hf_multimodal.prediction.rows import InputError
from hf_multimodal.training.generation import write_text_predictions
from hf_multimodal.training.row_source import RowSource


def answer_row(
    predictor: MultimodalPredictor,
    row: Mapping[str, Any],
    *,
    top_k: int | None = None,
    **options: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 (described below)
    """Answers one row, as the pipelines of models do.

    Args:
        predictor: A model or bundle that predicts or writes.
        row: Modality -> a text, a file (`Path`), a series.
        top_k: How many labels; None = all.
        **options: Of `generate`.

    Returns:
        Labels with scores, of several tasks a mapping to them; of one that writes `[{"generated_text"}]`.

    Raises:
        ValueError: if a file cannot be read, the row is not usable, or the model is for retrieval.
    """
    _check_answers(predictor)
    for modality in row:
        check_known("modality of this model", modality, predictor.modalities)
    given = dict(row)
    for modality, value in row.items():
        if isinstance(value, Path):
            try:
                given[modality] = value.read_bytes()
            except OSError as error:
                raise ValueError(f"The {modality} {str(value)!r} cannot be read ({error}).") from error
    opened = predictor.open(given)
    if predictor.kind == "generation":
        return [{"generated_text": predictor.generate([opened], **options)[0]}]
    return predictor.labels(predictor.compute([opened])[0], top_k)


def answer_rows(
    predictor: MultimodalPredictor,
    rows: RowSource,
    *,
    output: Path,
    batch_size: int = 64,
    **options: Any,  # noqa: ANN401 (of `generate`)
) -> int:
    """Writes `predictions.parquet` for rows that need no labels, and returns how many there are.

    It holds what `predict_rows` or `predict_texts` write of the model, without the weights of its fusion.

    Args:
        predictor: A model or bundle that predicts or writes.
        rows: The rows.
        output: Folder of the predictions.
        batch_size: Rows at a time.
        **options: Of `generate`.

    Raises:
        ValueError: if a row is not usable, or the model is for retrieval.
    """
    _check_answers(predictor)
    dataset = rows.load(with_labels=False)
    options = {**options, "num_return_sequences": 1}
    told: list[Any] = []
    for opened in open_rows(predictor, dataset, batch_size, rows.columns):
        told += predictor.generate(opened, **options) if predictor.kind == "generation" else predictor.compute(opened)
    if predictor.kind == "generation":
        write_text_predictions(output, dataset, told, None)
    else:
        schema = labels_from_config(predictor.config)
        names = list(schema.schemas) if isinstance(schema, TaskSchemas) else [""]
        logits = {name: np.stack([one[name] for one in told]) for name in names}
        several = logits if isinstance(schema, TaskSchemas) else logits[""]
        write_predictions(output, row_ids=dataset[ROW_ID], logits=several, schema=schema)
    for stale in (METRICS, TEXT_PAGE):  # of other predictions, overwritten now
        (output / stale).unlink(missing_ok=True)
    return len(told)


def open_rows(
    predictor: MultimodalPredictor, dataset: datasets.Dataset, size: int, columns: Columns | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Opens the rows of a dataset, some at a time.

    Args:
        predictor: Whose rows they become.
        dataset: Modality -> column; of several texts of a row the first one counts.
        size: Rows at a time.
        columns: The user's own names of the columns, for errors.

    Raises:
        InputError: naming the row and the column.
    """
    for start in range(0, len(dataset), size):
        numbers = range(start, min(start + size, len(dataset)))
        yield [_opened_row(predictor, dataset[number], columns) for number in numbers]


def _opened_row(predictor: MultimodalPredictor, row: Mapping[str, Any], columns: Columns | None) -> dict[str, Any]:
    cells: dict[str, Any] = {m: row.get(m) for m in predictor.modalities}
    if isinstance(cells.get("text"), list):
        cells["text"] = next(iter(cells["text"]), None)
    try:
        return predictor.open({m: None if is_empty(x) else x for m, x in cells.items()})
    except InputError as error:
        column = f", column {source_name(columns, error.modality)!r}" if error.modality else ""
        raise InputError(f"Row {row.get(ROW_ID)!r}{column}: {error}", error.modality) from error


def _check_answers(predictor: MultimodalPredictor) -> None:
    if predictor.kind == "retrieval":
        raise ValueError(f"{predictor.name} is for retrieval, and predicts no labels: search an index with it.")


__all__ = ["answer_row", "answer_rows", "open_rows"]
