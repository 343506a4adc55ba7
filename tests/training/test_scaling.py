# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The same training on one, two and four processes, on two machines, and with sharded weights: equal loss curves."""

import json
import shutil
import socket
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file

from hf_multimodal import MultimodalForClassification
from tests.training.test_distributed import ENVIRONMENT, ROOT
from tests.training.test_run_retrieval import retrieval_run
from tests.training.tiny_run import tiny_run

GLOBAL_BATCH = 16
TOLERANCE = 1e-4  # sums of floats in another order, through 8 steps of AdamW

pytestmark = [pytest.mark.distributed, pytest.mark.slow]


def deterministic_run(folder, task, processes):
    """A run whose losses depend on nothing but rows and weights: no dropout, no statistics of a process's own batch."""
    values = retrieval_run(folder) if task == "retrieval" else tiny_run(folder)
    values["data"]["options"]["num_rows"] = 64
    values["towers"]["text"]["config"].update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    values["towers"]["image"] = {"architecture": "test_vit", "image_size": 160}
    values["model"].update(hidden_dropout_prob=0.0)
    values["training"].update(
        num_train_epochs=2,
        per_device_train_batch_size=GLOBAL_BATCH // processes,
        logging_steps=1,
        learning_rate=1e-3,
        save_strategy="no",
        eval_strategy="no",
        load_best_model_at_end=False,
    )
    if task == "retrieval":
        values["training"]["gradient_cache_size"] = None
        values["data"]["columns"]["text"] = "statement"  # one a row, so that every batch is full
    return values


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(folder, *options, script=str(ROOT / "scripts" / "train.py"), arguments=(), environment=ENVIRONMENT):
    launch = [sys.executable, "-m", "accelerate.commands.launch", *options]
    return subprocess.Popen(
        [*launch, script, str(folder / "run.yaml"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output[-4000:]


def losses(folder):
    log = json.loads((folder / "run" / "training_log.json").read_text())
    return [entry["loss"] for entry in log if "loss" in entry]


def run(folder, task, processes, *options):
    folder.mkdir()
    (folder / "run.yaml").write_text(yaml.safe_dump(deterministic_run(folder / "run", task, processes)))
    alone = ["--num_processes", "1"] if processes == 1 else ["--multi_gpu", "--num_processes", str(processes)]
    finish(start(folder, *(options or (*alone, "--main_process_port", str(free_port())))))
    return losses(folder)


@pytest.mark.parametrize("task", ["classification", "retrieval"])
def test_equal_loss_curves(task, tmp_path):
    curves = {n: run(tmp_path / str(n), task, n) for n in (1, 2, 4)}
    assert len(curves[1]) >= 8
    assert curves[1][-1] != pytest.approx(curves[1][0], abs=1e-2)  # something was learned
    for processes in (2, 4):
        assert curves[processes] == pytest.approx(curves[1], abs=TOLERANCE)


def test_two_machines(tmp_path):
    """Two launchers that meet on loopback, each of one process."""
    expected = run(tmp_path / "alone", "classification", 1)
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "run.yaml").write_text(yaml.safe_dump(deterministic_run(folder / "run", "classification", 2)))
    port = str(free_port())
    common = ["--multi_gpu", "--num_machines", "2", "--num_processes", "2", "--main_process_ip", "127.0.0.1"]
    machines = [start(folder, *common, "--main_process_port", port, "--machine_rank", str(rank)) for rank in (0, 1)]
    for machine in machines:
        finish(machine)
    assert losses(folder) == pytest.approx(expected, abs=TOLERANCE)


def test_sharded_weights(tmp_path):
    """FSDP2 on CPUs: the curve of one process, a whole model that loads, and a checkpoint that goes on."""
    expected = run(tmp_path / "alone", "classification", 1)
    folder = tmp_path / "sharded"
    folder.mkdir()
    values = deterministic_run(folder / "run", "classification", 2)
    values["training"].update(save_strategy="epoch", save_total_limit=None)
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    finish(start_sharded(folder))
    assert losses(folder) == pytest.approx(expected, abs=TOLERANCE)
    whole = load_file(folder / "run" / "model.safetensors")
    reference = load_file(tmp_path / "alone" / "run" / "model.safetensors")
    assert whole.keys() == reference.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, reference[name], atol=1e-3, rtol=0)
    loaded = MultimodalForClassification.from_pretrained(folder / "run")
    assert loaded.config.architectures == ["MultimodalForClassification"]
    assert "MultimodalForClassification" in (folder / "run" / "README.md").read_text()

    shutil.rmtree(folder / "run" / "checkpoints" / "checkpoint-8")
    (folder / "run" / "model.safetensors").unlink()
    finish(start_sharded(folder, "--resume"))
    again = load_file(folder / "run" / "model.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())


def start_sharded(folder, *arguments):
    config = ["--config_file", str(ROOT / "scripts" / "configs" / "fsdp2.yaml")]
    return start(
        folder,
        *config,
        "--main_process_port",
        str(free_port()),
        script=str(ROOT / "tests" / "training" / "fsdp_on_cpu.py"),
        arguments=arguments,
        environment={name: value for name, value in ENVIRONMENT.items() if name != "ACCELERATE_USE_CPU"},
    )
