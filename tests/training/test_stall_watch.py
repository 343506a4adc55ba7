# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Which process holds up the others; and one alone is not watched."""

import subprocess
import sys
import time

import pytest
import torch.distributed as dist

from hf_multimodal.training.stall_watch import _LOOKS, StallWatch, stalled


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({0: (8, 1.0), 1: (7, 1.0)}, "rank 1 is behind the others"),
        ({0: (7, 1.0), 1: (8, 1.0), 2: (7, 2.0)}, "rank 0, rank 2 is behind the others"),
        ({0: (8, 1.0), 1: (8, 90.0)}, "rank 1 does not answer"),
        ({0: (8, 1.0), 1: (8, 1.0)}, "in any process: all wait, none is behind"),
    ],
)
def test_who_holds_up_the_others(told, message):
    assert message in stalled(told, 60)


def test_one_process_alone_is_not_watched():
    with StallWatch(0.1, 0, 1) as watch:
        watch.advance()
        assert watch._store is None


class Processes:
    """Rank 0 of two processes, watched, and the store through which rank 1 tells what it has done."""

    def __init__(self, monkeypatch):
        store = dist.HashStore()
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: store)
        self.watch = StallWatch(3600, 0, 2)  # the thread sleeps; the test looks by itself
        self.store = dist.PrefixStore("stall_watch-0", store)

    def look(self, times, *, goes_on=False, other=None):
        for step in range(times):
            if goes_on:
                self.watch.advance()
            if other is not None:
                self.store.set("1", f"{step if other else 0} {time.time()}")
            told = self.watch._look()
        return self.watch._without_news > _LOOKS, stalled(told, self.watch.timeout)


@pytest.mark.parametrize(
    ("goes_on", "other", "message"),
    [
        (True, False, None),
        (False, True, None),  # it waits while another works
        (False, False, "in any process: all wait"),
        (False, None, "rank 1 does not answer"),
    ],
)
def test_processes_stall_when_nothing_goes_on_anywhere(monkeypatch, goes_on, other, message):
    processes = Processes(monkeypatch)
    with processes.watch:
        stalls, told = processes.look(3 * _LOOKS, goes_on=goes_on, other=other)
        assert stalls is (message is not None)
        assert message is None or message in told


def test_a_pause_and_a_quiet_while_are_no_stall(monkeypatch):
    processes = Processes(monkeypatch)
    with processes.watch as watch:
        with watch.paused():
            assert not processes.look(3 * _LOOKS)[0]
        assert not processes.look(_LOOKS)[0]
        assert not processes.look(1, goes_on=True)[0]
        assert not processes.look(_LOOKS)[0]
        assert processes.look(1)[0]


STALLED = """
import time
import torch.distributed as dist
from hf_multimodal.training.stall_watch import StallWatch
store = dist.HashStore()
dist.is_initialized = lambda: True
dist.distributed_c10d._get_default_store = lambda: store
with StallWatch(0.5, 0, 2):
    time.sleep(600)
"""


def test_a_stalled_training_is_ended_from_within():
    done = subprocess.run([sys.executable, "-c", STALLED], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "rank 1 does not answer" in done.stderr
    assert 'File "<string>"' in done.stderr  # where it stood


MEETING = """
import time
from hf_multimodal.training.stall_watch import bounded_meeting
with bounded_meeting({seconds}):
    time.sleep(2)
print("met")
"""


@pytest.mark.parametrize(("seconds", "processes", "meets"), [(1, 2, False), (60, 2, True), (1, 1, True), (0, 2, True)])
def test_processes_that_do_not_meet_in_time_end(seconds, processes, meets):
    done = subprocess.run(
        [sys.executable, "-c", MEETING.format(seconds=seconds)],
        env={"WORLD_SIZE": str(processes), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is meets
    assert ("met" in done.stdout) is meets
    assert ("Timeout" in done.stderr) is not meets
