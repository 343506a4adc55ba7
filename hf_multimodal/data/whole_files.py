# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are whole or absent: written aside, flushed to the disk, and only then given their names."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def aside(path: Path) -> Path:
    """The name beside `path` that it has while it is being written."""
    return path.with_name(f"{path.name}.partial")


@contextmanager
def whole_file(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yields a name to write to; the file takes the place of `path` when the block ends, and is deleted if it fails.

    Args:
        path: The file; its folder is there.
        shared: Whether several processes may write it at once, each under a name of its own.

    Raises:
        OSError: if it cannot be written, such as when the disk is full; what was at `path` stays.
    """
    partial = aside(path.with_name(f"{path.name}.{uuid.uuid4().hex}") if shared else path)
    try:
        yield partial
        flush(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder to fill; it takes the name `path` when the block ends, and is deleted if it fails.

    Args:
        path: The folder, which is not there yet.

    Raises:
        OSError: if it cannot be written.
    """
    partial = aside(path)
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        flush_folder(partial)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    flush(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file that is whole or as it was.

    Raises:
        OSError: if it cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":  # which has no such thing
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some mounts over a network cannot flush a folder
        if not is_folder or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Waits until all that is in a folder is on the disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        flush(path)
    flush(folder)


__all__ = ["aside", "flush", "flush_folder", "whole_file", "whole_folder", "write_whole"]
