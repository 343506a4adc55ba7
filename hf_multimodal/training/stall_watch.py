# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Ends a training of several processes in which one stands still, and says which."""

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from transformers import TrainerCallback

_logger = logging.getLogger(__name__)
_LOOKS = 10  # at what the processes have done, all without news, before they count as standing still


class StallWatch(TrainerCallback):
    """Counts what each process of a training has done, and ends them all when nothing has happened for too long.

    Without it the others wait in a collective operation for half an hour, and then say only that they waited. The
    counts are kept in the store by which the processes met. Use it as a context around the training.

    Args:
        timeout: Seconds without a step or an evaluated batch in any process, after which the training is ended.
        rank: The process's number.
        world_size: How many there are; one alone is not watched.
    """

    def __init__(self, timeout: float, rank: int, world_size: int) -> None:
        self.timeout, self.rank, self.world_size = timeout, rank, world_size
        self._count, self._pauses = 0, 0
        self._counts: dict[int, int] = {}
        self._without_news = 0
        self._stopped = threading.Event()
        self._store: Any = None

    def __enter__(self) -> "StallWatch":
        """Starts to watch."""
        if self.world_size > 1 and self.timeout > 0 and dist.is_initialized():
            store = dist.distributed_c10d._get_default_store()
            self._store = dist.PrefixStore(f"stall_watch-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
            self._stopped.clear()
            self._without_news = 0
            self._tell()
            threading.Thread(target=self._watch, name="stall watch", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stops to watch."""
        self._stopped.set()

    def advance(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 (arguments of any callback)
        """Notes that the process has done something."""
        self._count += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Does not watch for a while."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            self.advance()

    # what a process does now and then
    on_step_end = on_substep_end = on_prediction_step = on_evaluate = on_save = on_log = advance

    def _tell(self) -> None:
        self._store.set(f"{self.rank}", f"{self._count} {time.time()}")

    def _heard(self) -> dict[int, tuple[int, float]]:
        """How much each process has done, and how many seconds ago it said so; one that never did, for ever."""
        told = dict.fromkeys(range(self.world_size), (0, float("inf")))
        for rank in told:
            if self._store.check([f"{rank}"]):
                count, seen = self._store.get(f"{rank}").decode().split()
                told[rank] = int(count), time.time() - float(seen)
        return told

    def _watch(self) -> None:
        while not self._stopped.wait(self.timeout / _LOOKS):
            try:
                told = self._look()
            except RuntimeError as error:
                # the process that holds the store is gone, and the launcher sees that by itself
                _logger.warning("The processes of the training cannot be watched any more: %s", error)
                return
            if self._without_news > _LOOKS and not self._stopped.is_set():
                self._end(told)

    def _look(self) -> dict[int, tuple[int, float]]:
        # looks are counted, not seconds: a machine that was suspended or starved has had no chance to do anything
        self._tell()
        told = self._heard()
        counts = {rank: count for rank, (count, _) in told.items()}
        if counts != self._counts or self._pauses:  # somebody goes on, so the others may wait for good reasons
            self._counts, self._without_news = counts, 0
        else:
            self._without_news += 1
        return told

    def _end(self, told: Mapping[int, tuple[int, float]]) -> None:
        sys.stderr.write(f"error: {stalled(told, self.timeout)}\n")
        faulthandler.dump_traceback(all_threads=True)
        sys.stderr.flush()
        os._exit(1)  # the main thread may be in a call that no exception reaches


@contextmanager
def bounded_meeting(timeout: float) -> Iterator[None]:
    """Ends this process with a traceback if the processes of a training do not find each other in time.

    gloo may wait without an end for a process that has been started again; the launcher then starts all anew.

    Args:
        timeout: Seconds; 0 waits for ever.
    """
    is_bounded = timeout > 0 and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if is_bounded:
        faulthandler.dump_traceback_later(timeout, exit=True)
    try:
        yield
    finally:
        if is_bounded:
            faulthandler.cancel_dump_traceback_later()


def stalled(told: Mapping[int, tuple[int, float]], timeout: float) -> str:
    """Says which process holds up the others.

    Args:
        told: Rank -> how much it has done, and how many seconds ago it said so.
        timeout: Seconds after which a process counts as standing still.
    """
    silent = [rank for rank, (_, seconds) in told.items() if seconds > timeout / 2]
    least = min(count for count, _ in told.values())
    behind = silent or [rank for rank, (count, _) in told.items() if count == least]
    if len(behind) == len(told):
        return f"Nothing has happened for {timeout:g} s, in any process: all wait, none is behind."
    named = ", ".join(f"rank {rank}" for rank in behind)
    how = "does not answer" if silent else "is behind the others"
    return f"Nothing has happened for {timeout:g} s, and {named} {how}: the training is ended (training.stall_timeout)."


__all__ = ["StallWatch", "bounded_meeting", "stalled"]
