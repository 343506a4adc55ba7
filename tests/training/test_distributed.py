# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Two processes under accelerate launch: they train together and evaluate every row once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn import metrics as sk

from hf_multimodal.training.inference import evaluate_model
from hf_multimodal.training.row_source import RowSource
from tests.training.tiny_run import make_task_rows, task_run, tiny_run

ROOT = Path(__file__).parents[2]
# `accelerate launch --cpu --num_processes 2` silently runs one process; this spelling runs two.
LAUNCH = [
    sys.executable,
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--main_process_port",
    "0",
]
ENVIRONMENT = {
    **os.environ,
    "ACCELERATE_USE_CPU": "true",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": str(ROOT),
}


def launch(*arguments, fails=False):
    done = subprocess.run([*LAUNCH, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) is fails, done.stderr[-4000:]
    return done.stderr if fails else done.stdout


def train(folder, *arguments, **options):
    return launch(str(ROOT / "scripts" / "train.py"), str(folder / "run.yaml"), *arguments, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a configuration and its run, made by two processes."""
    folder = tmp_path_factory.mktemp("distributed")
    values = tiny_run(folder / "run")
    values["data"]["options"]["num_rows"] = 28
    values["data"]["limit"] = {"test": 27}  # does not divide by two processes, nor by the batch
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    train(folder)
    return folder


def rows_of(run):
    return RowSource.for_model(str(run), source=None, split="test", columns=None)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.distributed
def test_two_processes_train_and_count_every_row_once(trained, tmp_path):
    metrics = metrics_of(trained / "run")
    assert metrics["training"]["processes"] == 2
    assert metrics["training"]["steps"] == 2  # 28 rows in batches of 2 x 8
    assert (trained / "run" / "README.md").is_file()

    output = tmp_path / "out"
    launch("-m", "hf_multimodal", "evaluate", str(trained / "run"), "--output", str(output), "--batch-size", "5")
    table = pq.read_table(output / "predictions.parquet").to_pydict()
    assert len(set(table["row_id"])) == len(table["row_id"]) == 27
    right = [p == r for p, r in zip(table["prediction"], table["reference"], strict=True)]
    told = metrics_of(output)
    assert told["accuracy"] == sum(right) / 27 == metrics["test"]["accuracy"]
    labels = pq.read_schema(output / "predictions.parquet").metadata[b"labels"].decode().split("\n")
    truth = np.array([[r == label for label in labels] for r in table["reference"]])
    assert told["f1"] == pytest.approx(sk.f1_score(table["reference"], table["prediction"], average="macro"))
    assert told["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, np.array(table["scores"]), average="macro"))
    alone = evaluate_model(str(trained / "run"), rows_of(trained / "run"))
    for name in ("f1_weighted", "precision", "recall", "roc_auc", "average_precision", "ece"):
        assert told[name] == pytest.approx(alone[name])


@pytest.mark.distributed
def test_two_processes_predict_every_row_once(trained, tmp_path):
    launch("-m", "hf_multimodal", "predict", str(trained / "run"), "--source", "scenes", "--output", str(tmp_path))
    assert sorted(pq.read_table(tmp_path / "predictions.parquet")["row_id"].to_pylist()) == [
        f"test-{i:06d}" for i in range(28)
    ]


@pytest.mark.distributed
def test_every_process_checks_its_share(tmp_path):
    """A bad row is found by one of the processes, not by each."""
    rows = [f"text {i},{'xy'[i % 2]}" for i in range(9)]
    (tmp_path / "rows.csv").write_text("\n".join(["title,kind", *rows, ",x"]) + "\n")
    columns = {"text": "title", "label": "kind"}
    data = {"source": str(tmp_path / "rows.csv"), "columns": columns, "splits": {"train": "train"}}
    values = tiny_run(tmp_path / "run", data=data)
    values["towers"]["image"] = None
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    assert train(tmp_path, fails=True).count("error: Row 9 has nothing") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.distributed
def test_two_processes_refuse_a_taken_folder_and_resume(trained):
    before = (trained / "run" / "model.safetensors").read_bytes()
    assert "holds another run" in train(trained, fails=True)
    assert (trained / "run" / "model.safetensors").read_bytes() == before
    train(trained, "--resume", "training.num_train_epochs=2", f"output_dir={trained / 'run'}")
    assert metrics_of(trained / "run")["training"]["steps"] == 4


@pytest.mark.distributed
def test_two_processes_train_several_tasks(tmp_path):
    """Labels in dicts, of which rows lack some, are gathered like others; a head without labels does not stall DDP."""
    rows = tmp_path / "rows"
    rows.mkdir()
    for seed, split in enumerate(("train", "validation", "test")):
        pq.write_table(pa.Table.from_pylist(make_task_rows(seed)), rows / f"{split}.parquet")
    values = task_run(tmp_path / "run", rows)
    values["data"]["limit"] = {"test": 23}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    train(tmp_path)
    together = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]
    alone = evaluate_model(str(tmp_path / "run"), rows_of(tmp_path / "run"))
    for name in ("level_accuracy", "marks_f1", "price_mse"):
        assert together[name] == pytest.approx(alone[name], rel=1e-4)
