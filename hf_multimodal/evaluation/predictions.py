# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Per-row predictions on disk."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_multimodal.data.labels import LabelSchema, TaskSchemas
from hf_multimodal.data.whole_files import whole_file
from hf_multimodal.evaluation.metrics import known_labels, predictions_from_logits

PREDICTIONS = "predictions.parquet"
METRICS = "metrics.json"


def metrics_json(metrics: Any) -> str:  # noqa: ANN401 (numbers in mappings and lists)
    """Writes metrics as JSON, with null where there is no number (a task without labels)."""

    def known(value: Any) -> Any:  # noqa: ANN401 (as above)
        if isinstance(value, Mapping):
            return {key: known(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [known(inner) for inner in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(known(metrics), indent=2) + "\n"


def scores_from_logits(logits: np.ndarray, problem_type: str) -> np.ndarray:
    """Probabilities per label, (rows, labels); the values themselves for regression."""
    logits = np.asarray(logits, dtype=np.float64)
    if problem_type == "regression":
        return logits
    if problem_type in ("multi_label_classification", "scored_answers"):
        return 1 / (1 + np.exp(-logits))
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def write_predictions(
    folder: Path,
    *,
    row_ids: Sequence[str | int],
    logits: Any,  # noqa: ANN401 (described below)
    schema: LabelSchema | TaskSchemas,
    references: Any = None,  # noqa: ANN401 (described below)
    weights: Mapping[str, np.ndarray] | None = None,
    present: Sequence[Sequence[str]] | None = None,
) -> Path:
    """Writes one line per row: id, prediction, a score per label, and the reference where there is one.

    Args:
        folder: Where `predictions.parquet` goes, whole or not at all.
        row_ids: One id per row.
        logits: (rows, labels); of several tasks a mapping of task to them, and the columns are named `TASK_prediction`
            and so on.
        schema: What the labels are.
        references: Labels as the collator made them.
        weights: Modality -> its weight in each row, of the fusions that have any: columns `weight_MODALITY`.
        present: Each row's modalities: the column `modalities`.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Sequence] = {"row_id": [str(x) for x in row_ids]}
    if isinstance(schema, LabelSchema):
        columns.update(_columns(logits, schema, references))
        metadata = {"labels": "\n".join(schema.names), "problem_type": schema.problem_type}
    else:
        for task, own in schema.schemas.items():
            made = _columns(logits[task], own, (references or {}).get(task))
            columns.update({f"{task}_{name}": values for name, values in made.items()})
        metadata = {"tasks": json.dumps(schema.tasks)}
    columns.update({f"weight_{modality}": values.tolist() for modality, values in (weights or {}).items()})
    if present is not None:
        columns["modalities"] = present
    table = pa.table(columns).replace_schema_metadata(metadata)
    target = folder / PREDICTIONS
    with whole_file(target) as partial:
        pq.write_table(table, partial)
    return target


def _columns(logits: np.ndarray, schema: LabelSchema, references: np.ndarray | None) -> dict[str, list]:
    names, problem_type = schema.names, schema.problem_type
    logits = np.asarray(logits)
    columns = {"prediction": _named(predictions_from_logits(logits, problem_type), names, problem_type)}
    if references is not None:
        columns["reference"] = _named(np.asarray(references), names, problem_type, is_reference=True)
    return {**columns, "scores": scores_from_logits(logits, problem_type).tolist()}


def _named(values: np.ndarray, names: Sequence[str], problem_type: str, is_reference: bool = False) -> list:
    if problem_type == "scored_answers" and is_reference:
        return [{"answer": [names[int(i)] for i in np.flatnonzero(x)], "score": x[x > 0].tolist()} for x in values]
    if is_reference and not (known := known_labels(values)).all():  # rows without a label of this task
        filled = iter(_named(values[known], names, problem_type, is_reference=True))
        return [next(filled) if is_known else None for is_known in known]
    if problem_type in ("single_label_classification", "scored_answers"):
        return [names[i] for i in values]
    if problem_type == "multi_label_classification":
        return [[name for name, on in zip(names, row, strict=True) if on] for row in values]
    return values.tolist()


__all__ = ["METRICS", "PREDICTIONS", "metrics_json", "scores_from_logits", "write_predictions"]
