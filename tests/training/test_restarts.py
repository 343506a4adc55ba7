# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Which runs go on by themselves when a launcher starts their processes again: those that it has begun itself."""

import os

import psutil
import pytest

from hf_multimodal.data.whole_files import aside
from hf_multimodal.training.output_folder import CHECKPOINTS, RUN_FILE, check_output_folder, is_restarted


def test_only_what_this_launcher_began_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not is_restarted(tmp_path)  # nothing was begun
    (tmp_path / RUN_FILE).touch()
    assert is_restarted(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert not is_restarted(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    earlier = psutil.Process(os.getppid()).create_time() - 60
    os.utime(tmp_path / RUN_FILE, (earlier, earlier))
    assert not is_restarted(tmp_path)  # somebody else's run, which the first attempt has refused


def test_a_folder_of_a_run_that_was_killed_before_its_first_word_is_free(tmp_path):
    (tmp_path / CHECKPOINTS).mkdir()
    aside(tmp_path / RUN_FILE).touch()
    check_output_folder(tmp_path, overwrite=False, resume=False)
    (tmp_path / CHECKPOINTS / "checkpoint-1").mkdir()
    with pytest.raises(ValueError, match="is not a run of this tool"):
        check_output_folder(tmp_path, overwrite=False, resume=False)
