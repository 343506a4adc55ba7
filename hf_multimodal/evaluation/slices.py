# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Scores by the values of a column: where the model is good, and where it is not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy.stats import binomtest

from hf_multimodal.evaluation.detailed_scores import LEVEL, ScoredRows, bootstrap

SHOWN_VALUES = 12
NO_VALUE = "(none)"


@dataclass(frozen=True)
class Slice:
    """The rows of one value.

    Attributes:
        value: The value, or a range of numbers.
        rows: How many rows have it.
        score: Their accuracy, or mean squared error.
        low: Lower end of its interval: of a share Wilson's (1927), else from a bootstrap.
        high: Upper end.
    """

    value: str
    rows: int
    score: float
    low: float
    high: float


def slice_scores(rows: ScoredRows, values: Sequence[Any]) -> tuple[list[Slice], int]:
    """Scores the rows of each value of a column.

    Numbers of more than twelve values are cut into quarters of the rows; of other columns the twelve most frequent
    values are taken.

    Args:
        rows: One task's rows.
        values: The column, a value for each row of the dataset.

    Returns:
        The slices, and how many rarer values are left out.
    """
    own = [values[i] for i in rows.rows]
    named, is_cut = _named(own), _is_cut(own)
    places: dict[str, list[int]] = {}
    for i, name in enumerate(named):
        places.setdefault(name, []).append(i)
    if is_cut:  # from low to high, those without a number last
        ordered = sorted(places, key=lambda name: np.inf if own[places[name][0]] is None else own[places[name][0]])
    else:
        ordered = [name for name, _ in Counter(named).most_common()]
    sign = -1.0 if rows.problem_type == "regression" else 1.0
    shown = [_slice(name, sign * rows.right[places[name]]) for name in ordered[:SHOWN_VALUES]]
    return shown, len(ordered) - len(shown)


def _slice(value: str, right: np.ndarray) -> Slice:
    if np.isin(right, (0, 1)).all():  # a bootstrap of two rows that are both right knows no doubt
        share = binomtest(int(right.sum()), len(right)).proportion_ci(LEVEL, method="wilson")
        return Slice(value, len(right), float(right.mean()), float(share.low), float(share.high))
    low, high = bootstrap(len(right), lambda chosen: {"score": float(right[chosen].mean())})["score"]
    return Slice(value, len(right), float(right.mean()), low, high)


def _is_cut(values: Sequence[Any]) -> bool:
    known = {x for x in values if x is not None} if all(_is_number(x) for x in values) else set()
    return len(known) > SHOWN_VALUES


def _is_number(value: Any) -> bool:  # noqa: ANN401 (any cell)
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def _named(values: Sequence[Any]) -> list[str]:
    if not _is_cut(values):
        return [NO_VALUE if x is None else ", ".join(map(str, x)) if isinstance(x, list) else str(x) for x in values]
    ends = np.quantile([x for x in values if x is not None], (0, 0.25, 0.5, 0.75, 1))
    quarters = [f"{low:.10g} to {high:.10g}" for low, high in zip(ends, ends[1:], strict=False)]
    inner = ends[1:-1]
    return [NO_VALUE if x is None else quarters[int(np.searchsorted(inner, x, side="left"))] for x in values]


__all__ = ["NO_VALUE", "SHOWN_VALUES", "Slice", "slice_scores"]
