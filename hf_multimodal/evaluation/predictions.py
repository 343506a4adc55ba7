# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Per-row predictions on disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_multimodal.evaluation.metrics import predictions_from_logits

PREDICTIONS = "predictions.parquet"
METRICS = "metrics.json"


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
    logits: np.ndarray,
    names: Sequence[str],
    problem_type: str,
    references: np.ndarray | None = None,
) -> Path:
    """Writes one line per row: id, prediction, a score per label, and the reference where there is one.

    Args:
        folder: Where `predictions.parquet` goes; written aside and renamed, so it is whole or absent.
        row_ids: One id per row.
        logits: (rows, labels).
        names: Label names in index order.
        problem_type: As in the model's configuration.
        references: Labels as the collator made them.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores = scores_from_logits(logits, problem_type)
    columns: dict[str, Sequence] = {"row_id": [str(x) for x in row_ids]}
    columns["prediction"] = _named(predictions_from_logits(np.asarray(logits), problem_type), names, problem_type)
    if references is not None:
        columns["reference"] = _named(np.asarray(references), names, problem_type, is_reference=True)
    columns["scores"] = scores.tolist()
    table = pa.table(columns).replace_schema_metadata({"labels": "\n".join(names), "problem_type": problem_type})
    partial, target = folder / f"{PREDICTIONS}.partial", folder / PREDICTIONS
    pq.write_table(table, partial)
    partial.replace(target)
    return target


def _named(values: np.ndarray, names: Sequence[str], problem_type: str, is_reference: bool = False) -> list:
    if problem_type == "scored_answers" and is_reference:
        return [{"answer": [names[int(i)] for i in np.flatnonzero(x)], "score": x[x > 0].tolist()} for x in values]
    if problem_type in ("single_label_classification", "scored_answers"):
        return [names[i] for i in values]
    if problem_type == "multi_label_classification":
        return [[name for name, on in zip(names, row, strict=True) if on] for row in values]
    return values.tolist()


__all__ = ["METRICS", "PREDICTIONS", "scores_from_logits", "write_predictions"]
