# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Places are handed on in the order in which threads came; who gives up waiting takes none."""

import threading

from hf_multimodal.serving.turns import Turns


def waiting(turns, count):
    """Whether so many threads wait, after as long as that takes."""
    event = threading.Event()
    for _ in range(1000):
        if len(turns._waiting) == count:
            return True
        event.wait(0.01)
    return False


def test_in_order_of_arrival():
    turns, came = Turns(1), []
    assert turns.acquire(0)

    def wait(number):
        assert turns.acquire(30)
        came.append(number)
        turns.release()

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(5)]
    for number, thread in enumerate(threads):
        thread.start()
        assert waiting(turns, number + 1)
    assert not turns.acquire(0)  # a newcomer does not overtake
    turns.release()
    for thread in threads:
        thread.join(30)
    assert came == [0, 1, 2, 3, 4]
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
