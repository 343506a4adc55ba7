# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The run's folder: refused when it holds another run, marked before anything is written."""

import os
import shutil
from pathlib import Path

import psutil

from hf_multimodal.data.whole_files import aside
from hf_multimodal.evaluation.predictions import METRICS, PREDICTIONS

RUN_FILE = "run_config.yaml"
CHECKPOINTS = "checkpoints"
FAULTY_ROWS = "faulty_rows.jsonl"
BUNDLE_MANIFEST = "bundle.json"  # in the folder of an exported model, which has no weights to load
TRAINING_LOG = "training_log.json"  # what the Trainer logged, step by step


def is_bundle(model: str) -> bool:
    """Whether this is the folder of an exported model."""
    return (Path(model) / BUNDLE_MANIFEST).is_file()


def check_output_folder(folder: str | Path, *, overwrite: bool, resume: bool) -> None:
    """Checks whether a run may use the folder, without touching it.

    Args:
        folder: The run's folder.
        overwrite: Whether an earlier run there may be deleted.
        resume: Whether an earlier run there is to be continued.

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
    if resume or not folder.exists() or (folder.is_dir() and _is_bare(folder)):
        return
    if not is_run:
        raise ValueError(
            f"{str(folder)!r} exists and is not a run of this tool, so it is left alone, even with --overwrite: give "
            "another output_dir."
        )
    if not overwrite:
        raise ValueError(
            f"{str(folder)!r} holds another run: give another output_dir, --resume to continue it, or --overwrite to "
            "delete it."
        )


def is_restarted(folder: Path) -> bool:
    """Whether the launcher has started this process again, and the run in the folder is one that it has begun."""
    file = folder / RUN_FILE
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) == 0 or not file.is_file():
        return False
    launcher = psutil.Process(os.getppid())
    return file.stat().st_mtime >= launcher.create_time()  # an older run is somebody else's


def _is_bare(folder: Path) -> bool:
    """Whether a folder is empty, or as a run leaves it that is killed before its first word."""
    names = [path.name for path in folder.iterdir()]
    if set(names) - {CHECKPOINTS, aside(folder / RUN_FILE).name}:
        return False
    return CHECKPOINTS not in names or not any((folder / CHECKPOINTS).iterdir())


def prepare_output_folder(folder: str | Path, *, overwrite: bool) -> Path:
    """Makes a checked folder ready for a run: deletes an earlier run if that was asked for, and creates the folder."""
    folder = Path(folder)
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    return folder


def refuse_results(folder: Path, *, overwrite: bool) -> None:
    """Refuses a folder for metrics and predictions that is a run's own, or holds earlier ones.

    Raises:
        ValueError: naming the file in the way.
    """
    if (folder / RUN_FILE).is_file():
        raise ValueError(
            f"{str(folder)!r} holds a run, whose own metrics would be replaced: give --output {folder / 'evaluation'}."
        )
    for name in (METRICS, PREDICTIONS):
        if (folder / name).exists() and not overwrite:
            raise ValueError(f"{str(folder / name)!r} exists: give another --output, or --overwrite to replace it.")


__all__ = [
    "CHECKPOINTS",
    "FAULTY_ROWS",
    "RUN_FILE",
    "TRAINING_LOG",
    "check_output_folder",
    "is_restarted",
    "prepare_output_folder",
    "refuse_results",
]
