# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The data package itself: light to import, and every public name loads."""

import subprocess
import sys

import pytest

import hf_multimodal.data


def test_import_is_light():
    code = (
        "import sys, hf_multimodal.data, hf_multimodal.data.labels, hf_multimodal.modeling.image_opening\n"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", hf_multimodal.data.__all__)
def test_public_names(name):
    assert getattr(hf_multimodal.data, name).__name__ == name
    assert name in dir(hf_multimodal.data)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'lood_rows'"):
        hf_multimodal.data.lood_rows  # noqa: B018 (the access is what is tested)
