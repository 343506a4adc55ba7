# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are whole or absent, and the newest whole one to go on from.

A checkpoint is written aside, flushed to the disk, listed with its hashes in a manifest that comes last, and only then
given its name. Older ones are deleted after that.
"""

import errno
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from accelerate.utils import broadcast_object_list
from transformers import Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_multimodal.data.whole_files import flush, flush_folder, write_whole

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"  # beside the checkpoints; one is written in it
_NUMBERED = re.compile(rf"^{PREFIX_CHECKPOINT_DIR}-(\d+)$")
_logger = logging.getLogger(__name__)


def seal_checkpoint(checkpoint: Path) -> None:
    """Flushes a folder to the disk and writes its manifest: each file's size and SHA-256."""
    flush_folder(checkpoint)
    listed = {str(path.relative_to(checkpoint).as_posix()): _fingerprint(path) for path in _files(checkpoint)}
    write_whole(checkpoint / MANIFEST, json.dumps(listed, indent=2) + "\n")


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path != checkpoint / MANIFEST)


def _fingerprint(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:  # Python 3.10 lacks `hashlib.file_digest`
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def damage_of(checkpoint: str | Path) -> str | None:
    """Says what is wrong with a checkpoint; None where it is whole."""
    checkpoint = Path(checkpoint)
    manifest = checkpoint / MANIFEST
    if not manifest.is_file():
        return f"it has no {MANIFEST}, so it was not finished, or not written by this package"
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        return f"its {MANIFEST} cannot be read"
    for name, expected in listed.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != expected["size"]:
            return f"{name} has {path.stat().st_size:,} bytes instead of {expected['size']:,}"
        if _fingerprint(path) != expected:
            return f"{name} is not what was written"
    return None


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Lists the checkpoints in a folder, whole or not, the newest first."""
    folder = Path(folder)
    named = [path for path in folder.iterdir() if _NUMBERED.match(path.name)] if folder.is_dir() else []
    return sorted(named, key=_step, reverse=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def newest_whole_checkpoint(folder: str | Path) -> Path | None:
    """Finds the newest checkpoint that is whole, and warns of newer ones that are not.

    Args:
        folder: Where the checkpoints are.

    Raises:
        ValueError: if there are checkpoints and none is whole.
    """
    found = list_checkpoints(folder)
    for checkpoint in found:
        damage = damage_of(checkpoint)
        if damage is None:
            return checkpoint
        _logger.warning("%s is passed over: %s.", checkpoint, damage)
    if found:
        raise ValueError(
            f"None of the checkpoints in {str(folder)!r} is whole, such as {found[0].name} ({damage_of(found[0])}): "
            "start anew with --overwrite, or put a whole one there."
        )
    return None


def publish_checkpoint(unfinished: Path, checkpoint: Path) -> None:
    """Gives a sealed checkpoint its name; one of that name, of the same step in an earlier attempt, is deleted."""
    if checkpoint.exists():
        before = unfinished.with_name(f"{checkpoint.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        checkpoint.rename(before)
    unfinished.rename(checkpoint)
    flush(checkpoint.parent)


def prune_checkpoints(folder: Path, limit: int | None, keep: Sequence[str | None]) -> None:
    """Deletes the oldest checkpoints, once a newer one is whole.

    Args:
        folder: Where they are.
        limit: How many stay; None or 0 leaves all.
        keep: Some that stay in any case, such as the one just written and the best one; they count.
    """
    if not limit or limit < 0:
        return
    kept = {Path(path).name for path in keep if path is not None}
    found = list_checkpoints(folder)
    old = [checkpoint for checkpoint in reversed(found) if checkpoint.name not in kept]
    for checkpoint in old[: max(0, len(found) - limit)]:
        shutil.rmtree(checkpoint, ignore_errors=True)


class WholeCheckpoints(Trainer):
    """A `Trainer` whose checkpoints are whole or absent, and that goes on from the newest whole one."""

    _writes_to: Path | None = None  # while a checkpoint is being written

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (as overridden)
        """Trains, as `transformers.Trainer.train` does; `resume_from_checkpoint=True` is the newest whole checkpoint.

        Raises:
            ValueError: if no checkpoint is whole, or the one that is named is not.
        """
        if resume_from_checkpoint:
            resume_from_checkpoint = self._agree_on_checkpoint(resume_from_checkpoint)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _agree_on_checkpoint(self, asked: str | bool) -> str:
        """Chooses and checks a checkpoint in one process, for all of them."""
        answer: list[str | None] = [None, None]
        if self.is_world_process_zero():
            try:
                answer[0] = _checked_checkpoint(asked, str(self.args.output_dir))
            except ValueError as error:
                answer[1] = str(error)
        chosen, mistake = broadcast_object_list(answer)
        if mistake is not None:
            raise ValueError(mistake)
        return str(chosen)

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ANN401 (as overridden)
        return super()._get_output_dir(trial) if self._writes_to is None else str(self._writes_to)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if self._writes_to is None:  # else it is pushed when it has its name
            super()._push_from_checkpoint(checkpoint_folder)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401 (as overridden)
        folder = Path(self._get_output_dir(trial))
        unfinished, name = folder / UNFINISHED, f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.is_local_process_zero():
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
        self.accelerator.wait_for_everyone()
        self._writes_to = unfinished
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # until every process has written its part
            self._writes_to = None
            self.find_best(folder, name)
            self._publish(folder, name)
        except Exception as error:
            shutil.rmtree(unfinished, ignore_errors=True)  # gives its space back
            _explain_full_disk(folder, name, self._bytes_to_save(), error)
            raise
        finally:
            self._writes_to = None
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(folder / name))

    def find_best(self, folder: Path, newest: str | None = None) -> None:
        """Says where the best checkpoint is: where it will stand, or where it is after a run was moved.

        Args:
            folder: Where the checkpoints are.
            newest: Name of one that is about to stand there.
        """
        best = f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
        if self.state.best_global_step and (best == newest or (folder / best).is_dir()):
            self.state.best_model_checkpoint = str(folder / best)

    def _publish(self, folder: Path, name: str) -> None:
        """Seals the checkpoint, gives it its name and deletes older ones: once on each disk."""
        unfinished = folder / UNFINISHED / name
        for turn in (self.is_world_process_zero(), self.is_local_process_zero()):
            if turn and unfinished.is_dir():  # in the second turn a machine that has a disk of its own
                if self.args.should_save:
                    self.state.save_to_json(str(unfinished / TRAINER_STATE_NAME))
                seal_checkpoint(unfinished)
                publish_checkpoint(unfinished, folder / name)
                shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
            self.accelerator.wait_for_everyone()
        if self.is_local_process_zero():
            best = self.state.best_model_checkpoint
            prune_checkpoints(folder, self.args.save_total_limit, [str(folder / name), best])
        self.accelerator.wait_for_everyone()

    def _bytes_to_save(self) -> int:
        """About how large a checkpoint is: the weights, and for each that is trained two numbers, as Adam keeps."""
        parameters = cast(Any, self.model).parameters()
        return sum(x.numel() * x.element_size() * (3 if x.requires_grad else 1) for x in parameters)


def _checked_checkpoint(asked: str | bool, folder: str) -> str:
    """Returns the checkpoint that is named, or the newest whole one.

    Raises:
        ValueError: if it is damaged, or there is none.
    """
    if asked is True:
        found = newest_whole_checkpoint(folder)
        if found is None:
            raise ValueError(f"There is no checkpoint in {folder!r} to go on from.")
        return str(found)
    damage = damage_of(str(asked)) if Path(str(asked), MANIFEST).is_file() else None  # others' have none
    if damage is not None:
        raise ValueError(f"{str(asked)!r} is no whole checkpoint: {damage}.")
    return str(asked)


def _explain_full_disk(folder: Path, name: str, needed: int, error: Exception) -> None:
    """Raises an error that says how much is needed, if the disk is full, for which each library has its own error."""
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    if free >= needed and "No space left" not in str(error):
        return
    others = [checkpoint.name for checkpoint in list_checkpoints(folder)]
    left = f"{others[0]} is as it was: free some space and go on with --resume." if others else "Free some space."
    raise OSError(
        errno.ENOSPC,
        f"No space left to write {name} to {str(folder)!r}: it takes about {needed / 1e6:,.1f} MB, and "
        f"{free / 1e6:,.1f} MB are free. {left}",
    ) from error


__all__ = [
    "MANIFEST",
    "UNFINISHED",
    "WholeCheckpoints",
    "damage_of",
    "list_checkpoints",
    "newest_whole_checkpoint",
    "prune_checkpoints",
    "publish_checkpoint",
    "seal_checkpoint",
]
