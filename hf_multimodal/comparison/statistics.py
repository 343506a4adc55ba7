# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a comparison's numbers mean: intervals over seeds and rows, paired tests, and the sentence they add up to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_multimodal.evaluation.detailed_scores import LEVEL, bootstrap

RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval.

    Attributes:
        mean: Over seeds.
        low: Lower end.
        high: Upper end.
        by: `seeds` (Student's t over them) or `rows` (bootstrap of the rows of the one seed).
    """

    mean: float
    low: float
    high: float
    by: str


@dataclass(frozen=True)
class Difference:
    """How much one variant is better than another on the same rows.

    Attributes:
        mean: Of the rows' differences, averaged over the seeds; in shares, or in squared error saved.
        low: Lower end of its 95 % interval, by a paired bootstrap of the rows.
        high: Upper end.
        mcnemar: P-value of McNemar's exact test on the first seed; None for values.
    """

    mean: float
    low: float
    high: float
    mcnemar: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval is on one side of zero."""
        return self.low > 0 or self.high < 0


def estimate(right: np.ndarray) -> Estimate:
    """Estimates a variant's mean score.

    Args:
        right: (seeds, rows) how right each row is.
    """
    by_seed = right.mean(1)
    mean = float(by_seed.mean())
    if len(by_seed) > 1:
        half = float(stats.t.ppf((1 + LEVEL) / 2, len(by_seed) - 1) * by_seed.std(ddof=1) / len(by_seed) ** 0.5)
        return Estimate(mean, mean - half, mean + half, "seeds")
    return Estimate(mean, *_interval(right[0]), "rows")


def difference(right: np.ndarray, other: np.ndarray) -> Difference:
    """Compares two variants on the same rows.

    Args:
        right: (seeds, rows) how right each row is.
        other: Of the other variant.
    """
    paired = right.mean(0) - other.mean(0)
    mcnemar = None
    if np.isin(np.concatenate([right, other]), (0, 1)).all():
        won, lost = int(((right[0] == 1) & (other[0] == 0)).sum()), int(((right[0] == 0) & (other[0] == 1)).sum())
        mcnemar = float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0
    return Difference(float(paired.mean()), *_interval(paired), mcnemar)


def _interval(values: np.ndarray) -> tuple[float, float]:
    found = bootstrap(len(values), lambda chosen: {"mean": float(values[chosen].mean())}, resamples=RESAMPLES)
    return found["mean"]


@dataclass(frozen=True)
class Candidate:
    """What the verdict needs of a variant.

    Attributes:
        name: The variant.
        kind: `alone`, `table` or `fusion`.
        right: (seeds, rows).
        seconds: Mean training time.
    """

    name: str
    kind: str
    right: np.ndarray
    seconds: float


def verdict(candidates: Sequence[Candidate], unit: str) -> tuple[str, str, str]:
    """Says what to ship.

    Args:
        candidates: All variants, at least one of them a fusion.
        unit: `accuracy`, or `mse` where less is better.

    Returns:
        The best fusion's name, the best other variant's, and the sentence.
    """
    fusion = max((x for x in candidates if x.kind == "fusion"), key=lambda x: x.right.mean())
    single = max((x for x in candidates if x.kind != "fusion"), key=lambda x: x.right.mean())
    found = difference(fusion.right, single.right)
    cost = fusion.seconds / single.seconds if single.seconds else float("nan")
    if unit == "mse":
        gain = f"{found.mean:.4f} ({found.low:.4f} to {found.high:.4f}) of squared error"
    else:
        gain = f"{100 * found.mean:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"
    if found.low > 0:
        sentence = (
            f"Ship {fusion.name}: it is {gain} better than {single.name}, for {cost:.1f} times its training time."
        )
    elif found.high < 0:
        sentence = f"Ship {single.name}: the best fusion, {fusion.name}, is no better ({gain})."
    else:
        sentence = (
            f"Ship {single.name}: the gain of {fusion.name}, {gain}, cannot be told from none, and it takes "
            f"{cost:.1f} times the training time."
        )
    return fusion.name, single.name, sentence


__all__ = ["Candidate", "Difference", "Estimate", "difference", "estimate", "verdict"]
