# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Settings of the whole suite; they must stand before anything imports torch or a Hugging Face library."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models run several times slower on many threads
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("HF_MULTIMODAL_TEST_CUDA_DEVICES", "")

if "PYTEST_XDIST_WORKER" not in os.environ:
    # Caches and copied Hub code of an earlier run must not decide a test; workers and subprocesses inherit the folder.
    _hf_home = tempfile.mkdtemp(prefix="hf_multimodal-tests-")
    os.environ["HF_HOME"] = _hf_home
    atexit.register(shutil.rmtree, _hf_home, ignore_errors=True)
