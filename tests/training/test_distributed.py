# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Two processes under accelerate launch: they train together and evaluate every row once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.training.tiny_run import tiny_run

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


def launch(*arguments):
    done = subprocess.run([*LAUNCH, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.distributed
def test_two_processes_train_and_count_every_row_once(tmp_path):
    values = tiny_run(tmp_path / "run")
    values["data"]["options"]["num_rows"] = 28
    values["data"]["limit"] = {"test": 27}  # does not divide by two processes, nor by the batch
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    launch(str(ROOT / "scripts" / "train.py"), str(tmp_path / "run.yaml"))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["training"]["processes"] == 2
    assert metrics["training"]["steps"] == 2  # 28 rows in batches of 2 x 8

    launch(
        "-m", "hf_multimodal", "evaluate", str(tmp_path / "run"), "--output", str(tmp_path / "out"), "--batch-size", "5"
    )
    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pydict()
    assert sorted(table["row_id"]) == [f"test-{i:06d}" for i in range(28)]
    right = [p == r for p, r in zip(table["prediction"], table["reference"], strict=True)]
    accuracy = json.loads((tmp_path / "out" / "metrics.json").read_text())["accuracy"]
    assert accuracy == sum(right) / 28
