# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Collection of transformers' own suites; see `upstream.py` for where they come from."""

import os

import pytest

# transformers.testing_utils reads them when it is imported.
os.environ.setdefault("RUN_TRAINING_TESTS", "1")
os.environ.setdefault("RUN_PIPELINE_TESTS", "1")

collect_ignore = ["shims"]

# Markers of the upstream files, which pytest would otherwise refuse.
UPSTREAM_MARKERS = (
    "accelerate_tests",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "flash_attn_test",
    "is_agent_test",
    "is_expert_parallel_test",
    "is_fsdp_test",
    "is_pipeline_test",
    "is_staging_test",
    "is_tensor_parallel_test",
    "is_training_test",
    "order",
    "torch_compile_test",
)


def pytest_configure(config):
    for marker in UPSTREAM_MARKERS:
        config.addinivalue_line("markers", f"{marker}: of transformers' own suites")


def pytest_ignore_collect(config):
    # Importing these files downloads: not for those who have just said that they do not want them.
    return True if "not hf_suite" in (config.option.markexpr or "") else None


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(item.config.rootpath / "tests" / "hf_suite"):
            item.add_marker(pytest.mark.hf_suite)
