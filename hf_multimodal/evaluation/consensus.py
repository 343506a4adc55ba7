# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The text that several drawn ones agree on most."""

from collections import Counter
from collections.abc import Sequence


def choose_by_consensus(samples: Sequence[str]) -> str:
    """Returns the sample that is most like all the others (minimum Bayes risk, Kumar and Byrne 2004).

    Alike is the F1 of the words and pairs of words that two texts share. What a model is sure of stands in most of the
    samples, what it guesses in few; the single most probable text mixes both, each word after those before it.

    Args:
        samples: At least one text of one row. Of equally good ones the first is taken.
    """
    counts = Counter(samples)
    grams = {text: _grams(text) for text in counts}
    sizes = {text: grams[text].total() for text in counts}

    def agreement(text: str) -> float:
        shared = {other: (grams[text] & grams[other]).total() for other in counts}
        return sum(n * 2 * shared[other] / max(1, sizes[text] + sizes[other]) for other, n in counts.items())

    return max(counts, key=agreement)


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = text.lower().split()
    return Counter([*((word,) for word in words), *zip(words, words[1:], strict=False)])


__all__ = ["choose_by_consensus"]
