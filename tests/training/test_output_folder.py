# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A run's folder is never mixed with another run or with foreign files."""

import pytest

from hf_multimodal.training.output_folder import RUN_FILE, check_output_folder, prepare_output_folder, refuse_results


def make_run(folder):
    folder.mkdir()
    (folder / RUN_FILE).write_text("{}")
    (folder / "old").write_text("x")


def test_new_and_empty_folders_are_fine(tmp_path):
    check_output_folder(tmp_path / "a" / "b", overwrite=False, resume=False)
    assert not (tmp_path / "a").exists()  # looking writes nothing
    check_output_folder(tmp_path, overwrite=True, resume=False)
    assert (prepare_output_folder(tmp_path / "a" / "b", overwrite=False) / "checkpoints").is_dir()


def test_another_run_is_refused_overwritten_or_resumed(tmp_path):
    make_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"holds another run: .*--resume.*--overwrite"):
        check_output_folder(tmp_path / "run", overwrite=False, resume=False)
    for flags in ({"overwrite": False, "resume": True}, {"overwrite": True, "resume": False}):
        check_output_folder(tmp_path / "run", **flags)
    assert (prepare_output_folder(tmp_path / "run", overwrite=False) / "old").exists()
    assert [x.name for x in prepare_output_folder(tmp_path / "run", overwrite=True).iterdir()] == ["checkpoints"]


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="is not a run of this tool"):
            check_output_folder(tmp_path, overwrite=overwrite, resume=False)
    assert (tmp_path / "thesis.tex").exists()


def test_nothing_to_resume(tmp_path):
    with pytest.raises(ValueError, match="Nothing to resume"):
        check_output_folder(tmp_path, overwrite=False, resume=True)


def test_contradicting_flags(tmp_path):
    with pytest.raises(ValueError, match="not both"):
        check_output_folder(tmp_path, overwrite=True, resume=True)


def test_earlier_results_are_not_replaced_unasked(tmp_path):
    refuse_results(tmp_path, overwrite=False)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ValueError, match=r"metrics\.json' exists: .*--overwrite"):
        refuse_results(tmp_path, overwrite=False)
    refuse_results(tmp_path, overwrite=True)


def test_a_runs_own_metrics_are_never_replaced(tmp_path):
    make_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"holds a run, .*run/evaluation"):
        refuse_results(tmp_path / "run", overwrite=True)
