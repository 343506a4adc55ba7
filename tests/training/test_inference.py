# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved model on rows: evaluation, predictions, missing rates, and rows it cannot read."""

import json

import evaluate
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from hf_multimodal.evaluation.evaluator import MultimodalEvaluator
from hf_multimodal.evaluation.label_metrics import load_metric
from hf_multimodal.training.inference import (
    RowSource,
    evaluate_model,
    measure_missing_rates,
    predict_row,
    predict_rows,
)
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.training.tiny_run import tiny_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return train(RunConfig.from_dict(tiny_run(folder)))


def test_evaluation_of_the_saved_model_gives_the_same_metrics(finished, tmp_path):
    rows = RowSource.for_model(str(finished.folder), source=None, split="test", columns=None)
    metrics = evaluate_model(str(finished.folder), rows, output=tmp_path, batch_size=7)
    assert metrics["accuracy"] == finished.metrics["test"]["accuracy"]
    assert metrics["loss"] == pytest.approx(finished.metrics["test"]["loss"], abs=1e-5)
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert table["row_id"] == [f"test-{i:06d}" for i in range(20)]
    right = [p == r for p, r in zip(table["prediction"], table["reference"], strict=True)]
    assert sum(right) / len(right) == metrics["accuracy"]


def test_the_report_beside_the_metrics(finished, tmp_path):
    rows = RowSource.for_model(str(finished.folder), source=None, split="test", columns=None)
    metrics = evaluate_model(str(finished.folder), rows, output=tmp_path, slices=["template"])
    page = (tmp_path / "report.html").read_text()
    assert "By template" in page
    assert "Training" in page  # the run's curves
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert table["modalities"] == [["text", "image"]] * 20
    truth = [r == "true" for r in table["reference"]]
    assert metrics["roc_auc"] == pytest.approx(roc_auc_score(truth, [x[1] for x in table["scores"]]), abs=1e-6)


def test_the_evaluator(finished):
    options = {"columns": {"text": "statement", "image": "image", "label": "label"}, "split": "test", "num_rows": 20}
    evaluator, folder = MultimodalEvaluator(), str(finished.folder)
    result = evaluator.compute(folder, "scenes", **options)
    assert result["accuracy"] == finished.metrics["test"]["accuracy"]
    combined = evaluate.combine([load_metric("accuracy"), load_metric("ece")])
    result = evaluator.compute(folder, "scenes", metric=combined, **options)
    assert result["accuracy"] == finished.metrics["test"]["accuracy"]
    assert 0 <= result["ece"] <= 1
    result = evaluator.compute(folder, "scenes", strategy="bootstrap", n_resamples=20, random_state=0, **options)
    with pytest.raises(ValueError, match="bootstrap takes metrics of decisions only"):
        evaluator.compute(folder, "scenes", metric="roc_auc", strategy="bootstrap", **options)
    low, high = result["accuracy"]["confidence_interval"]
    assert low <= result["accuracy"]["score"] <= high


def test_the_evaluator_takes_the_head_of_question_answering(tmp_path):
    result = train(RunConfig.from_dict(tiny_run(tmp_path / "run", task="question_answering")))
    columns = {"text": "statement", "image": "image", "label": "label"}
    evaluator = MultimodalEvaluator()
    scores = evaluator.compute(
        str(result.folder), "scenes", columns=columns, split="test", num_rows=20, metric="average_precision"
    )
    assert scores["average_precision"] == pytest.approx(
        evaluate_model(
            str(result.folder), RowSource.for_model(str(result.folder), source=None, split="test", columns=None)
        )["average_precision"]
    )


def test_evaluation_takes_the_rows_the_run_took(tmp_path):
    values = tiny_run(tmp_path / "run")
    values["data"]["limit"] = {"test": 9}
    result = train(RunConfig.from_dict(values))
    rows = RowSource.for_model(str(result.folder), source=None, split=None, columns=None)
    metrics = evaluate_model(str(result.folder), rows, output=tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / "predictions.parquet").num_rows == result.sizes["test"] == 9
    assert metrics["loss"] == pytest.approx(result.metrics["test"]["loss"], abs=1e-5)
    asked = RowSource.for_model(str(result.folder), source="scenes", split=None, columns=None)
    assert len(asked.load(with_labels=True)) == 20


def test_missing_rates(finished, tmp_path):
    rows = RowSource.for_model(str(finished.folder), source=None, split="test", columns=None)
    curves = measure_missing_rates(str(finished.folder), rows, modalities=["image"], output=tmp_path)
    assert list(curves) == ["image"]
    assert list(curves["image"]) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert curves["image"][0.0]["loss"] == pytest.approx(finished.metrics["test"]["loss"], abs=1e-5)
    without = RowSource.for_model(str(finished.folder), source=None, split="test", columns=["image="])
    alone = evaluate_model(str(finished.folder), without)
    assert curves["image"][1.0]["loss"] == pytest.approx(alone["loss"], abs=1e-5)
    saved = json.loads((tmp_path / "missing_rates.json").read_text())
    assert [point["rate"] for point in saved["image"]] == list(curves["image"])
    with pytest.raises(ValueError, match="Unknown modality of this model 'audio'"):
        measure_missing_rates(str(finished.folder), rows, modalities=["audio"])


def test_new_predictions_leave_no_metrics_of_others(finished, tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    rows = RowSource.for_model(str(finished.folder), source=None, split="test", columns=None)
    predict_rows(str(finished.folder), rows, output=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]


def test_prediction_without_labels(finished, tmp_path):
    (tmp_path / "rows.csv").write_text("statement\nthe circle is red\nthere is a star\n")
    rows = RowSource.for_model(
        str(finished.folder), source=str(tmp_path / "rows.csv"), split=None, columns=["image=", "id="]
    )
    assert predict_rows(str(finished.folder), rows, output=tmp_path / "out") == 2
    assert set(pq.read_table(tmp_path / "out" / "predictions.parquet").column_names) == {
        "row_id",
        "prediction",
        "scores",
    }


def test_prediction_of_one_row(finished, tmp_path):
    Image.new("RGB", (20, 30)).save(tmp_path / "x.png")
    answer = predict_row(str(finished.folder), {"text": "the circle is red", "image": tmp_path / "x.png"}, top_k=2)
    assert {entry["label"] for entry in answer} == {"false", "true"}
    assert sum(entry["score"] for entry in answer) == pytest.approx(1)
    assert predict_row(str(finished.folder), {"text": "the circle is red"}, top_k=1)


def test_a_mistyped_model_folder_is_named():
    with pytest.raises(ValueError, match="There is no folder './runs/tpyo'"):
        predict_row("./runs/tpyo", {"text": "a"})


def test_labels_unknown_to_the_model_are_named_by_row(finished, tmp_path):
    (tmp_path / "rows.csv").write_text("statement,label\nthe circle is red,true\nthere is a star,maybe\n")
    rows = RowSource.for_model(
        str(finished.folder), source=str(tmp_path / "rows.csv"), split="train", columns=["image=", "id="]
    )
    with pytest.raises(ValueError, match=r"Row 1, column 'label': .*maybe"):
        evaluate_model(str(finished.folder), rows)


def test_a_folder_without_a_run_needs_source_and_columns(tmp_path):
    with pytest.raises(ValueError, match="give --source and one --column"):
        RowSource.for_model(str(tmp_path), source=None, split="test", columns=None)
    with pytest.raises(ValueError, match="Cannot read --column 'text'"):
        RowSource.for_model(str(tmp_path), source="x", split="test", columns=["text"])


@pytest.mark.parametrize("fusion", ["weighted", "decision"])
def test_weights_of_the_modalities_are_among_the_predictions(fusion, tmp_path):
    values = tiny_run(tmp_path / "run")
    values["model"]["fusion"] = fusion
    result = train(RunConfig.from_dict(values))
    rows = RowSource.for_model(str(result.folder), source=None, split="test", columns=None)
    metrics = evaluate_model(str(result.folder), rows, output=tmp_path / "out", batch_size=6)
    assert metrics["accuracy"] == result.metrics["test"]["accuracy"]
    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pydict()
    sums = [text + image for text, image in zip(table["weight_text"], table["weight_image"], strict=True)]
    assert sums == [pytest.approx(1.0)] * 20
    if fusion == "weighted":  # each row has its own
        assert len({round(weight, 6) for weight in table["weight_text"]}) > 1
