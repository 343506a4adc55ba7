# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A whole run over text, clips and table columns towards several tasks, of which rows lack labels and parts."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from hf_multimodal.cli.main import app
from hf_multimodal.modeling.modeling_tasks import MultimodalForMultiTask
from hf_multimodal.modeling.video_opening import encode_video
from hf_multimodal.training.inference import (
    RowSource,
    evaluate_model,
    measure_missing_rates,
    predict_row,
    predict_rows,
)
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import tiny_clips
from tests.training.tiny_run import NUM_TASK_ROWS, make_task_rows, task_run


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for seed, split in enumerate(("train", "validation", "test")):
        pq.write_table(pa.Table.from_pylist(make_task_rows(seed)), folder / f"{split}.parquet")
    return folder


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory):
    return train(RunConfig.from_dict(task_run(tmp_path_factory.mktemp("runs") / "tasks", source)))


def test_what_a_run_of_tasks_leaves_behind(finished):
    model = MultimodalForMultiTask.from_pretrained(finished.folder)
    assert finished.labels == tuple(model.config.tasks) == ("level", "marks", "price")
    assert model.config.tasks["level"] == {"problem_type": "single_label_classification", "labels": ["high", "low"]}
    assert (model.config.num_frames, model.config.category_sizes) == (2, [2])
    names = {"loss", "level_accuracy", "level_f1", "marks_accuracy", "marks_f1", "price_mse"}
    assert names <= set(finished.metrics["test"])
    assert all(math.isfinite(finished.metrics["test"][name]) for name in names)
    card = (finished.folder / "README.md").read_text()
    assert '"series": {"speed": ' in card
    assert '"brand": "x"}' in card
    assert "price (`regression`), 1 labels: price" in card
    assert "| split | loss | level_accuracy | level_f1 |" in card
    header = yaml.safe_load(card.split("---")[1])
    results = header["model-index"][0]["results"][0]["metrics"]
    assert {"type": "mse", "value": round(finished.metrics["test"]["price_mse"], 4)}.items() <= next(
        x for x in results if x["name"] == "mean squared error of price"
    ).items()


def test_evaluation_and_predictions(finished, tmp_path):
    rows = RowSource.for_model(str(finished.folder), source=None, split="test", columns=None)
    metrics = evaluate_model(str(finished.folder), rows, output=tmp_path / "all", batch_size=5)
    for name in ("level_accuracy", "marks_f1", "price_mse"):
        assert metrics[name] == pytest.approx(finished.metrics["test"][name], rel=1e-4)
    table = pq.read_table(tmp_path / "all" / "predictions.parquet").to_pydict()
    assert table["row_id"] == [f"row {index}" for index in range(NUM_TASK_ROWS)]
    expected = make_task_rows(2)
    assert table["level_reference"] == [row["level"] for row in expected]
    assert table["marks_reference"] == [row["marks"] for row in expected]
    known = [i for i, row in enumerate(expected) if row["level"]]
    right = sum(table["level_prediction"][i] == expected[i]["level"] for i in known)
    assert metrics["level_accuracy"] == pytest.approx(right / len(known))
    errors = [(p - row["price"]) ** 2 for p, row in zip(table["price_prediction"], expected, strict=True)]
    assert metrics["price_mse"] == pytest.approx(sum(x for x in errors if not math.isnan(x)) / 20, rel=1e-4)
    assert predict_rows(str(finished.folder), rows, output=tmp_path / "new") == NUM_TASK_ROWS
    again = pq.read_table(tmp_path / "new" / "predictions.parquet").to_pydict()
    assert again["level_prediction"] == table["level_prediction"]
    assert "level_reference" not in again


def test_some_tasks_of_other_rows(finished, source):
    columns = ["label.marks=", "label.price="]
    rows = RowSource.for_model(str(finished.folder), source=None, split="test", columns=columns)
    metrics = evaluate_model(str(finished.folder), rows)
    assert metrics["level_accuracy"] == finished.metrics["test"]["level_accuracy"]
    assert math.isnan(metrics["price_mse"])
    columns = ["label.level=", "label.leevl=level"]
    rows = RowSource.for_model(str(finished.folder), source=None, split="test", columns=columns)
    with pytest.raises(
        ValueError, match="Unknown label column of this model 'label.leevl'. Did you mean 'label.level'"
    ):
        evaluate_model(str(finished.folder), rows)


def test_missing_rates_of_tasks(finished, tmp_path):
    rows = RowSource.for_model(str(finished.folder), source=None, split="test", columns=None)
    curves = measure_missing_rates(str(finished.folder), rows, modalities=["series"], output=tmp_path)
    assert set(curves["series"][1.0]) == {
        "level_accuracy",
        "level_f1",
        "marks_accuracy",
        "marks_f1",
        "price_mse",
        "loss",
    }
    assert (tmp_path / "missing_rates.png").is_file()


def test_one_row(finished, tmp_path):
    (tmp_path / "film.png").write_bytes(encode_video(tiny_clips((3,))[0]))
    row = {"text": "a low note", "video": tmp_path / "film.png", "series": {"speed": -2.0, "brand": "x"}}
    answer = predict_row(str(finished.folder), row)
    assert {name: {x["label"] for x in found} for name, found in answer.items()} == {
        "level": {"low", "high"},
        "marks": {"a", "b"},
        "price": {"price"},
    }
    with pytest.raises(ValueError, match="Unknown modality of this model 'audio'"):
        predict_row(str(finished.folder), {"audio": "a.wav"})
    arguments = ["predict", str(finished.folder), "--series", '{"speed": -2.0}', "--video", str(tmp_path / "film.png")]
    output = CliRunner().invoke(app, arguments)
    assert output.exit_code == 0, output.output
    assert set(json.loads(output.stdout)) == {"level", "marks", "price"}
    failed = CliRunner().invoke(app, ["predict", str(finished.folder), "--series", "{speed"])
    assert isinstance(failed.exception, ValueError)
    assert "Cannot read --series '{speed' as JSON" in str(failed.exception)


def test_a_series_of_nothing_known_is_named(source, tmp_path):
    run = task_run(tmp_path / "run", source)
    rows = make_task_rows(0)
    rows[3].update(speed=math.nan, brand=None)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    run["data"]["source"] = str(tmp_path)
    with pytest.raises(ValueError, match=r"Row 'row 3', column 'speed, brand': nothing in the series is known"):
        train(RunConfig.from_dict(run))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "classification"}, "for several tasks set task: multi_task"),
        ({"task": "multitask"}, "Unknown task 'multitask'. Did you mean 'multi_task'"),
        ({"data.columns.label": "level"}, "task: multi_task takes a mapping of task to column"),
        ({"data.problem_type": {"leevl": "regression"}}, "Unknown key data.problem_type.leevl. Did you mean 'level'"),
        ({"data.problem_type": {"level": "regression"}}, "column 'label.level'|column 'level'"),
        ({"model.task_weights": {"leevl": 1.0}}, "Unknown task in task_weights 'leevl'. Did you mean 'level'"),
        ({"model.tasks": {}}, "model.tasks follows from the data"),
        ({"training.label_smoothing_factor": 0.1}, "knows one task only: set model.label_smoothing"),
        ({"model.class_weights": [1.0, 2.0]}, "of several tasks it maps each task to its weights"),
        ({"training.metric_for_best_model": "accuracy"}, "Unknown metric in training.metric_for_best_model 'accuracy'"),
        ({"towers.series.preprocessing": {"lenght": 3}}, "Unknown key towers.series.preprocessing.lenght"),
        ({"data.columns.series": ["speed", "brnd"]}, "There is no column 'brnd'. Did you mean 'brand'"),
    ],
)
def test_mistakes_leave_nothing_behind(source, tmp_path, change, message):
    run = task_run(tmp_path / "run", source)
    for path, value in change.items():
        *parents, last = path.split(".")
        inner = run
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict(run))
    assert not (tmp_path / "run").exists()
