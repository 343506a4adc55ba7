# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of the labels: those that are missing or unknown, rare ones, and those that one modality gives away."""

import math
import random
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_multimodal.data.columns import Columns, named_values, source_name
from hf_multimodal.data.label_encoding import LabelError
from hf_multimodal.data.labels import LabelSchema
from hf_multimodal.doctor.findings import Finding, Place
from hf_multimodal.doctor.scan import RowFacts

_RARE = 5  # rows
_FREQUENT = 50  # times the rows of the rarest
_PROBED_ROWS = 4000
_GIVEN_AWAY = 0.9  # share right of one modality alone


def read_labels(
    splits: Mapping[str, datasets.Dataset], column: str, columns: Columns, *, is_answer: bool, is_value: bool
) -> tuple[dict[Place, Hashable], list[Finding]]:
    """Reads a label column of all splits; what cannot be read becomes findings.

    Args:
        splits: Role -> rows, training first.
        column: `label`, or `label.TASK`.
        columns: The user's own names.
        is_answer: Whether lists are the answers of several people, of which training need not have all.
        is_value: Whether the labels are numbers to be predicted.

    Returns:
        What each row is labelled, and what was found.
    """
    labels: dict[Place, Hashable] = {}
    missing: list[Place] = []
    unseen: list[tuple[Place, Any]] = []
    source, is_task = source_name(columns, column), "." in column
    known: set[Any] | None = None
    for role, rows in splits.items():
        own: set[Any] = set()
        for place, (row_id, value) in enumerate(zip(rows["row_id"], named_values(rows, column), strict=True)):
            where = (role, str(row_id), place)
            if value is None:
                if not is_task:  # of several tasks a row may lack any
                    missing.append(where)
                continue
            labels[where] = label = _hashable(value)
            parts = label if isinstance(label, tuple) else (label,)
            own.update(parts)
            is_open = is_value or _is_number(parts) or (is_answer and isinstance(label, tuple))
            if known is not None and not is_open and not set(parts) <= known:
                unseen.append((where, value))
        known = own if known is None else known
    findings = []
    if missing:
        message = f"{len(missing):,} rows have no label in {source!r}."
        remedy = "Fill them in, or drop the rows (--fix does)."
        findings.append(Finding("bad_label", "error", message, remedy, tuple(missing), drop=True))
    if unseen:
        named = ", ".join(sorted({repr(value) for _, value in unseen})[:5])
        findings.append(
            Finding(
                "unseen_label",
                "error",
                f"{len(unseen):,} rows of other splits have a label in {source!r} that training lacks: {named}.",
                "Correct them, add training rows, or drop them (--fix does).",
                tuple(place for place, _ in unseen),
                drop=True,
            )
        )
    return labels, findings


def _is_number(parts: tuple[Any, ...]) -> bool:
    return any(isinstance(part, float) for part in parts)


def _hashable(value: Any) -> Hashable:  # noqa: ANN401 (any cell)
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(_hashable(x) for x in value)
    if isinstance(value, Mapping):
        return tuple(sorted((key, _hashable(x)) for key, x in value.items()))
    return value if isinstance(value, Hashable) else repr(value)


def check_schema(train: datasets.Dataset, column: str, problem_type: str | None) -> Iterator[Finding]:
    """Finds a column that no label schema can be made of."""
    try:
        LabelSchema.from_dataset(train, column, problem_type)
    except (LabelError, ValueError) as error:
        yield Finding("bad_label", "error", str(error), "Correct the column, or map another one.")


def check_balance(labels: Mapping[Place, Hashable], name: str) -> Iterator[Finding]:
    """Finds labels of training that are rare, or far more frequent than others; lists count once each."""
    counts: Counter = Counter()
    places: dict[Hashable, list[Place]] = {}
    for place, label in labels.items():
        if place[0] == "train":
            for one in label if isinstance(label, tuple) else (label,):
                counts[one] += 1
                places.setdefault(one, []).append(place)
    if len(counts) < 2 or any(isinstance(label, (float, tuple)) for label in counts):
        return
    (most, largest), (_, smallest) = counts.most_common(1)[0], counts.most_common()[-1]
    rare = [label for label, count in counts.items() if count < _RARE]
    if rare or largest > _FREQUENT * smallest:
        yield Finding(
            "imbalance",
            "warning",
            f"{name}: {len(rare)} of {len(counts)} labels have fewer than {_RARE} training rows; the most frequent, "
            f"{most!r}, has {largest:,} ({largest / sum(counts.values()):.1%}), the rarest {smallest:,}.",
            "Look at macro F1 beside accuracy; model.class_weights, or rows of the rare ones, help.",
            tuple(place for label in rare for place in places[label]),
        )


def check_given_away(
    splits: Mapping[str, Sequence[RowFacts]], labels: Mapping[Place, Hashable], name: str, modalities: Sequence[str]
) -> Iterator[Finding]:
    """Finds out how much each modality tells of the label by itself, by quick models of words, small copies and cells.

    Args:
        splits: Role -> rows.
        labels: What each is labelled; single labels only.
        name: What the label is called.
        modalities: Those the run reads.
    """
    parts = {role: [row for row in rows if row.place in labels] for role, rows in splits.items()}
    shuffled = random.Random(0).sample(parts.get("train", []), len(parts.get("train", [])))  # sets are often sorted
    train = shuffled[:_PROBED_ROWS]
    held = parts.get("validation") or parts.get("test") or shuffled[_PROBED_ROWS:]
    held = random.Random(0).sample(held, min(len(held), _PROBED_ROWS))
    names = {labels[row.place] for row in train}
    is_single = not any(isinstance(x, (float, tuple)) for x in names)
    if len(train) < 50 or len(held) < 20 or not 2 <= len(names) <= 200 or not is_single:
        return
    truth = [str(labels[row.place]) for row in held]
    majority = Counter(str(labels[row.place]) for row in train).most_common(1)[0][0]
    floor = float(np.mean([x == majority for x in truth]))
    for modality in modalities:
        share = _probe(modality, train, [str(labels[row.place]) for row in train], held, truth)
        if share is None:
            continue
        gives_away = share >= _GIVEN_AWAY and share > floor + 0.05 and len(modalities) > 1
        yield Finding(
            "given_away",
            "warning" if gives_away else "note",
            f"{name}: {modality} alone gets {share:.1%} of {len(held):,} held-out rows right by a quick linear model "
            f"(the most frequent label {floor:.1%}).",
            f"Do not read a gain of fusion off this label: {modality} nearly tells it by itself." if gives_away else "",
        )


def _probe(
    modality: str, train: Sequence[RowFacts], labels: Sequence[str], held: Sequence[RowFacts], truth: Sequence[str]
) -> float | None:
    """Share right of a quick model of one modality; None where there is none for it."""
    model = LogisticRegression(C=10, max_iter=300)
    if modality == "text":
        if not any(re.search(r"\w", row.text) for row in train):
            return None
        pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+"), model)
        values: list[list[Any]] = [[row.text for row in rows] for rows in (train, held)]
    elif modality == "image":
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
        values = [[_small(row) for row in rows] for rows in (train, held)]
    elif modality == "series" and all(isinstance(row.series, (Mapping, type(None))) for row in train):
        pipeline = make_pipeline(DictVectorizer(), StandardScaler(with_mean=False), model)
        values = [[_cells(row) for row in rows] for rows in (train, held)]
        if not any(values[0]):
            return None
    else:
        return None
    return float(pipeline.fit(values[0], labels).score(values[1], truth))


def _small(row: RowFacts) -> np.ndarray:
    return np.zeros(16 * 16 * 3) if row.thumbnail is None else np.asarray(row.thumbnail, dtype=float).ravel() / 255


def _cells(row: RowFacts) -> dict[str, Any]:
    cells = (row.series or {}).items()
    return {name: value for name, value in cells if isinstance(value, str) or _is_finite(value)}


def _is_finite(value: Any) -> bool:  # noqa: ANN401 (any cell)
    return isinstance(value, (int, float)) and math.isfinite(value)


__all__ = ["check_balance", "check_given_away", "check_schema", "read_labels"]
