# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Comparisons: the statistics, the cells and how they go on, the report."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from scipy import stats
from typer.testing import CliRunner

from hf_multimodal.cli.main import app
from hf_multimodal.comparison import cells as cells_module
from hf_multimodal.comparison.cells import check_all_there, plan_cells, row_as_text, write_table_copy
from hf_multimodal.comparison.compare import compare
from hf_multimodal.comparison.statistics import Candidate, difference, estimate, verdict
from hf_multimodal.data.loading import load_rows
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.run_parts import load_splits
from tests.training.tiny_run import tiny_run

RNG = np.random.default_rng(0)


def right(share, seeds=1, rows=400):
    return (RNG.random((seeds, rows)) < share).astype(float)


def test_intervals():
    values = right(0.8, seeds=3)
    found = estimate(values)
    means = values.mean(1)
    low, high = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    assert (found.mean, found.low, found.high, found.by) == pytest.approx((means.mean(), low, high, "seeds"))
    one = estimate(values[:1])
    assert one.by == "rows"
    assert one.high - one.low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 400), rel=0.2)


def test_paired_differences():
    other = right(0.7)
    better = np.maximum(other, right(0.5))
    found = difference(better, other)
    won = int((better > other).sum())
    assert found.mean == pytest.approx(better.mean() - other.mean())
    assert found.low > 0
    assert found.is_clear
    assert found.mcnemar == pytest.approx(stats.binomtest(won, won).pvalue)
    same = difference(other, other)
    assert (same.mean, same.low, same.high, same.mcnemar) == (0, 0, 0, 1)
    assert not same.is_clear
    assert difference(-RNG.random((1, 50)), -RNG.random((1, 50))).mcnemar is None


def test_what_to_ship():
    weak, strong = right(0.6), right(0.9)
    single, table = Candidate("text alone", "alone", weak, 10), Candidate("table to text", "table", weak, 10)
    fused = Candidate("concat", "fusion", strong, 25)
    best, other, sentence = verdict([single, table, fused], "accuracy")
    assert (best, other) == ("concat", "text alone")
    assert sentence.startswith("Ship concat: it is ")
    assert "2.5 times" in sentence
    tied = Candidate("concat", "fusion", weak, 25)
    assert verdict([single, tied], "accuracy")[2].startswith("Ship text alone: the gain of concat")
    worse = Candidate("concat", "fusion", np.zeros_like(weak), 25)
    assert "the best fusion, concat, is no better" in verdict([single, worse], "accuracy")[2]


def test_rows_as_text():
    row = {"text": "Red shirt", "series": {"year": 2012, "usage": None}, "base_colour": "Red"}
    assert row_as_text(row, ["base_colour"]) == "Red shirt; year 2012; base colour Red"
    assert row_as_text({"text": None}, []) == "-"


def compared_run(folder, **data):
    values = tiny_run(folder)
    values["data"].update(data)
    return values


def test_the_plan(tmp_path):
    config = RunConfig.from_dict(compared_run(tmp_path, keep=["template"]))
    plan = plan_cells(config, tmp_path / "out", ["concat", "mean"], [0, 1])
    assert [cell.variant for cell in plan[::2]] == ["text alone", "image alone", "table to text", "concat", "mean"]
    assert [cell.seed for cell in plan[:2]] == [0, 1]
    assert set(plan[0].config.towers) == {"text"}
    assert "image" not in plan[0].config.data.columns
    assert plan[-1].config.model["fusion"] == "mean"
    assert len({cell.folder for cell in plan}) == 10


def test_every_cell_takes_the_same_rows(tmp_path):
    config = RunConfig.from_dict(compared_run(tmp_path, keep=["template"], limit={"test": 5}))
    plan = plan_cells(config, tmp_path / "out", ["concat"], [0, 1])
    fused = [load_splits(cell.config)["test"]["row_id"] for cell in plan if cell.kind == "fusion"]
    write_table_copy(tmp_path / "out", load_splits(config), ["template"])
    table = next(cell for cell in plan if cell.kind == "table")
    assert list(fused[0]) == list(fused[1]) == list(load_splits(table.config)["test"]["row_id"])


def test_nothing_is_kept_of_towers_that_learn(tmp_path):
    values = compared_run(tmp_path)
    values["towers"]["text"]["frozen"] = True
    values["training"]["feature_cache"] = "cache"
    plan = plan_cells(RunConfig.from_dict(values), tmp_path, ["concat"], [0])
    kept = {cell.variant: "feature_cache" in cell.config.training for cell in plan}
    assert kept == {"text alone": True, "image alone": False, "concat": True}


def test_rows_that_lack_a_modality_are_refused(tmp_path):
    rows = [{"statement": text, "label": "a"} for text in ("x", None)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    splits = {"train": load_rows(tmp_path, split="train", columns={"text": "statement", "label": "label"})}
    with pytest.raises(ValueError, match="1 of 2 rows of train have no text, and text alone says nothing"):
        check_all_there(splits, ["text"])


def test_what_cannot_be_compared(tmp_path):
    values = tiny_run(tmp_path)
    with pytest.raises(ValueError, match="Unknown fusion 'sum'"):
        plan_cells(RunConfig.from_dict(values), tmp_path, ["sum"], [0])
    with pytest.raises(ValueError, match="has no split 'tset'"):
        compare(RunConfig.from_dict(values), tmp_path, split="tset")
    del values["towers"]["image"]
    with pytest.raises(ValueError, match="needs two towers or more"):
        plan_cells(RunConfig.from_dict(values), tmp_path, ["concat"], [0])
    with pytest.raises(ValueError, match="this one is of retrieval"):
        plan_cells(RunConfig.from_dict({**values, "task": "retrieval"}), tmp_path, ["concat"], [0])


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison by the command line, stopped after two cells and called again."""
    folder = tmp_path_factory.mktemp("compared")
    values = compared_run(folder / "run", keep=["template"])
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    trained, train = [], cells_module.train

    def stopping(config, **kwargs):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(config.output_dir)
        return train(config, **kwargs)

    def counting(config, **kwargs):
        trained.append(config.output_dir)
        return train(config, **kwargs)

    arguments = ["compare", str(folder / "run.yaml"), "--output", "out", "--fusion", "concat"]
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(cells_module, "train", stopping)
        assert CliRunner().invoke(app, [*arguments, "--seed", "0"]).exit_code != 0
        patched.setattr(cells_module, "train", counting)
        result = CliRunner().invoke(app, [*arguments, "--seed", "0"])
    assert result.exit_code == 0, result.output
    return folder, trained, result.output


def test_it_goes_on_where_it_was_stopped(compared):
    folder, trained, _ = compared
    assert len(trained) == len(set(trained)) == 4
    copy = pq.read_table(folder / "out" / "table_to_text" / "test.parquet").to_pylist()
    assert len(copy) == 20
    assert "; template " in copy[0]["text"]
    assert copy[0]["label"] in ("true", "false")


def test_the_report(compared):
    folder, _, output = compared
    told = json.loads((folder / "out" / "comparison.json").read_text())
    assert set(told["variants"]) == {"text alone", "image alone", "table to text", "concat"}
    assert told["best_fusion"] == "concat"
    assert told["verdict"].startswith("Ship ")
    assert told["rows"] == 20
    own = json.loads((folder / "out" / "cells" / "concat-seed0" / "metrics.json").read_text())
    assert told["variants"]["concat"]["mean"] == pytest.approx(own["test"]["accuracy"])
    assert told["variants"]["concat"]["parameters"] == own["training"]["parameters"]
    assert told["variants"]["concat"]["latency_ms"] > 0
    assert set(told["missing"]) == {"text", "image"}
    assert told["variants"][told["best_other"]]["against_best_other"] is None
    page = (folder / "out" / "comparison.html").read_text()
    assert told["verdict"].replace("'", "&#39;") in page
    assert "<svg" in page
    assert "| concat |" in (folder / "out" / "comparison.md").read_text()
    assert told["verdict"] in output


def test_cells_of_another_configuration_are_refused(compared):
    folder, *_ = compared
    values = compared_run(folder / "run", keep=["template"])
    values["training"]["num_train_epochs"] = 2
    with pytest.raises(ValueError, match=r"holds a run of another configuration \(training differ\)"):
        compare(RunConfig.from_dict(values), folder / "out", fusions=["concat"], seeds=[0])
