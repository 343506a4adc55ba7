# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Trainings that are killed, run out of disk or hang end as if nothing had happened (`scripts/faults`)."""

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
from typer.testing import CliRunner

SCRIPT = Path(__file__).parent.parent / "scripts" / "faults"


@pytest.fixture(scope="module")
def faults():
    sys.path.insert(0, str(SCRIPT.parent))  # as when it is started
    loader = SourceFileLoader("faults", str(SCRIPT))
    module = sys.modules["faults"] = module_from_spec(spec_from_loader("faults", loader))
    loader.exec_module(module)
    return module


def can_mount():
    """Whether a disk of its own can be made; some containers do not let anyone."""
    done = subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False)
    return done.returncode == 0


def test_it_is_executable():
    assert os.access(SCRIPT, os.X_OK)


def test_unknown_faults_are_refused(faults):
    app = faults.typer.Typer()
    app.command()(faults.main)
    answer = CliRunner().invoke(app, ["--only", "flood"])
    assert answer.exit_code == 2


def test_differences_are_seen(faults, tmp_path):
    """The comparison notices rows that were not seen, and weights that differ."""
    import numpy as np
    from safetensors.numpy import save_file

    for name, lines, weight in (("whole", '[0, ["a", "b"]]\n[1, ["c"]]\n', 1.0), ("other", '[0, ["a"]]\n', 1.5)):
        (tmp_path / name / "run").mkdir(parents=True)
        (tmp_path / name / "run-batches-0").write_text(lines)
        save_file({"w": np.float32([weight])}, tmp_path / name / "run" / "model.safetensors")
    assert faults.compare(tmp_path / "other", tmp_path / "whole") == (2, 0.5)
    assert faults.compare(tmp_path / "whole", tmp_path / "whole") == (0, 0.0)


@pytest.mark.slow
def test_every_fault_is_survived(faults, tmp_path):
    chosen = [x for x in faults.FAULTS if x.setup != faults.LAUNCHED and (x.kind != "disk full" or can_mount())]
    for fault, outcome in faults.run_faults(chosen, tmp_path, times=1, seed=1):
        assert outcome.reasons == [], fault.name
        assert (outcome.survived, outcome.rows_lost, outcome.difference) == (1, 0, 0.0), fault.name


@pytest.mark.slow
@pytest.mark.distributed
def test_a_hung_process_is_named_and_all_begin_again(faults, tmp_path):
    chosen = [x for x in faults.FAULTS if x.setup == faults.LAUNCHED and x.kind == "hang"]
    for _, outcome in faults.run_faults(chosen, tmp_path, times=1, seed=1):
        assert outcome.reasons == []
        assert (outcome.survived, outcome.rows_lost, outcome.difference) == (1, 0, 0.0)
