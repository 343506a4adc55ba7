# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches of what arrives together, refusals, deadlines, and items that fail alone."""

import threading

import pytest

from hf_multimodal.serving.batcher import DeadlineError, MicroBatcher, OverloadError


class Held:
    """Computes when it is let; until then everything waits."""

    def __init__(self):
        self.go = threading.Event()
        self.begun = threading.Event()
        self.batches = []

    def __call__(self, items):
        self.batches.append(list(items))
        self.begun.set()
        assert self.go.wait(60)
        if "bad" in items:
            raise RuntimeError("bad")
        return [item * 2 for item in items]


@pytest.fixture
def held():
    held = Held()
    yield held
    held.go.set()


def start(held, **options):
    """A batcher that is at work on its first item, so that others gather."""
    batcher = MicroBatcher(held, **{"max_batch": 3, "max_wait": 0, **options})
    first = batcher.submit(["first"], 60)[0]
    assert held.begun.wait(60)
    return batcher, first


def test_what_gathers_is_computed_together_in_its_order(held):
    sizes = []
    batcher, first = start(held, observe=sizes.append)
    futures = batcher.submit(["a", "b"], 60) + batcher.submit(["c", "d"], 60)
    assert len(batcher) == 4
    held.go.set()
    assert [future.result(60) for future in (first, *futures)] == ["firstfirst", "aa", "bb", "cc", "dd"]
    assert held.batches == [["first"], ["a", "b", "c"], ["d"]]
    assert sizes == [1, 3, 1]
    batcher.close()
    assert not batcher.is_alive


def test_a_full_queue_refuses_at_once_and_takes_all_or_none(held):
    batcher, first = start(held, max_queue=2)
    waiting = batcher.submit(["a"], 60)
    with pytest.raises(OverloadError, match="1 rows wait already, of 2"):
        batcher.submit(["b", "c"], 60)
    held.go.set()
    assert waiting[0].result(60) == "aa"
    assert batcher.submit(["b"], 60)[0].result(60) == "bb"
    assert held.batches == [["first"], ["a"], ["b"]]


def test_one_that_fails_fails_alone(held):
    batcher, _ = start(held)
    good, bad, other = batcher.submit(["good", "bad", "other"], 60)
    held.go.set()
    assert (good.result(60), other.result(60)) == ("goodgood", "otherother")
    with pytest.raises(RuntimeError, match="bad"):
        bad.result(60)
    assert batcher.is_alive


def test_what_came_too_late_or_was_given_up_is_not_computed(held):
    batcher, _ = start(held)
    late, given_up, good = (
        batcher.submit([name], time)[0] for name, time in (("late", -1), ("gone", 60), ("good", 60))
    )
    assert given_up.cancel()
    held.go.set()
    assert good.result(60) == "goodgood"
    with pytest.raises(DeadlineError):
        late.result(60)
    assert held.batches[1:] == [["good"]]


def test_closing_finishes_what_waits_and_takes_no_more(held):
    batcher, first = start(held)
    waiting = batcher.submit(["a", "b", "c", "d"], 60)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while batcher.is_alive:
        pass
    with pytest.raises(OverloadError, match="shutting down"):
        batcher.submit(["more"], 60)
    held.go.set()
    closing.join(60)
    assert [future.result(0) for future in (first, *waiting)] == ["firstfirst", "aa", "bb", "cc", "dd"]


def test_nobody_is_waited_for_where_nobody_comes():
    sizes, comes = [], [True]
    batcher = MicroBatcher(list, max_wait=60, expects_more=lambda: comes[0], observe=sizes.append)
    first = batcher.submit(["a"], 60)[0]
    comes[0] = False
    (second,) = batcher.submit(["b"], 60)
    assert (first.result(10), second.result(10)) == ("a", "b")  # long before the minute is over
    assert batcher.submit(["c"], 60)[0].result(10) == "c"
    assert sizes == [2, 1]


def test_a_wrong_number_of_results_is_an_error():
    batcher = MicroBatcher(lambda items: [])
    with pytest.raises(RuntimeError, match="1 items gave 0 results"):
        batcher.submit(["a"], 60)[0].result(60)


@pytest.mark.parametrize("bound", [{"max_batch": 0}, {"max_wait": -1}, {"max_queue": 0}])
def test_bounds_that_leave_nothing(bound):
    with pytest.raises(ValueError, match=f"{next(iter(bound))}="):
        MicroBatcher(list, **bound)
