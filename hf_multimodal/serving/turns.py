# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A few places that threads get in the order in which they came."""

import threading
from collections import deque


class Turns:
    """A semaphore that hands a place on to whoever has waited longest.

    In `threading.Semaphore` a thread that comes just then overtakes those that wait: under load some wait very long.

    Args:
        places: How many threads are in at once.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Lock] = deque()  # each is released when its turn has come
        self._lock = threading.Lock()

    def acquire(self, timeout: float) -> bool:
        """Waits for a place; returns whether there was one in time.

        Args:
            timeout: Seconds; 0 or less takes a free place or none.
        """
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=max(0.0, timeout)):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # its turn came just now

    def release(self) -> None:
        """Leaves a place."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


__all__ = ["Turns"]
