# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Per-row predictions on disk."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from hf_multimodal.data.labels import LabelSchema, TaskSchemas
from hf_multimodal.evaluation.predictions import write_predictions


def test_single_label(tmp_path):
    file = write_predictions(
        tmp_path / "new",
        row_ids=["a", "b"],
        logits=np.array([[0.0, math.log(3)], [0.0, 0.0]]),
        schema=LabelSchema("single_label_classification", ("no", "yes")),
        references=np.array([1, 1]),
    )
    table = pq.read_table(file).to_pydict()
    assert table["row_id"] == ["a", "b"]
    assert table["prediction"] == ["yes", "no"]
    assert table["reference"] == ["yes", "yes"]
    assert table["scores"] == [pytest.approx([0.25, 0.75]), pytest.approx([0.5, 0.5])]
    assert [path.name for path in file.parent.iterdir()] == [file.name]  # nothing half-written is left


def test_multi_label_and_regression(tmp_path):
    logits = np.array([[1.0, -1.0]])
    kinds = {"multi_label_classification": [["a"]], "regression": [[1.0, -1.0]]}
    for kind, expected in kinds.items():
        file = write_predictions(tmp_path / kind, row_ids=[0], logits=logits, schema=LabelSchema(kind, ("a", "b")))
        assert pq.read_table(file)["prediction"].to_pylist() == expected


def test_scored_answers(tmp_path):
    file = write_predictions(
        tmp_path,
        row_ids=[0],
        logits=np.array([[0.0, -1.0, 2.0]]),
        schema=LabelSchema("scored_answers", ("a", "b", "c")),
        references=np.array([[0.5, 0.0, 1.0]]),
    )
    table = pq.read_table(file).to_pydict()
    assert table["prediction"] == ["c"]
    assert table["reference"] == [{"answer": ["a", "c"], "score": [0.5, 1.0]}]
    assert table["scores"][0][0] == pytest.approx(0.5)


def test_tasks_of_which_rows_lack_some(tmp_path):
    kind = LabelSchema("single_label_classification", ("a", "b"))
    file = write_predictions(
        tmp_path,
        row_ids=[0, 1],
        logits={"kind": np.array([[1.0, 0.0], [0.0, 1.0]]), "price": np.array([[2.5], [3.5]])},
        schema=TaskSchemas({"kind": kind, "price": LabelSchema("regression", ("price",))}),
        references={"kind": np.array([-100, 0]), "price": np.array([2.0, math.nan])},
    )
    table = pq.read_table(file)
    assert table["kind_prediction"].to_pylist() == ["a", "b"]
    assert table["kind_reference"].to_pylist() == [None, "a"]
    assert table["price_prediction"].to_pylist() == [2.5, 3.5]
    assert table["price_reference"].to_pylist() == [2.0, None]
    assert json.loads(table.schema.metadata[b"tasks"])["kind"]["labels"] == ["a", "b"]
