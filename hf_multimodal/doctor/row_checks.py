# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of the rows by themselves: media, texts, series."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hf_multimodal.doctor.findings import Finding
from hf_multimodal.doctor.scan import RowFacts

_ODD_RATIO = 4.0  # of a picture's sides


def check_presence(rows: Sequence[RowFacts], modalities: Sequence[str]) -> Iterator[Finding]:
    """Finds media that cannot be opened, rows with nothing in them, and how many lack a modality."""
    for modality in modalities:
        bad = [row for row in rows if modality in row.errors]
        if bad:
            yield Finding(
                "unreadable",
                "error",
                f"{len(bad):,} rows have {modality} that cannot be used, the first one: {bad[0].errors[modality]}",
                "Replace them, or drop the rows (--fix leaves them out).",
                tuple(row.place for row in bad),
                drop=True,
            )
    nothing = [row.place for row in rows if not row.hashes]
    if nothing:
        message = f"{len(nothing):,} rows have nothing in any of {', '.join(modalities)}."
        yield Finding("nothing_there", "error", message, "Drop them (--fix does).", tuple(nothing), drop=True)
    for modality in modalities if len(modalities) > 1 else ():
        lacking = [row.place for row in rows if modality not in row.hashes and row.hashes]
        if lacking:
            share = len(lacking) / len(rows)
            yield Finding(
                "modality_missing",
                "note",
                f"{len(lacking):,} rows ({share:.1%}) have no {modality}.",
                "The model reads them all the same; model.modality_dropout prepares it for more.",
                tuple(lacking),
            )


def check_ids(rows: Sequence[RowFacts]) -> Iterator[Finding]:
    """Finds ids that stand twice in one split."""
    seen: set[tuple[str, str]] = set()
    again = []
    for row in rows:
        name = row.place[:2]
        if name in seen:
            again.append(row.place)
        seen.add(name)
    if again:
        yield Finding(
            "duplicate_id",
            "error",
            f"{len(again):,} rows have an id that stands in their split already.",
            "Give each its own, or leave `id` out of data.columns to number the rows (--fix keeps the first).",
            tuple(again),
            drop=True,
        )


def check_texts(rows: Sequence[RowFacts], tokenizer: Any = None) -> Iterator[Finding]:  # noqa: ANN401 (any tokenizer)
    """Finds texts that are empty, or longer than the tokenizer takes."""
    there = [row for row in rows if row.texts]
    empty = [row.place for row in there if not all(text.strip() for text in row.texts)]
    if empty:
        yield Finding(
            "empty_text",
            "warning",
            f"{len(empty):,} rows have a text of nothing but spaces.",
            "Use None where there is no text: the model then knows that it is absent.",
            tuple(empty),
        )
    if tokenizer is None or not there:
        return
    limit = tokenizer.model_max_length
    texts = [(row.place, text) for row in there for text in row.texts]
    lengths = [len(ids) for ids in tokenizer([x for _, x in texts], truncation=False, verbose=False)["input_ids"]]
    cut = list(dict.fromkeys(place for (place, _), length in zip(texts, lengths, strict=True) if length > limit))
    count = sum(length > limit for length in lengths)
    if cut:
        yield Finding(
            "long_text",
            "warning",
            f"{count:,} texts ({count / len(texts):.1%}) have more than {limit} tokens, the longest "
            f"{max(lengths):,}: their ends are not read.",
            f"Raise data.max_length ({int(np.quantile(lengths, 0.99)):,} tokens hold 99 % of the texts), or shorten "
            "them.",
            tuple(cut),
        )


def check_pictures(rows: Sequence[RowFacts], side: int | None) -> Iterator[Finding]:
    """Finds pictures that are small, of an odd shape, or blank.

    Args:
        rows: The rows.
        side: Of the square that the tower reads, in pixels, if it is known.
    """
    sized = [(row.place, *row.size) for row in rows if row.size is not None]
    small = [place for place, *size in sized if side is not None and max(size) < side]
    if small and side is not None:
        smallest = min(max(size) for _, *size in sized)
        yield Finding(
            "small_picture",
            "warning" if smallest < side / 2 else "note",
            f"{len(small):,} pictures are smaller than the tower's {side} pixels, the smallest {smallest}: they are "
            "enlarged, which costs time and tells nothing new.",
            "Lower towers.image.image_size, or get larger pictures.",
            tuple(small),
        )
    odd = [place for place, width, height in sized if max(width, height) > _ODD_RATIO * min(width, height)]
    if odd:
        yield Finding(
            "odd_shape",
            "warning",
            f"{len(odd):,} pictures are more than {_ODD_RATIO:g} times as long as wide: the tower sees them squeezed "
            "or cut.",
            "Cut out what matters, or pad them to squares.",
            tuple(odd),
        )
    blank = [row.place for row in rows if row.blank]
    if blank:
        message = f"{len(blank):,} pictures have one colour only."
        yield Finding("blank_picture", "warning", message, "Use None where there is no picture.", tuple(blank))


def check_sounds(rows: Sequence[RowFacts], rate: int | None) -> Iterator[Finding]:
    """Finds sounds without signal, and those recorded at a lower rate than the tower reads."""
    silent = [row.place for row in rows if row.silent]
    if silent:
        message = f"{len(silent):,} sounds are silent."
        yield Finding("silence", "warning", message, "Use None where there is no sound.", tuple(silent))
    low = [row.place for row in rows if rate is not None and row.rate is not None and row.rate < rate]
    if low and rate is not None:
        rates = Counter(row.rate for row in rows if row.rate is not None and row.rate < rate)
        named = ", ".join(f"{found:,} Hz" for found, _ in rates.most_common(3))
        yield Finding(
            "low_rate",
            "note",
            f"{len(low):,} sounds were recorded at {named}, the tower reads {rate:,} Hz: what lies above is not there.",
            f"Set towers.audio.preprocessing.sampling_rate to {min(x for x in rates if x)}, if the tower allows.",
            tuple(low),
        )


def check_series(rows: Sequence[RowFacts]) -> Iterator[Finding]:
    """Finds numbers that are not finite, and channels that never change."""
    broken = [row.place for row in rows if any(math.isinf(x) for _, x in _numbers(row.series))]
    if broken:
        message = f"{len(broken):,} series hold infinite numbers."
        remedy = "Use None for what is not known (--fix leaves the rows out)."
        yield Finding("broken_series", "error", message, remedy, tuple(broken), drop=True)
    values: dict[str, set[float]] = {}
    for row in rows:
        for name, number in _numbers(row.series):
            if len(values.setdefault(name, set())) < 2:
                values[name].add(number)
    constant = [name for name, found in values.items() if len(found) == 1 and len(rows) > 1]
    if constant:
        message = f"The channels {', '.join(constant)} have the same number everywhere."
        yield Finding("constant_series", "warning", message, "Leave them out of data.columns.series.")


def _numbers(series: Any) -> Iterable[tuple[str, float]]:  # noqa: ANN401 (a mapping, an array, or None)
    if isinstance(series, Mapping):
        for name, value in series.items():
            for number in np.ravel(np.asarray(value, dtype=object)):
                if isinstance(number, (int, float)) and not isinstance(number, bool) and not math.isnan(number):
                    yield name, float(number)
    elif series is not None:
        array = np.asarray(series, dtype=float)
        for channel, column in enumerate(array.reshape(len(array), -1).T):
            for number in column[~np.isnan(column)]:
                yield f"channel {channel}", float(number)


__all__ = ["check_ids", "check_pictures", "check_presence", "check_series", "check_sounds", "check_texts"]
