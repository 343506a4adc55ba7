# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A whole run, from YAML values to a folder that loads anywhere; and the mistakes that must leave nothing behind."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from transformers import AutoProcessor

from hf_multimodal.training.inference import (
    RowSource,
    evaluate_model,
    predict_row,
    predict_rows,
)
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.fake_hub import note_uploads
from tests.training.tiny_run import tiny_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return train(RunConfig.from_dict(tiny_run(folder)))


def test_what_a_run_leaves_behind(finished):
    names = {path.name for path in finished.folder.iterdir()}
    assert {"model.safetensors", "config.json", "processor_config.json", "metrics.json", "run_config.yaml"} <= names
    assert "README.md" in names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]  # nothing pickled
    assert json.loads((finished.folder / "metrics.json").read_text()) == finished.metrics
    assert {"loss", "accuracy", "f1"} <= set(finished.metrics["test"])
    assert finished.labels == ("false", "true")
    assert finished.sizes == {"train": 20, "validation": 20, "test": 20}


def test_a_run_is_pushed_whole_but_for_its_checkpoints(tmp_path, monkeypatch):
    uploads = note_uploads(monkeypatch, "you/run")
    values = tiny_run(tmp_path / "run", card={"license": "mit"})
    values["training"] |= {"push_to_hub": True, "hub_model_id": "you/run"}
    train(RunConfig.from_dict(values))
    assert {x["repo_id"] for x in uploads} == {"you/run"}
    assert uploads[-1]["folder_path"] == tmp_path / "run"  # the others are checkpoints, while training
    assert uploads[-1]["ignore_patterns"] == ["checkpoints/*"]
    card = (tmp_path / "run" / "README.md").read_text()
    assert "license: mit" in card
    assert "[`run_config.yaml`](run_config.yaml)" in card
    assert str(tmp_path) not in card


def test_resume_and_overwrite(tmp_path):
    values = tiny_run(tmp_path / "run")
    first = train(RunConfig.from_dict(values))
    with pytest.raises(ValueError, match="holds another run"):
        train(RunConfig.from_dict(values))
    values["training"]["num_train_epochs"] = 2
    resumed = train(RunConfig.from_dict(values), resume=True)
    assert resumed.metrics["training"]["steps"] == 2 * first.metrics["training"]["steps"]
    again = train(RunConfig.from_dict(tiny_run(tmp_path / "run")), overwrite=True)
    assert again.metrics["test"]["loss"] == first.metrics["test"]["loss"]  # same seed, same numbers


def test_only_the_same_run_is_resumed(tmp_path):
    values = tiny_run(tmp_path / "run")
    train(RunConfig.from_dict(values))
    before = (tmp_path / "run" / "run_config.yaml").read_text()
    other = {**values, "model": {**values["model"], "fusion": "concat"}}
    other["data"] = {**values["data"], "limit": {"train": 8}}
    with pytest.raises(ValueError, match=r"Cannot resume.*model, data differ"):
        train(RunConfig.from_dict(other), resume=True)
    assert (tmp_path / "run" / "run_config.yaml").read_text() == before


def test_a_mistake_after_an_earlier_run_leaves_that_run_alone(finished):
    values = tiny_run(finished.folder)
    values["training"] |= {"eval_strategy": "no", "load_best_model_at_end": True}  # contradict each other
    with pytest.raises(ValueError, match="load_best_model_at_end"):
        train(RunConfig.from_dict(values), overwrite=True)
    assert (finished.folder / "model.safetensors").is_file()


def test_an_unreadable_image_is_named_before_anything_is_written(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    (tmp_path / "rows.csv").write_text("text,photo,label\na,good.png,x\nb,bad.png,y\n")
    columns = {"text": "text", "image": "photo", "label": "label"}
    data = {"source": str(tmp_path / "rows.csv"), "columns": columns, "splits": {"train": "train"}}
    with pytest.raises(ValueError, match=r"Row 1, column 'photo'"):
        train(RunConfig.from_dict(tiny_run(tmp_path / "run", data=data)))
    assert not (tmp_path / "run").exists()


def test_the_longest_text_is_saved_with_the_processor(tmp_path):
    values = tiny_run(tmp_path / "run")
    values["data"]["max_length"] = 4
    result = train(RunConfig.from_dict(values))
    assert AutoProcessor.from_pretrained(result.folder)(text="the star is red")["input_ids"][0].__len__() == 4


def test_one_file_is_enough(tmp_path, monkeypatch):
    """Only train is there; the file's name could be a Hub id's; new rows without ids; the run seen from elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("caption,kind,id\na,x,1\nb,y,2\nc,x,3\n")
    data = {"source": "rows.csv", "columns": {"text": "caption", "label": "kind", "id": "id"}}
    values = tiny_run(tmp_path / "run", data=data)
    values["towers"]["image"] = None
    assert set(train(RunConfig.from_dict(values)).sizes) == {"train"}
    (tmp_path / "new.csv").write_text("caption\nd\n")
    new = RowSource.for_model(str(tmp_path / "run"), source=str(tmp_path / "new.csv"), split=None, columns=None)
    assert predict_rows(str(tmp_path / "run"), new, output=tmp_path / "out") == 1
    (tmp_path / "other.csv").write_text("title\nd\n")
    other = RowSource.for_model(str(tmp_path / "run"), source=str(tmp_path / "other.csv"), split=None, columns=None)
    with pytest.raises(ValueError, match="no column 'caption'.*--column text=YOUR_COLUMN"):
        other.load(with_labels=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    own = RowSource.for_model(str(tmp_path / "run"), source=None, split="train", columns=None)
    with pytest.raises(ValueError, match=r"There is no file or folder '\./rows\.csv'"):
        own.load(with_labels=True)


def test_splits_asked_for_must_be_there(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\na,x\nb,y\n")
    data = {"source": str(tmp_path / "rows.csv"), "columns": {"text": "text", "label": "label"}}
    values = tiny_run(tmp_path / "run", data={**data, "splits": {"train": "train", "test": "test"}})
    values["towers"]["image"] = None
    with pytest.raises(ValueError, match=r"no split 'test'.*data\.splits=\{train: NAME"):
        train(RunConfig.from_dict(values))


def test_questions_with_ten_answers_each(tmp_path):
    rows = [["red"] * 9 + ["pink"], ["blue"] * 5 + ["navy"] * 5, ["red"] * 2 + ["blue"] * 8, ["green"] * 10]
    table = pa.table({"question": ["what colour?"] * 4, "answers": rows})
    pq.write_table(table, tmp_path / "train.parquet")
    pq.write_table(table, tmp_path / "test.parquet")
    splits = {"train": "train", "test": "test"}
    data = {"source": str(tmp_path), "columns": {"text": "question", "label": "answers"}, "splits": splits}
    values = tiny_run(tmp_path / "run", task="question_answering", data={**data, "num_answers": 3})
    values["towers"]["image"] = None
    result = train(RunConfig.from_dict(values))
    assert result.labels == ("blue", "red", "navy")  # of equal ones the first met
    rows = RowSource.for_model(str(result.folder), source=None, split="test", columns=None)
    assert evaluate_model(str(result.folder), rows)["accuracy"] == result.metrics["test"]["accuracy"]
    answer = predict_row(str(result.folder), {"text": "what colour?"}, top_k=3)
    assert {entry["label"] for entry in answer} == {"red", "blue", "navy"}
    with pytest.raises(ValueError, match="use task: question_answering"):
        train(
            RunConfig.from_dict(
                {
                    **values,
                    "task": "classification",
                    "output_dir": str(tmp_path / "x"),
                    "data": {**values["data"], "problem_type": "scored_answers"},
                }
            )
        )


def test_regression_run(tmp_path):
    (tmp_path / "rows.csv").write_text("text,price\ncheap,1.5\ndear,9.5\nfair,5.0\nfree,0.0\n")
    values = tiny_run(
        tmp_path / "run",
        data={
            "source": str(tmp_path / "rows.csv"),
            "columns": {"text": "text", "label": "price"},
            "splits": {"train": "train"},
        },
    )
    values["towers"]["image"] = None
    result = train(RunConfig.from_dict(values))
    assert result.labels
    assert set(result.metrics) == {"training"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"hiden_size": 16}}, r"Unknown key model\.hiden_size\. Did you mean 'hidden_size'"),
        ({"training": {"lerning_rate": 1}}, r"Unknown key training\.lerning_rate\. Did you mean 'learning_rate'"),
        ({"model": {"problem_type": "regression"}}, r"model\.problem_type follows from the data"),
        ({"training": 5}, r"training holds 5: it is a section"),
        ({"training": {"learning_rate": "abc"}}, r"training\.learning_rate holds 'abc', which is str: it takes float"),
        ({"training": {"seed": True}}, r"training\.seed holds True, which is bool: it takes int"),
        ({"training": {"report_to": "foo"}}, r"foo"),
        ({"training": {"metric_for_best_model": "acc"}}, r"Unknown metric .*'acc'\. .*accuracy, f1, loss"),
        ({"model": {"hidden_act": "geluu"}}, r"Unknown hidden_act 'geluu'\. Did you mean 'gelu'"),
        ({"model": {"num_attention_heads": 0}}, r"num_attention_heads=0: it must be at least 1"),
        ({"training": {"output_dir": "x"}}, r"set the top-level output_dir"),
        ({"towers": {"txt": "bert"}}, r"Unknown key towers\.txt\. Did you mean 'text'"),
        ({"model": {"fusion": "cross"}}, r"Unknown fusion 'cross'.*cross_attention, merged_attention, .*concat"),
    ],
)
def test_mistakes_in_the_configuration_write_nothing(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict(tiny_run(tmp_path / "run", **change)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": "statment", "image": "image", "label": "label"}, r"no column 'statment'\. Did you mean 'statement'"),
        ({"image": "image", "label": "label"}, r"text tower has no column: set data\.columns\.text"),
        ({"text": "statement", "image": "image"}, r"data\.columns\.label is missing"),
    ],
)
def test_mistakes_in_the_columns_write_nothing(tmp_path, columns, message):
    values = tiny_run(tmp_path / "run")
    values["data"]["columns"] = columns
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict(values))
    assert not (tmp_path / "run").exists()
