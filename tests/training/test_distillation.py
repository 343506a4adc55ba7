# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A student learns what its teacher says; the loss by hand; what is refused."""

import math

import pytest
import torch
from typer.testing import CliRunner

from hf_multimodal.cli.main import app
from hf_multimodal.data.columns import TEACHER_LOGITS
from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification
from hf_multimodal.training.distillation import distillation_loss
from hf_multimodal.training.run import _build_trainer, train
from hf_multimodal.training.run_config import RunConfig
from tests.training.tiny_run import tiny_run


def test_the_loss_by_hand():
    student, teacher = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, 0.0]])
    p = [1 / (1 + math.exp(-0.25)), 1 - 1 / (1 + math.exp(-0.25))]
    q = [1 / (1 + math.exp(-1.0)), 1 - 1 / (1 + math.exp(-1.0))]
    expected = 4 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    loss = distillation_loss(student, teacher, "single_label_classification", 2.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    for kind in ("single_label_classification", "multi_label_classification", "regression"):
        assert distillation_loss(teacher, teacher, kind, 3.0).item() == pytest.approx(0, abs=1e-6)
        assert distillation_loss(student, teacher, kind, 3.0).item() > 0
    assert distillation_loss(student, teacher, "regression", 1.0).item() == pytest.approx((0.25 + 1) / 2)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return train(RunConfig.from_dict(tiny_run(tmp_path_factory.mktemp("teacher") / "run"))).folder


def student_run(folder, teacher, **distillation):
    values = tiny_run(folder)
    values["distillation"] = {"teacher": str(teacher), **distillation}
    return values


def test_a_student_learns_from_labels_and_teacher(teacher, tmp_path):
    config = RunConfig.from_dict(student_run(tmp_path / "student", teacher, weight=0.7, temperature=3.0))
    built = _build_trainer(config, tmp_path / "student")
    rows = built.rows_of["train"]
    told = torch.tensor(rows[TEACHER_LOGITS])
    batch = built.trainer.data_collator([rows[i] for i in range(len(rows))])
    assert torch.equal(batch[TEACHER_LOGITS], told)
    inputs = {name: x for name, x in batch.items() if name not in (TEACHER_LOGITS, "labels", "row_ids")}
    loaded = MultimodalForClassification.from_pretrained(teacher).eval()
    torch.testing.assert_close(loaded(**inputs).logits, told, atol=1e-4, rtol=0)
    model = built.trainer.model.eval()
    with torch.no_grad():
        loss = built.trainer.compute_loss(model, {k: x for k, x in batch.items() if k != "row_ids"})
        logits = model(**inputs).logits
        hard = torch.nn.functional.cross_entropy(logits, batch["labels"])
    soft = distillation_loss(logits, told, "single_label_classification", 3.0)
    assert loss.item() == pytest.approx(0.3 * hard.item() + 0.7 * soft.item(), rel=1e-5)
    assert TEACHER_LOGITS not in built.rows_of["validation"].column_names


def test_on_the_command_line(teacher, tmp_path):
    import yaml

    file = tmp_path / "student.yaml"
    file.write_text(yaml.safe_dump(tiny_run(tmp_path / "student")))
    done = CliRunner().invoke(app, ["distill", str(teacher), str(file), "distillation.weight=0.5"])
    assert done.exit_code == 0, done.output
    assert "times as fast" in done.output
    assert RunConfig.load(tmp_path / "student" / "run_config.yaml").distillation["weight"] == 0.5


def test_with_kept_features(teacher, tmp_path):
    results = {}
    for name, cache in (("plain", None), ("kept", str(tmp_path / "cache"))):
        values = student_run(tmp_path / name, teacher)
        values["training"]["feature_cache"] = cache
        for tower in values["towers"].values():
            tower["frozen"] = True
        results[name] = train(RunConfig.from_dict(values)).metrics["test"]["loss"]
    assert results["kept"] == pytest.approx(results["plain"], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distillation": {"temperature": 2}}, "distillation.teacher names the folder"),
        ({"distillation": {"teacher": "x", "heat": 2}}, "heat"),
        ({"distillation": {"teacher": "x", "temperature": 0}}, "temperature=0: it must be positive"),
        ({"distillation": {"teacher": "x", "weight": 2}}, "weight=2: it is a share"),
        ({"distillation": {"teacher": "./none"}}, "There is no folder './none'"),
        ({"hub_files": ["docker"]}, "Unknown value of hub_files 'docker'. Known: endpoint, space"),
    ],
)
def test_bad_input(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict({**tiny_run(tmp_path / "run"), **change}))
    assert not (tmp_path / "run").exists()


def test_what_it_does_not_go_with(teacher, tmp_path):
    values = student_run(tmp_path / "run", teacher)
    values["task"] = "retrieval"
    with pytest.raises(ValueError, match="distillation is for models that predict the labels"):
        train(RunConfig.from_dict(values))
