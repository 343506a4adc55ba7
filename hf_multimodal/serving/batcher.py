# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Requests that arrive together are computed together; a bounded queue says no at once when too many do."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


class OverloadError(RuntimeError):
    """The queue is full, or being emptied before the end: come again later."""


class DeadlineError(RuntimeError):
    """What was asked for was not done in time."""


@dataclass
class _Job:
    item: Any
    deadline: float  # of time.monotonic
    future: "Future[Any]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class MicroBatcher:
    """One thread that takes what has gathered in a bounded queue and computes it in one go.

    A batch that fails is computed item by item, so that none fails for another's sake.

    Args:
        compute: Items -> as many results, in their order.
        max_batch: Most items of one batch; 1 computes each alone.
        max_wait: Seconds that the first item of a batch waits for others at most.
        max_queue: Most items that wait; more are refused.
        expects_more: Whether others are on their way; else none is waited for.
        observe: Called with the number of items of each batch.
    """

    def __init__(
        self,
        compute: Callable[[list[Any]], Sequence[Any]],
        *,
        max_batch: int = 16,
        max_wait: float = 0.005,
        max_queue: int = 64,
        expects_more: Callable[[], bool] = lambda: True,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        for name, value, least in (("max_batch", max_batch, 1), ("max_wait", max_wait, 0), ("max_queue", max_queue, 1)):
            if value < least:
                raise ValueError(f"{name}={value}: it is at least {least}.")
        self.compute, self.expects_more, self.observe = compute, expects_more, observe
        self.max_batch, self.max_wait, self.max_queue = max_batch, max_wait, max_queue
        self._queue: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="micro-batcher", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_alive(self) -> bool:
        """Whether items given now would be computed."""
        return self._thread.is_alive() and not self._closed

    def submit(self, items: Sequence[Any], timeout: float) -> "list[Future[Any]]":
        """Puts items into the queue, all or none.

        Args:
            items: What `compute` takes.
            timeout: Seconds after which an item that still waits is given up.

        Raises:
            OverloadError: if there is no room, or the batcher has been closed.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            if self._closed:
                raise OverloadError("The service is shutting down.")
            if len(self._queue) + len(items) > self.max_queue:
                raise OverloadError(f"{len(self._queue)} rows wait already, of {self.max_queue} that may.")
            jobs = [_Job(item, deadline) for item in items]
            self._queue.extend(jobs)
            self._changed.notify()
        return [job.future for job in jobs]

    def close(self, timeout: float | None = None) -> None:
        """Takes no more items, computes those that wait, and ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _work(self) -> None:
        while (jobs := self._next()) is not None:
            if jobs:
                self.observe(len(jobs))
                self._finish(jobs)

    def _next(self) -> list[_Job] | None:
        """Waits for a batch; None after the end."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._changed.wait()
            until = self._queue[0].since + self.max_wait
            while len(self._queue) < self.max_batch and not self._closed and self.expects_more():
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            taken = [self._queue.popleft() for _ in range(min(self.max_batch, len(self._queue)))]
        jobs, now = [], time.monotonic()
        for job in taken:
            if not job.future.set_running_or_notify_cancel():
                continue
            if job.deadline < now:
                job.future.set_exception(DeadlineError("It waited too long."))
                continue
            jobs.append(job)
        return jobs

    def _finish(self, jobs: list[_Job]) -> None:
        try:
            results = self.compute([job.item for job in jobs])
            if len(results) != len(jobs):
                raise RuntimeError(f"{len(jobs)} items gave {len(results)} results.")
        except BaseException as error:  # noqa: BLE001 (told to those who asked; the thread must live)
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:
                self._finish([job])
            return
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)


__all__ = ["DeadlineError", "MicroBatcher", "OverloadError"]
