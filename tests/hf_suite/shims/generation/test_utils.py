# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Stands in for upstream's `tests/generation/test_utils.py`, which the source distribution leaves out."""


class GenerationTesterMixin:
    """Marks test classes of models that generate; what they write is tested in `test_modeling_generation.py`."""
