# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The same global batch on one process and on two: every parameter's gradient is the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hf_multimodal.modeling import modeling_gather
from hf_multimodal.modeling.modeling_gather import gather_rows

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
WORKER = "tests.modeling.two_process_gradients"
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def gradients(target, settings, launcher=()):
    command = [sys.executable, *launcher, "-m", WORKER, str(target), json.dumps(settings)]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(target, weights_only=True)


@pytest.mark.distributed
@pytest.mark.parametrize(
    "settings",
    [{}, {"contrastive_objective": "sigmoid"}, {"match_weight": 0}, {"chunk_size": 2}],
    ids=["infonce", "sigmoid", "without match head", "gradient caching"],
)
def test_two_processes_have_the_gradients_of_one(tmp_path, settings):
    one = gradients(tmp_path / "one.pt", settings)
    two = gradients(tmp_path / "two.pt", settings, TWO)
    assert set(one) == set(two)
    assert one["logit_scale"].abs() > 1e-4
    for name, gradient in one.items():
        # atol: of parameters whose gradient is zero but for rounding
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


def test_processes_with_unlike_batches_are_told_to_be_alike(monkeypatch):
    monkeypatch.setattr(modeling_gather, "num_processes", lambda: 2)
    monkeypatch.setattr(modeling_gather, "_extreme", lambda value, device: (5, value))
    with pytest.raises(ValueError, match=r"have 3 to 5 rows in this step.*even_batches"):
        gather_rows(torch.zeros(3, 2))
