# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The command line: help, user errors on one line, and the verbs on a tiny run."""

import json
import subprocess
import sys

import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from hf_multimodal.cli.main import app, run_verb
from hf_multimodal.cli.train import format_metrics
from tests.training.tiny_run import tiny_run


@pytest.mark.parametrize("verb", [[], ["train"], ["evaluate"], ["predict"], ["embed"], ["index"], ["search"]])
def test_help(verb):
    result = CliRunner().invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_train_evaluate_predict(tmp_path):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny_run(tmp_path / "run")))
    runner = CliRunner()
    trained = runner.invoke(app, ["train", str(tmp_path / "run.yaml"), "model.fusion=concat"], catch_exceptions=False)
    assert "Saved to" in trained.output
    card = (tmp_path / "run" / "README.md").read_text()
    assert "concat" in card
    assert "model-index" in card
    evaluated = runner.invoke(app, ["evaluate", str(tmp_path / "run"), "--output", str(tmp_path / "out")])
    assert "accuracy" in evaluated.output
    assert "where rows lack" not in evaluated.output
    missing = runner.invoke(
        app,
        ["evaluate", str(tmp_path / "run"), "--missing", "--output", str(tmp_path / "missing")],
        catch_exceptions=False,
    )
    assert "accuracy where rows lack       text     image" in missing.output
    assert Image.open(tmp_path / "missing" / "missing_rates.png").size == (720, 480)
    predicted = runner.invoke(app, ["predict", str(tmp_path / "run"), "--text", "the star is red"])
    assert {entry["label"] for entry in json.loads(predicted.output)} == {"false", "true"}
    many = runner.invoke(app, ["predict", str(tmp_path / "run"), "--source", "scenes", "--output", str(tmp_path / "p")])
    assert "Predicted 20 rows" in many.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "m"], "Nothing to predict"),
        (["predict", "m", "--source", "x"], "--output FOLDER"),
        (["predict", "m", "--source", "x", "--text", "y"], "not both"),
        (["train", "absent.yaml"], "No configuration file 'absent.yaml'"),
    ],
)
def test_mistakes_are_one_line_on_standard_error(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["hf-multimodal", *arguments])
    with pytest.raises(SystemExit) as stopped:
        run_verb(app)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_missing_extra_is_one_line_on_standard_error(capsys, monkeypatch):
    def verb():
        raise ImportError("Attributions need Captum")

    command = typer.Typer()
    command.command()(verb)
    monkeypatch.setattr(sys, "argv", ["hf-multimodal"])
    with pytest.raises(SystemExit, match="2"):
        run_verb(command)
    assert capsys.readouterr().err.startswith("error: Attributions need Captum")


def test_module_entry_point():
    done = subprocess.run(
        [sys.executable, "-m", "hf_multimodal", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().count(".") == 2


def test_format_metrics_leaves_out_speeds():
    text = format_metrics({"training": {"seconds": 1.0}, "test": {"accuracy": 0.5, "runtime": 3.0, "epoch": 1.0}})
    assert text.splitlines() == ["split  metric    value", "test   accuracy  0.5000"]
