# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Files and folders are whole or as they were, whatever happens while they are written."""

import pytest

from hf_multimodal.data.whole_files import whole_file, whole_folder, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    target = tmp_path / "table"
    target.write_text("before")
    with whole_file(target) as partial:
        partial.write_text("after")
        assert target.read_text() == "before"
    assert target.read_text() == "after"
    assert names(tmp_path) == ["table"]


def write_half(target, shared):
    with whole_file(target, shared=shared) as partial:
        partial.write_text("half")
        raise OSError("no space left on the disk")


@pytest.mark.parametrize("shared", [False, True])
def test_a_failed_write_leaves_what_was_there(tmp_path, shared):
    target = tmp_path / "table"
    write_whole(target, "before")
    with pytest.raises(OSError, match="disk"):
        write_half(target, shared)
    assert target.read_text() == "before"
    assert names(tmp_path) == ["table"]


def test_several_may_write_one_file(tmp_path):
    with whole_file(tmp_path / "table", shared=True) as first, whole_file(tmp_path / "table", shared=True) as second:
        assert first != second
        first.write_text("same")
        second.write_text("same")
    assert names(tmp_path) == ["table"]


def test_a_folder_takes_its_name_when_it_is_whole(tmp_path):
    (tmp_path / "copy.partial").mkdir()
    (tmp_path / "copy.partial" / "of one that was killed").touch()
    with whole_folder(tmp_path / "copy") as partial:
        (partial / "part").mkdir()
        (partial / "part" / "a").write_text("a")
        assert names(tmp_path) == ["copy.partial"]
    assert names(tmp_path / "copy") == ["part"]
    with pytest.raises(ValueError, match="row"), whole_folder(tmp_path / "other") as partial:
        raise ValueError("a row is not usable")
    assert names(tmp_path) == ["copy"]
