# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The run's folder: refused when it holds another run, marked before anything is written."""

import shutil
from pathlib import Path

RUN_FILE = "run_config.yaml"
CHECKPOINTS = "checkpoints"


def prepare_output_folder(folder: str | Path, *, overwrite: bool, resume: bool) -> Path:
    """Makes the folder ready for a run.

    Args:
        folder: The run's folder.
        overwrite: Whether an earlier run there may be deleted.
        resume: Whether an earlier run there is to be continued.

    Returns:
        The folder.

    Raises:
        ValueError: if both flags are given, if the folder holds another run or foreign files, or if there is nothing to
            resume.
    """
    folder = Path(folder)
    if overwrite and resume:
        raise ValueError("Give --overwrite or --resume, not both.")
    is_run = (folder / RUN_FILE).is_file()
    if resume and not is_run:
        raise ValueError(f"Nothing to resume: {str(folder)!r} holds no run ({RUN_FILE} is missing).")
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if is_run and not overwrite:
            raise ValueError(
                f"{str(folder)!r} holds another run: give another output_dir, --resume to continue it, or --overwrite "
                "to delete it."
            )
        if not is_run:
            raise ValueError(
                f"{str(folder)!r} exists and is not a run of this tool, so it is left alone, even with --overwrite: "
                "give another output_dir."
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


__all__ = ["CHECKPOINTS", "RUN_FILE", "prepare_output_folder"]
