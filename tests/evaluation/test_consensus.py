# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The text that several drawn ones agree on most, by hand."""

from hf_multimodal.evaluation.consensus import choose_by_consensus


def test_what_most_say_beats_what_was_said_most_often():
    """Two say the same, but its words stand in no other; three share "blue shirt"."""
    assert (
        choose_by_consensus(["a red hat", "a red hat", "x blue shirt", "y blue shirt", "z blue shirt"])
        == "x blue shirt"
    )


def test_order_counts():
    assert choose_by_consensus(["shirt blue big", "big blue shirt", "big blue hat"]) == "big blue shirt"


def test_the_first_of_equals():
    assert choose_by_consensus(["b", "a"]) == "b"
    assert choose_by_consensus(["only"]) == "only"
    assert choose_by_consensus(["", ""]) == ""
