# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Infers what the labels of a column are from its feature and its values."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import datasets

from hf_multimodal.data.label_encoding import LabelError, scored_answers


class InferredLabels(NamedTuple):
    """The fields of a `LabelSchema`."""

    problem_type: str
    names: tuple[str, ...]
    stored_names: tuple[str, ...]


def column_values(dataset: datasets.Dataset | datasets.IterableDataset, column: str) -> list[Any] | None:
    """Reads one column as Python values, leaving the others (images among them) alone; None where rows are streamed.

    Raises:
        ValueError: if there is no such column.
    """
    if dataset.column_names is not None and column not in dataset.column_names:
        raise ValueError(f"There is no column {column!r}. Columns there are: {', '.join(dataset.column_names)}.")
    if isinstance(dataset, datasets.IterableDataset):
        return None
    return dataset.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()


def infer_labels(
    dataset: datasets.Dataset | datasets.IterableDataset,
    column: str,
    problem_type: str | None,
    names: Sequence[str] | None,
) -> InferredLabels:
    """Infers problem type and names where they are not given; see `LabelSchema.from_dataset`."""
    values = column_values(dataset, column)
    feature = (dataset.features or {}).get(column)
    stored = _stored_names(feature)
    if values is None and names is None and not stored:
        raise ValueError(
            f"The rows are streamed, so the labels in column {column!r} are not known beforehand: give their names."
        )
    present = [value for value in values or () if value is not None]
    if values is not None and not present:
        raise ValueError(f"Column {column!r} holds no label at all: map `label` to a filled column.")
    if problem_type in ("single_label_classification", "multi_label_classification"):
        present = [_without_fraction(value) for value in present]  # as a table stores integers with gaps
    if problem_type is None:
        problem_type = _infer_problem_type(feature, present, column)
        if problem_type == "regression" and len(present) < len(values or ()):
            _refuse_whole_numbers(present, column)
    if problem_type == "scored_answers":
        return InferredLabels(problem_type, tuple(names or _answers(present, column)), ())
    if problem_type == "regression":
        return InferredLabels(problem_type, tuple(names or _target_names(present, column)), ())
    names = tuple(names or stored or _distinct(present, column))
    if len(names) < 2:
        raise ValueError(f"Column {column!r} holds only the label {names[0]!r}: there is nothing to learn from it.")
    return InferredLabels(problem_type, names, stored)


def _without_fraction(value: Any) -> Any:  # noqa: ANN401 (any cell)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _item_feature(feature: Any) -> Any:  # noqa: ANN401 (a datasets feature, whose types differ between versions)
    """The feature inside a list feature, or None if it is not a list."""
    return feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)


def _stored_names(feature: Any) -> tuple[str, ...]:  # noqa: ANN401 (a datasets feature)
    for candidate in (feature, _item_feature(feature)):
        if isinstance(candidate, datasets.ClassLabel):
            return tuple(candidate.names)
    return ()


def _infer_problem_type(feature: Any, present: list[Any], column: str) -> str:  # noqa: ANN401 (a datasets feature)
    if isinstance(feature, datasets.ClassLabel):
        return "single_label_classification"
    if isinstance(_item_feature(feature), datasets.ClassLabel):
        return "multi_label_classification"
    if not present:
        raise ValueError(
            f"The rows are streamed, so the type of the labels in column {column!r} is not known: give problem_type."
        )
    is_list = isinstance(present[0], list)
    kinds = {type(item) for item in _items(present)}
    if not kinds:
        raise ValueError(f"Column {column!r} holds only empty lists: map `label` to a filled column.")
    if is_list and kinds == {dict}:
        return "scored_answers"
    if kinds <= {float}:
        return "regression"
    if kinds <= {str, int, bool}:
        return "multi_label_classification" if is_list else "single_label_classification"
    raise ValueError(
        f"Column {column!r} holds {', '.join(sorted(kind.__name__ for kind in kinds))}, which are no labels. Labels "
        "are strings, integers, bools or floats, or lists of these."
    )


def _refuse_whole_numbers(present: list[Any], column: str) -> None:
    """Refuses floats that are classes: tables store integers with gaps as floats."""
    if all(float(item).is_integer() for item in _items(present)):
        raise ValueError(
            f"Column {column!r} holds whole numbers with gaps, so it is open whether they are classes or amounts: set "
            "problem_type to single_label_classification or to regression (and of one task, drop the rows with gaps)."
        )


def _items(present: list[Any]) -> list[Any]:
    """All the values, those within lists included, without the missing ones."""
    items = [item for value in present for item in (value if isinstance(value, list) else [value])]
    return [item for item in items if item is not None]


def _distinct(present: list[Any], column: str) -> tuple[str, ...]:
    """The distinct values as strings, numbers in the order of their size."""
    items = _items(present)
    if not items:
        raise ValueError(f"Column {column!r} holds no label at all: map `label` to a filled column.")
    kind = type(items[0])
    if kind not in (str, int, bool):
        raise ValueError(
            f"Column {column!r} holds {kind.__name__} values, which cannot be classes: convert them to strings or "
            "integers, or set problem_type to regression."
        )
    return tuple(str(item) for item in sorted(set(items)))


def _answers(present: list[Any], column: str) -> tuple[str, ...]:
    """The answers with a score, those with the largest total first."""
    totals: Counter[str] = Counter()
    for value in present:
        try:
            totals.update(dict(scored_answers(value)))
        except LabelError as error:
            raise LabelError(f"Column {column!r}: {error}") from None
    answers = [answer for answer, total in totals.most_common() if total > 0]
    if len(answers) < 2:
        raise ValueError(f"Column {column!r} holds {len(answers)} answers: there is nothing to learn from it.")
    return tuple(answers)


def _target_names(present: list[Any], column: str) -> tuple[str, ...]:
    if present and isinstance(present[0], list):
        return tuple(f"{column}_{index}" for index in range(len(present[0])))
    return (column,)
