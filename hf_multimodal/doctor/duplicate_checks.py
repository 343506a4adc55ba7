# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of rows against each other: what stands twice, in one split or in two."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from hf_multimodal.doctor.findings import Finding, Place
from hf_multimodal.doctor.scan import RowFacts

_BITS = 64
_MOST_DIFFERING_BITS = 3  # of two perceptual hashes of pictures that look alike
_BAND = _BITS // (_MOST_DIFFERING_BITS + 1)  # bits; one band at least is the same, by the pigeonhole principle
_LIKENESS = 4.0  # mean difference of the thumbnails' bytes, at most


def check_duplicates(
    splits: Mapping[str, Sequence[RowFacts]],
    labels: Mapping[Place, Hashable],
    *,
    one_label_is_right: bool,
    many_texts_are_fine: bool,
) -> Iterator[Finding]:
    """Finds rows and media that stand twice.

    Args:
        splits: Role -> rows, training first.
        labels: What each row is labelled, or what is to be written of it, where there is anything.
        one_label_is_right: Whether two labels of the same content contradict each other.
        many_texts_are_fine: Whether the rows of one picture are known to belong together.
    """
    yield from _repeated_rows(splits, labels)
    yield from _leaked_rows(splits)
    for modality in ("image", "audio", "video"):
        yield from _shared_media(splits, modality)
    yield from _look_alikes(splits)
    yield from _many_texts(splits, fine=many_texts_are_fine)
    if one_label_is_right:
        yield from _conflicts(splits, labels)


def _groups(rows: Iterable[RowFacts], key: Callable[[RowFacts], Hashable]) -> list[list[RowFacts]]:
    """Rows that share a key, in groups of two and more; those without one are left out."""
    found: dict[Hashable, list[RowFacts]] = defaultdict(list)
    for row in rows:
        if (value := key(row)) is not None:
            found[value].append(row)
    return [group for group in found.values() if len(group) > 1]


def _repeated_rows(splits: Mapping[str, Sequence[RowFacts]], labels: Mapping[Place, Hashable]) -> Iterator[Finding]:
    again: list[Place] = []
    for rows in splits.values():
        for group in _groups(rows, lambda row: (row.content, labels.get(row.place)) if row.content else None):
            again += [row.place for row in group[1:]]
    if again:
        yield Finding(
            "duplicate_row",
            "warning",
            f"{len(again):,} rows say the same as an earlier one of their split, label and all.",
            "Drop them, if they are no deliberate weights (--fix does).",
            tuple(again),
            drop=True,
        )


def _leaked_rows(splits: Mapping[str, Sequence[RowFacts]]) -> Iterator[Finding]:
    for first, second in combinations(splits, 2):
        known = {row.content for row in splits[second] if row.content}
        leaked = [row.place for row in splits[first] if row.content in known]
        if leaked:
            yield Finding(
                "leaked_row",
                "error",
                f"{len(leaked):,} rows of {first} stand in {second}, too: what is measured there is partly remembered.",
                f"Drop them from {first} (--fix does).",
                tuple(leaked),
                drop=True,
            )


def _shared_media(splits: Mapping[str, Sequence[RowFacts]], modality: str) -> Iterator[Finding]:
    for first, second in combinations(splits, 2):
        known = {row.hashes[modality]: row.content for row in splits[second] if modality in row.hashes}
        shared = [
            row.place
            for row in splits[first]
            if row.hashes.get(modality) in known and known[row.hashes[modality]] != row.content
        ]
        if shared:
            yield Finding(
                "shared_media",
                "warning",
                f"{len(shared):,} rows of {first} have the {modality} of a row of {second}, with something else beside "
                "it.",
                f"Split by {modality}, unless what is new in {second} is meant to be the rest of the row.",
                tuple(shared),
            )


def _look_alikes(splits: Mapping[str, Sequence[RowFacts]]) -> Iterator[Finding]:
    for first, second in combinations(splits, 2):
        alike = [
            row.place
            for row, others in _near(splits[first], splits[second])
            if any(_beside_picture(row) == _beside_picture(other) for other in others)
            and all(row.hashes["image"] != other.hashes["image"] for other in others)
        ]
        if alike:
            yield Finding(
                "near_duplicate",
                "warning",
                f"{len(alike):,} rows of {first} have a picture that looks like one of {second} (perceptual hashes "
                f"within {_MOST_DIFFERING_BITS} of {_BITS} bits, small copies within {_LIKENESS:g} of 255), and say "
                "the same beside it.",
                f"Look at some of them; drop them from {first} if they show the same thing.",
                tuple(alike),
            )


def _beside_picture(row: RowFacts) -> dict[str, str]:
    return {modality: content for modality, content in row.hashes.items() if modality != "image"}


def _near(rows: Sequence[RowFacts], others: Sequence[RowFacts]) -> Iterator[tuple[RowFacts, list[RowFacts]]]:
    """Pairs each row with those others whose pictures look like its own."""
    banded: dict[tuple[int, int], list[RowFacts]] = defaultdict(list)
    for other in others:
        if other.looks is not None and not other.blank:
            for band in _bands(other.looks):
                banded[band].append(other)
    for row in rows:
        if row.looks is None or row.blank:
            continue
        candidates = {id(x): x for band in _bands(row.looks) for x in banded.get(band, ())}
        if near := [x for x in candidates.values() if _is_alike(row, x)]:
            yield row, near


def _bands(looks: int) -> list[tuple[int, int]]:
    return [(place, (looks >> place) & ((1 << _BAND) - 1)) for place in range(0, _BITS, _BAND)]


def _is_alike(one: RowFacts, other: RowFacts) -> bool:
    assert one.looks is not None
    assert other.looks is not None
    if (one.looks ^ other.looks).bit_count() > _MOST_DIFFERING_BITS:
        return False
    difference = np.abs(np.asarray(one.thumbnail, dtype=float) - np.asarray(other.thumbnail, dtype=float))
    return float(difference.mean()) <= _LIKENESS


def _many_texts(splits: Mapping[str, Sequence[RowFacts]], *, fine: bool) -> Iterator[Finding]:
    for role, rows in splits.items():
        groups = _groups(rows, lambda row: row.hashes.get("image") if "text" in row.hashes else None)
        if groups:
            count = sum(map(len, groups))
            yield Finding(
                "many_texts",
                "note" if fine else "warning",
                f"{len(groups):,} pictures of {role} stand in {count:,} rows, up to {max(map(len, groups))} each.",
                "" if fine else "Map a column that names the picture to `item`, or its own captions count as wrong.",
                tuple(row.place for group in groups for row in group),
            )


def _conflicts(splits: Mapping[str, Sequence[RowFacts]], labels: Mapping[Place, Hashable]) -> Iterator[Finding]:
    for role, rows in splits.items():
        labelled = [row for row in rows if row.place in labels]
        groups = _groups(labelled, lambda row: row.content or None)
        bad = [group for group in groups if len({labels[row.place] for row in group}) > 1]
        if bad:
            yield Finding(
                "conflicting_label",
                "warning",
                f"{len(bad):,} contents of {role} are labelled in more than one way, in {sum(map(len, bad)):,} rows.",
                "Decide which label is right: no model can get all of them.",
                tuple(row.place for group in bad for row in group),
            )


__all__ = ["check_duplicates"]
