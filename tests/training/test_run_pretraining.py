# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A run without labels, what it draws, and the way from it to a task; and the mistakes before it starts."""

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from hf_multimodal import MultimodalForPreTraining
from hf_multimodal.cli.main import app
from hf_multimodal.training.inference import load_model, predict_row
from hf_multimodal.training.pretraining import evaluate_pretraining
from hf_multimodal.training.row_source import RowSource
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.training.tiny_run import tiny_run


def pretraining_run(folder, **changes):
    values = tiny_run(folder, task="pretraining")
    values["data"]["columns"] = {"text": "captions", "image": "image", "id": "id", "item": "picture"}
    values["data"]["masking"] = {"text": 0.3, "image": 0.5, "whole_words": True}
    objectives = {"masked_language": 1, "contrastive": 0.5, "matching": 0.5, "reconstruction": 1}
    values["model"] = {**values["model"], "embedding_size": 8, "pretraining_objectives": objectives}
    return {**values, **changes}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(RunConfig.from_dict(pretraining_run(tmp_path_factory.mktemp("runs") / "tiny")))


def own_rows(finished):
    return RowSource.for_model(str(finished.folder), source=None, split="test", columns=None)


def test_what_a_run_leaves_behind(finished):
    assert finished.metrics["test"]["loss"] > 0
    assert 20 <= finished.sizes["train"] <= 30
    model, _ = load_model(str(finished.folder))
    assert type(model) is MultimodalForPreTraining
    card = (finished.folder / "README.md").read_text()
    assert "objectives" in card
    assert "start_from: tiny" in card


def test_evaluation_hides_the_same_every_time(finished, tmp_path):
    first = evaluate_pretraining(str(finished.folder), own_rows(finished), output=tmp_path)
    torch.manual_seed(9)
    again = evaluate_pretraining(str(finished.folder), own_rows(finished), batch_size=64)
    assert first["loss"] == again["loss"]
    sheet = Image.open(tmp_path / "reconstructions_image.png")
    assert sheet.height == 3 * 64 + 2 * 2  # the originals, what the model saw, what it drew
    assert sheet.width == 12 * 64 + 11 * 2


def test_from_pretraining_to_a_task(finished, tmp_path):
    values = tiny_run(tmp_path / "task", start_from=str(finished.folder))
    del values["towers"]
    values["model"] = {}
    values["training"] = {**values["training"], "learning_rate": 1e-9}  # so that what was kept is seen
    result = train(RunConfig.from_dict(values))
    before, after = (load_model(str(folder))[0].model.state_dict() for folder in (finished.folder, result.folder))
    floats = [name for name in before if "running" not in name and "num_batches" not in name]
    for name in floats:
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=1e-5)
    assert result.labels == ("false", "true")
    assert len(predict_row(str(result.folder), {"text": "a red square"})) == 2
    with pytest.raises(ValueError, match="is pretrained and has no labels"):
        predict_row(str(finished.folder), {"text": "a red square"})


def test_command_line(finished, tmp_path):
    result = CliRunner().invoke(app, ["evaluate", str(finished.folder), "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "reconstructions_image.png").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {}}, "task: pretraining needs objectives"),
        ({"model": {"pretraining_objectives": {"masked": 1}}}, "Unknown objective in pretraining_objectives 'masked'"),
        ({"task": "retrieval"}, "data.masking is for task: pretraining"),
        ({"start_from": "x"}, r"either towers or start_from \('x'\)"),
        ({"towers": {}}, "No tower given"),
    ],
)
def test_mistakes_in_the_configuration(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict(pretraining_run(tmp_path / "run", **changes)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("masking", "message"),
    [
        ({"video": 0.5}, "Nothing of 'video' can be hidden"),
        ({"image": 1.5}, "at least 0 and below 1"),
        ({"whole_words": 3}, "it is true or false"),
    ],
)
def test_mistakes_in_what_is_hidden(masking, message, tmp_path):
    values = pretraining_run(tmp_path / "run")
    values["data"]["masking"] = masking
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict(values))


def test_labels_have_no_place(tmp_path):
    values = pretraining_run(tmp_path / "run")
    values["data"]["columns"]["label"] = "label"
    with pytest.raises(ValueError, match="task: pretraining has no labels"):
        train(RunConfig.from_dict(values))


@pytest.mark.parametrize("task", ["classification", "multi_task", "question_answering", "retrieval"])
def test_from_any_model_to_any_task_the_head_is_new(task, finished, tmp_path):
    first = (
        finished.folder if task == "classification" else train(RunConfig.from_dict(tiny_run(tmp_path / "one"))).folder
    )
    values = tiny_run(tmp_path / "two", task=task, start_from=str(first), model={}, towers={})
    columns = values["data"]["columns"]
    if task == "multi_task":
        columns["label"] = {"truth": "label", "answer": "answer"}
    if task == "retrieval":
        del columns["label"]
    result = train(RunConfig.from_dict(values))
    model, _ = load_model(str(result.folder))
    assert model.config.pretraining_objectives is None
    assert (model.config.tasks is not None) is (task == "multi_task")
    old = load_model(str(first))[0].state_dict()
    heads = [name for name, x in model.state_dict().items() if name.startswith("head.") and "weight" in name]
    assert all(name not in old or not torch.equal(old[name], model.state_dict()[name]) for name in heads)


def test_another_fusion_cannot_go_on(finished, tmp_path):
    values = tiny_run(tmp_path / "task", start_from=str(finished.folder))
    del values["towers"]
    values["model"] = {"fusion": "merged_attention"}
    with pytest.raises(ValueError, match=r"other towers or another fusion than this run asks for: \d+ weights differ"):
        train(RunConfig.from_dict(values))
