# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Places are handed on in the order in which threads came; who gives up waiting takes none."""

import queue
import subprocess
import sys
import threading

import pytest

from hf_multimodal.serving.turns import Turns


def waits(turns, count):
    """Whether so many threads wait, after as long as that takes."""
    event = threading.Event()
    return any(len(turns._waiting) == count or event.wait(0.01) for _ in range(1000))


def test_whoever_waits_comes_before_a_newcomer():
    turns, came, go = Turns(1), queue.Queue(), [threading.Event() for _ in range(4)]
    assert turns.acquire(0)

    def take(number):
        assert turns.acquire(30)
        came.put(number)
        go[number].wait(30)
        turns.release()

    threads = [threading.Thread(target=take, args=(number,), daemon=True) for number in range(len(go))]
    for number, thread in enumerate(threads):
        thread.start()
        assert waits(turns, number + 1)
    turns.release()
    assert not turns.acquire(0)  # handed on to the first, even if that thread does not run yet
    for number, event in enumerate(go):
        assert came.get(timeout=30) == number
        event.set()
    for thread in threads:
        thread.join(30)
    assert turns.acquire(0)


def test_who_gives_up_takes_no_place():
    turns = Turns(2)
    assert turns.acquire(0)
    assert turns.acquire(0)
    assert not turns.acquire(0.01)
    assert not turns.acquire(-1)
    turns.release()
    turns.release()
    assert turns.acquire(0)
    assert turns.acquire(0)
    assert not turns.acquire(0)


@pytest.mark.slow
def test_full_collections_leave_out_what_was_loaded():
    code = (
        "import gc, sys; from hf_multimodal.serving.run import avoid_pauses\n"
        "there = len(gc.get_objects()); avoid_pauses()\n"
        "print(there, gc.get_freeze_count(), len(gc.get_objects()), sys.getswitchinterval())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    there, frozen, watched, seconds = done.stdout.split()
    assert int(frozen) > 0.9 * int(there) > 100_000
    assert int(watched) < 0.1 * int(there)
    assert float(seconds) == pytest.approx(0.001)
