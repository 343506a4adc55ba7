# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows with series and table columns, and several label columns: how columns are named, bundled and read."""

import math

import datasets
import pytest
import torch

from hf_multimodal.data.collator import MultimodalCollator, RowError, check_rows
from hf_multimodal.data.columns import flatten_columns, is_empty, source_name
from hf_multimodal.data.label_inference import column_values
from hf_multimodal.data.labels import LabelError, LabelSchema, TaskSchemas, check_labels, labels_from_config
from hf_multimodal.data.loading import load_rows
from hf_multimodal.modeling.configuration_multimodal import MultimodalConfig
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.modeling.series_processing_multimodal import MultimodalSeriesProcessor, fit_series

PEOPLE = [
    {"age": 20, "fare": 7.5, "sex": "m", "port": 0, "note": "a", "survived": "yes", "cabins": 1.0},
    {"age": None, "fare": 10.0, "sex": "f", "port": -1, "note": "b", "survived": None, "cabins": None},
    {"age": 40, "fare": None, "sex": None, "port": 1, "note": "c", "survived": "no", "cabins": 2.0},
    {"age": None, "fare": None, "sex": None, "port": -1, "note": "d", "survived": "no", "cabins": 2.0},
]
TABLE = {"series": ["age", "fare", "sex", "port"], "text": "note"}
LABELS = {"label": {"alive": "survived", "rooms": "cabins"}}


def people():
    rows = datasets.Dataset.from_list(PEOPLE)
    return rows.cast_column("port", datasets.ClassLabel(names=["Cork", "Cherbourg"]))


def collator(cells, columns, schema=None, **options):
    fitted = fit_series(cells, **options)
    return MultimodalCollator(
        MultimodalProcessor(series_feature_extractor=MultimodalSeriesProcessor(**fitted)), schema, columns
    )


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", ["dataset", "csv"])
def test_columns_of_a_table_become_one(form, streaming, tmp_path):
    source = people()
    if form == "csv":
        source.to_csv(tmp_path / "rows.csv")
        source = tmp_path / "rows.csv"
    rows = load_rows(source, split=None, columns=TABLE, streaming=streaming)
    cells = [row["series"] for row in rows]
    ports = ["Cork", None, "Cherbourg", None] if form == "dataset" else [0, -1, 1, -1]  # a csv keeps no class names
    assert cells == [
        {"age": 20, "fare": 7.5, "sex": "m", "port": ports[0]},
        {"age": None, "fare": 10.0, "sex": "f", "port": ports[1]},
        {"age": 40, "fare": None, "sex": None, "port": ports[2]},
        {"age": None, "fare": None, "sex": None, "port": ports[3]},
    ]


def test_a_row_of_nothing_is_absent():
    rows = load_rows(people(), split=None, columns=TABLE)
    made = collator(column_values(rows, "series"), TABLE)
    made.processor.tokenizer = None
    assert made.read_row(rows[1], 1)["series"] is not None
    with pytest.raises(RowError, match="Row 3 has nothing in any of its columns 'age, fare, sex, port'"):
        made.read_row(rows[3], 3)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_column_of_sequences(streaming):
    traces = [[[0.0, 1.0], [2.0, None]], [[1.0, 1.0]], None]
    rows = load_rows([{"trace": x} for x in traces], split=None, columns={"series": "trace"}, streaming=streaming)
    cells = [row["series"] for row in rows]
    assert cells == traces
    batch = collator(cells, {"series": "trace"})([{"series": x} for x in cells[:2]])
    assert batch["series_mask"].tolist() == [[[1, 1], [1, 0]], [[1, 1], [0, 0]]]
    assert batch["modality_mask"].tolist() == [[True], [True]]


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ([[math.nan, math.nan]], r"Row 'r1', column 'trace': nothing in the series is known"),
        ([[1.0, 2.0, 3.0]], r"Row 'r1', column 'trace': the series is of shape \(1, 3\), but wants .* 2 channels"),
        ([[1.0], [2.0, 3.0]], r"Row 'r1', column 'trace': .* its lists are of different lengths"),
        ([[1.0, math.inf]], r"Row 'r1', column 'trace': the series holds infinite values"),
    ],
)
def test_bad_series_are_named(trace, message):
    columns = {"series": "trace", "id": "name"}
    rows = load_rows(
        [{"trace": [[1.0, 2.0]], "name": "r0"}, {"trace": trace, "name": "r1"}], split=None, columns=columns
    )
    with pytest.raises(RowError, match=message):
        check_rows(rows, collator([[[1.0, 2.0]]], columns))


@pytest.mark.parametrize(
    ("cell", "empty"),
    [
        ({"bytes": None, "path": None}, True),
        ({"array": None, "path": None, "sampling_rate": 16000}, True),
        ({"bytes": b"", "path": None}, False),
        ({"age": None, "fare": None}, True),
        ({"sampling_rate": 44100.0, "age": None}, False),  # a column of a table that has this name
        (None, False),
        ("", False),
    ],
)
def test_structures_of_nothing(cell, empty):
    assert is_empty(cell) is empty


def test_names_of_columns():
    columns = {"text": "note", **LABELS, "series": ["age", "fare"], "id": None}
    assert flatten_columns(columns) == {
        "text": "note",
        "label.alive": "survived",
        "label.rooms": "cabins",
        "series.age": "age",
        "series.fare": "fare",
    }
    assert source_name(columns, "series") == "age, fare"
    assert source_name(columns, "label.alive") == "survived"
    assert source_name(None, "text") == "text"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["note", "sex"]}, r"columns.text is \['note', 'sex'\]: it is the name of one column"),
        ({"series": ["age", "fair"]}, "There is no column 'fair'. Did you mean 'fare'"),
        ({"series": ["age"], "label": {"x": "age"}}, "Column 'age' is named more than once"),
        ({"series": "age", "series.b": "fare"}, "columns maps both series and parts of it"),
        ({"text.a": "note"}, "Unknown column name 'text.a'"),
        ({"series": []}, r"columns.series is \[\]: name a column, or leave it out"),
    ],
)
def test_columns_that_cannot_be(columns, message):
    with pytest.raises(ValueError, match=message):
        load_rows(people(), split=None, columns=columns)


ALIVE = LabelSchema("single_label_classification", ("no", "yes"))
SCHEMAS = TaskSchemas({"alive": ALIVE, "rooms": LabelSchema("regression", ("cabins",))})


def test_labels_of_several_tasks_may_be_missing():
    columns = {**TABLE, **LABELS}
    rows = load_rows(people(), split=None, columns=columns)
    check_labels(rows, SCHEMAS, columns=columns)
    batch = collator(column_values(rows, "series"), columns, SCHEMAS)([rows[i] for i in range(3)])
    assert batch["labels"]["alive"].tolist() == [1, -100, 0]
    torch.testing.assert_close(batch["labels"]["rooms"], torch.tensor([1.0, math.nan, 2.0]), equal_nan=True)


def test_several_labels_or_targets_that_are_missing():
    marks = LabelSchema("multi_label_classification", ("x", "y"))
    schemas = TaskSchemas({"marks": marks, "place": LabelSchema("regression", ("left", "top"))})
    rows = [{"series": [1.0], "label.marks": ["y"], "label.place": None}]
    rows += [{"series": [2.0], "label.marks": None, "label.place": [1.0, 2.0]}]
    labels = collator([[1.0], [2.0]], None, schemas)(rows)["labels"]
    nan = math.nan
    torch.testing.assert_close(labels["marks"], torch.tensor([[0.0, 1.0], [nan, nan]]), equal_nan=True)
    torch.testing.assert_close(labels["place"], torch.tensor([[nan, nan], [1.0, 2.0]]), equal_nan=True)


def test_a_batch_has_every_task_or_none():
    """Batches of rows that name different tasks can be put together."""
    both = collator([[1.0]], None, SCHEMAS)([{"series": [1.0], "label.alive": "yes"}])["labels"]
    assert both["alive"].tolist() == [1]
    assert both["rooms"].isnan().tolist() == [True]


def test_a_task_that_nobody_declared():
    with pytest.raises(ValueError, match="Unknown task 'alvie'. Did you mean 'alive'\\? Known: alive, rooms"):
        collator([[1.0]], None, SCHEMAS)([{"series": [1.0], "label.alvie": "yes"}])


def test_whole_numbers_with_gaps_are_classes_where_one_says_so():
    rows = datasets.Dataset.from_dict({"label.kind": [1.0, None, 3.0]})
    schema = LabelSchema.from_dataset(rows, column="label.kind", problem_type="single_label_classification")
    assert schema.names == ("1", "3")
    assert TaskSchemas({"kind": schema}).encode("kind", 3.0, row=0, column="kind") == 1
    assert TaskSchemas({"kind": schema}).encode("kind", float("nan"), row=0, column="kind") is None


def test_nothing_is_written_beside_the_source(tmp_path):
    people().save_to_disk(tmp_path / "set")
    before = sorted(tmp_path.rglob("*"))
    rows = load_rows(datasets.load_from_disk(tmp_path / "set"), split=None, columns=TABLE)
    assert rows[0]["series"]["age"] == 20
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_without_labels_make_a_batch_without():
    assert "labels" not in collator([[1.0]], None, SCHEMAS)([{"series": [1.0]}])


@pytest.mark.parametrize("check", ["whole column", "batch"])
def test_a_label_outside_the_known_set(check):
    columns = {**TABLE, **LABELS, "id": "note"}
    source = [{**row, "survived": "perhaps" if row["note"] == "b" else row["survived"]} for row in PEOPLE]
    rows = load_rows(source, split=None, columns={**columns, "text": None})
    message = "Row 'b', column 'survived': 'perhaps' is not one of the labels"
    if check == "whole column":
        with pytest.raises(LabelError, match=message):
            check_labels(rows, SCHEMAS, columns=columns)
    else:
        with pytest.raises(RowError, match=message):
            collator(column_values(rows, "series"), columns, SCHEMAS)([rows[0], rows[1]])


def test_labels_of_a_saved_configuration():
    config = MultimodalConfig(tasks=SCHEMAS.tasks)
    assert labels_from_config(config) == SCHEMAS
    assert isinstance(labels_from_config(MultimodalConfig()), LabelSchema)
