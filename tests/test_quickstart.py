# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""scripts/quickstart.py from end to end, on a few rows; the real one is in README's results."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = ["data.options.num_rows=40", "data.limit.test=30", "training.num_train_epochs=1", "training.report_to=none"]


def quickstart(cwd, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / "quickstart.py"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_quickstart(tmp_path):
    done = quickstart(tmp_path, "--output", "out", *TINY)
    assert done.returncode == 0, done.stderr[-3000:]
    accuracies = re.findall(r"^(text \+ image|text only|image only) +([\d.]+) %", done.stdout, flags=re.MULTILINE)
    assert [name for name, _ in accuracies] == ["text + image", "text only", "image only"]
    assert "hf_multimodal imported there: no" in done.stdout
    assert re.search(r"example\.png, '.*'  ->  (true|false) \(\d\.\d\d\); the truth: (true|false)", done.stdout)
    assert {"README.md", "metrics.json", "model.safetensors"} <= {
        x.name for x in (tmp_path / "out/text_image").iterdir()
    }

    again = quickstart(tmp_path, "--output", "out", *TINY)
    assert again.returncode == 2
    assert "holds another run" in again.stderr
    assert "Traceback" not in again.stderr
