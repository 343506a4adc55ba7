# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Which process holds up the others; and one alone is not watched."""

import subprocess
import sys

import pytest

from hf_multimodal.training.stall_watch import StallWatch, stalled


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


WATCHED = """
import time
import torch.distributed as dist
from hf_multimodal.training.stall_watch import StallWatch
store = dist.HashStore()
dist.is_initialized = lambda: True
dist.distributed_c10d._get_default_store = lambda: store
other = dist.PrefixStore("stall_watch-0", store)
with StallWatch(1, 0, 2) as watch:
    for step in range(30):
        time.sleep(0.1)
        if {goes_on} and step < 10 or step > 18:  # once for 0.9 s nothing happens
            watch.advance()
        if {other_answers}:
            other.set("1", f"{{step if {other_goes_on} else 0}} {{time.time()}}")
print("ended well")
"""


@pytest.mark.parametrize(
    ("goes_on", "other_answers", "other_goes_on", "told"),
    [
        (True, True, False, None),
        (False, True, True, None),  # it waits while another works
        (False, True, False, "in any process: all wait"),
        (False, False, False, "rank 1 does not answer"),
    ],
)
def test_a_training_ends_when_nothing_goes_on_anywhere(goes_on, other_answers, other_goes_on, told):
    code = WATCHED.format(goes_on=goes_on, other_answers=other_answers, other_goes_on=other_goes_on)
    if not goes_on:
        code = code.replace(" or step > 18", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ("ended well" in done.stdout) is (told is None)
    assert done.returncode == (0 if told is None else 1)
    assert told is None or told in done.stderr


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
