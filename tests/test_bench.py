# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`scripts/bench step` compares what it says it compares."""

import json
import os
import shutil
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from tests.training.tiny_run import tiny_run

SCRIPT = Path(__file__).parent.parent / "scripts" / "bench"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(SCRIPT.parent))  # as when it is started
    loader = SourceFileLoader("bench", str(SCRIPT))
    module = module_from_spec(spec_from_loader("bench", loader))
    loader.exec_module(module)
    return module


def test_it_is_executable():
    assert os.access(SCRIPT, os.X_OK)


def test_step(bench):
    answer = CliRunner().invoke(bench.app, ["step", "--steps", "2", "--batch-size", "2", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert result["settings"] == {"towers": "small", "batch_size": 2, "steps": 2, "seed": 0}
    assert result["loss_gap"] < 1e-5  # the bare loop does the same arithmetic
    times = {name: values["median"] for name, values in result["milliseconds"].items()}
    assert set(times) == {"bare", "bare_concat", "concat", "bare_cross_attention", "cross_attention"}
    assert min(times.values()) > 0
    for name in ("concat", "cross_attention", "cost_of_cross_attention"):
        values = result["ratios"][name]
        assert 0 < values["low"] <= values["median"] <= values["high"]
    text = bench.report(result)
    assert "concat / bare_concat, the same arithmetic (aim: 1.05)" in text
    assert torch.__version__ in text


def test_absent(bench):
    answer = CliRunner().invoke(bench.app, ["absent", "--steps", "2", "--batch-size", "8", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    shares = ("100%", "75%", "50%", "25%")
    assert set(result["ratios"]) == {
        f"{modality} {share}" for modality in ("image", "audio", "video") for share in shares
    }
    assert result["ratios"]["image 100%"]["median"] == 1.0
    assert "audio 25% of the rows present" in bench.report_absent(result)


@pytest.mark.parametrize("arguments", [["step", "--towers", "huge"], ["step", "--steps", "1"], ["nothing"]])
def test_what_it_refuses(bench, arguments):
    assert CliRunner().invoke(bench.app, arguments).exit_code == 2


@pytest.mark.parametrize(("fusion", "rest"), [("concat", "concat"), ("cross_attention", "copy")])
def test_bare_model_is_a_copy(bench, fusion, rest):
    """Each variant trains its own weights."""
    ours = bench.build_model("tiny", fusion, torch.device("cpu"))
    bare = bench.BareModel(ours, rest, 32)
    assert not {id(p) for p in ours.parameters()} & {id(p) for p in bare.parameters()}
    absent_tokens = sum(tower.absent_token.numel() for tower in ours.model.towers.values())
    count = sum(p.numel() for p in bare.parameters())
    assert count == sum(p.numel() for p in ours.parameters()) - absent_tokens


def test_every_step_moves_its_weights(bench):
    model = bench.build_model("tiny", "concat", torch.device("cpu"))
    batch = bench.build_batch("tiny", 2, torch.device("cpu"))
    before = model.head.out_proj.weight.clone()
    bench.training_step(model, lambda: model(**batch).loss)()
    assert not torch.equal(model.head.out_proj.weight, before)
    assert all(p.grad is None for p in model.parameters())


def test_variants_take_turns(bench):
    calls = []
    steps = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    rounds = bench.take_turns(steps, 4)
    assert [sorted(seconds) for seconds in rounds] == [["a", "b"]] * 4
    assert sorted(calls) == ["a"] * (4 + bench.WARM_UP) + ["b"] * (4 + bench.WARM_UP)
    assert "".join(calls).count("aa") > 0  # the first of a round changes


def test_spread_by_hand(bench):
    assert bench.spread([1.0, 2.0, 3.0, 4.0, 5.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_search(bench):
    answer = CliRunner().invoke(bench.app, ["search", "--rows", "500", "--width", "16", "--queries", "5", "--json"])
    assert answer.exit_code == 0, answer.output
    indexes = json.loads(answer.stdout)["indexes"]
    assert indexes["flat"]["recall@10"] == 1.0
    assert indexes["hnsw"]["recall@10"] > 0.8
    assert min(x["queries_per_second"] for x in indexes.values()) > 0


def test_rerank(bench):
    answer = CliRunner().invoke(bench.app, ["rerank", "--candidates", "4", "--steps", "2", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert set(result["milliseconds"]) == {"tokens", "raw"}
    assert result["ratio"]["median"] > 0


@pytest.mark.slow
def test_memory(bench):
    options = ["--batch-sizes", "4", "--chunk-size", "2", "--uncached-up-to", "4", "--json"]
    answer = CliRunner().invoke(bench.app, ["memory", *options])
    assert answer.exit_code == 0, answer.output
    assert [(x["rows"], x["chunk_size"]) for x in json.loads(answer.stdout)["steps"]] == [(4, 2), (4, 0)]


def test_decode(bench):
    options = ["--tokens", "4", "--steps", "2", "--batch-size", "2", "--json"]
    answer = CliRunner().invoke(bench.app, ["decode", *options])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.output)
    assert result["same_tokens"] is True
    assert set(result["seconds"]) == {"cached", "uncached"}
    assert result["speedup"]["median"] > 0


def test_features(bench, tmp_path):
    values = tiny_run(tmp_path / "run")
    for tower in values["towers"].values():
        tower["frozen"] = True
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    answer = CliRunner().invoke(bench.app, ["features", str(tmp_path / "run.yaml"), "--epochs", "1", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout[answer.stdout.index("{") :])
    assert result["settings"]["rows"] == 20
    assert result["speedup"] == [result["epoch_seconds"]["uncached"][0] / result["epoch_seconds"]["cached"][0]]
    assert result["store_mb"] > 0


def test_peers(bench):
    answer = CliRunner().invoke(bench.app, ["peers", "--towers", "tiny", "--batch-size", "2", "--steps", "2", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert {"bare", "VisionTextDualEncoder"} <= set(result["ours_over"])
    assert all(x["median"] > 0 for x in (*result["ours_over"].values(), result["under_trainer"]))
    assert set(result["inference_milliseconds"]) == {"1 row(s)", "32 row(s)"}


def test_pictures(bench):
    options = ["--towers", "tiny", "--batch-size", "4", "--rows-per-picture", "2", "--steps", "2", "--json"]
    answer = CliRunner().invoke(bench.app, ["pictures", *options])
    assert answer.exit_code == 0, answer.output
    assert set(json.loads(answer.stdout)["ratios"]) == {"training", "evaluation"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler (g++)")
def test_accelerator(bench):
    options = ["--towers", "tiny", "--batch-size", "2", "--steps", "2", "--matrix-side", "64", "--json"]
    answer = CliRunner().invoke(bench.app, ["accelerator", *options])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert set(result["milliseconds"]) == {"eager", "compiled"}
    assert 0 < result["step_tflop"] < 1


def test_stream(bench):
    answer = CliRunner().invoke(bench.app, ["stream", "--buffer-size", "40", "--times", "4", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout[answer.stdout.index("{") :])
    assert result["settings"]["rows"] == 160
    assert all(epoch["rows_per_second"] > 0 and epoch["memory_mb"] for epoch in result["epochs"].values())


@pytest.mark.slow
@pytest.mark.distributed
def test_scale(bench):
    options = ["--steps", "6", "--rounds", "2", "--batch-size", "4", "--json"]
    answer = CliRunner().invoke(bench.app, ["scale", *options])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert set(result["milliseconds"]) == {"1", "2"}
    assert result["efficiency"]["median"] > 0
