# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Pushing to the Hub: what would be uploaded, without a network."""

import pytest

from tests.tiny import tiny_model, tiny_processor


@pytest.mark.parametrize("build", [lambda: tiny_model(num_labels=2), tiny_processor])
def test_the_code_is_uploaded_with_the_rest(tmp_path, build):
    """Uploaded is what is new or changed against the time stamps taken first; the code must count as new."""
    thing = build()
    thing.save_pretrained(tmp_path)
    (tmp_path / "notes.txt").write_text("was there before")
    stamps = thing._get_files_timestamps(tmp_path)
    assert "notes.txt" in stamps
    assert not [name for name in stamps if name.endswith(".py")]
    assert (tmp_path / "modeling_multimodal.py").is_file()
