# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Which rows lose a modality."""

import datasets
import pytest

from hf_multimodal.evaluation.missing_rates import RowsWithout

ROWS = datasets.Dataset.from_dict({"text": [f"t{i}" for i in range(20)] + [None], "image": ["x"] * 21})


@pytest.mark.parametrize(("rate", "count"), [(0.0, 0), (0.25, 5), (0.5, 10), (1.0, 20)])
def test_a_share_of_the_rows_loses_it(rate, count):
    lost = [
        row["image"] is None for row in map(RowsWithout(ROWS, "image", rate, ("text", "image")).__getitem__, range(21))
    ]
    assert abs(sum(lost) - count) <= 1  # the last row may be among the chosen, and has nothing else
    assert not lost[20]


def test_a_higher_rate_takes_the_same_rows_and_more():
    few, many = (RowsWithout(ROWS, "image", rate, ("text", "image")).chosen for rate in (0.25, 0.75))
    assert few < many
    assert RowsWithout(ROWS, "image", 0.25, ("text", "image"), seed=1).chosen != few
