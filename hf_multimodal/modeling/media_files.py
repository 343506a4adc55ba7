# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Files of pictures, sounds and clips: one way to read them, and to say what is wrong with them."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_Opened = TypeVar("_Opened")


def open_file(
    path: str | Path, kind: str, error_class: type[ValueError], open_bytes: Callable[[bytes], _Opened]
) -> _Opened:
    """Reads a local file and opens what is in it.

    Args:
        path: The file.
        kind: What it should hold, for the errors.
        error_class: What is raised, also by `open_bytes`.
        open_bytes: Opens the file's bytes.

    Raises:
        ValueError: of that class, naming the file, if it is a URL, is not there, cannot be read, or not be opened.
    """
    if "://" in str(path):
        raise error_class(
            f"{str(path)!r} is a URL, and URLs are not read. Download it, and give its bytes or its file."
        )
    try:
        encoded = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise error_class(
            f"there is no file {str(path)!r}. Correct the path, or use None for an absent {kind}."
        ) from error
    except (OSError, ValueError) as error:
        raise error_class(
            f"the file {str(path)!r} cannot be read ({error}). Check that it is a readable file."
        ) from error
    try:
        return open_bytes(encoded)
    except error_class as error:
        raise error_class(f"the file {str(path)!r}: {error}") from error


__all__ = ["open_file"]
