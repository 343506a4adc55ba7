# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""One cell of a label column to one training target, per problem type."""

import difflib
import math
import numbers
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_MAX_LISTED = 20


class LabelError(ValueError):
    """A label that does not fit; the text says where, why, and what to do about it."""


@dataclass(frozen=True)
class LabelNames:
    """Looks labels up by name or by stored integer; see `LabelSchema` for the fields."""

    problem_type: str
    names: tuple[str, ...]
    stored_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that the names are distinct strings."""
        if not self.names or not all(isinstance(name, str) for name in self.names):
            raise ValueError(f"Label names must be one or more strings, got {self.names!r}.")
        repeated = [name for name, count in Counter(self.names).items() if count > 1]
        if repeated:
            raise ValueError(f"Label names must be distinct; given more than once: {', '.join(map(repr, repeated))}.")

    @cached_property
    def ids(self) -> dict[str, int]:
        """Name to index."""
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def are_integers(self) -> bool:
        """Whether some name is written as an integer, so that an integer cell is a name and not an index."""
        return any(name.removeprefix("-").isdecimal() for name in self.names)

    def index(self, value: Any) -> int:  # noqa: ANN401 (any cell)
        """Finds the class of one string, bool or integer."""
        name = self._name(value)
        if name in self.ids:
            return self.ids[name]
        nearest = difflib.get_close_matches(name, self.names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        more = f" and {len(self.names) - _MAX_LISTED} more" if len(self.names) > _MAX_LISTED else ""
        listed = ", ".join(map(repr, self.names[:_MAX_LISTED])) + more
        raise LabelError(
            f"{name!r} is not one of the labels.{hint} Labels: {listed}. Correct it, or add it to the names."
        )

    def _name(self, value: Any) -> str:  # noqa: ANN401 (any cell)
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return str(value) if str(value) in self.ids else str(value).lower()
        if isinstance(value, float) and value.is_integer():  # as a table stores integers with gaps
            value = int(value)
        if not isinstance(value, numbers.Integral):
            raise LabelError(
                f"{value!r} is of type {type(value).__name__}, but {self.problem_type} needs a label name or an "
                "integer. Convert the column, or set problem_type."
            )
        return self._name_of_integer(int(value))

    def _name_of_integer(self, value: int) -> str:
        """Reads an integer as an index into the stored names, else as a name, else as an index of the schema."""
        if not self.stored_names and (self.are_integers or str(value) in self.ids):
            return str(value)
        names = self.stored_names or self.names
        if not 0 <= value < len(names):
            raise LabelError(f"{value} is not the index of a label: indices go from 0 to {len(names) - 1}. Correct it.")
        return names[value]


def is_missing(value: Any, names: Sequence[str], problem_type: str = "single_label_classification") -> bool:  # noqa: ANN401
    """Says whether a cell holds no label."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    # -1 is how `datasets` stores the missing label of a ClassLabel column.
    is_class = problem_type == "single_label_classification"
    return is_class and isinstance(value, numbers.Real) and value == -1 and "-1" not in names


def _encode_single(labels: LabelNames, value: Any) -> int:  # noqa: ANN401 (any cell)
    if is_missing(value, labels.names):
        raise LabelError(
            "the label is missing, and a row without a label cannot be trained on. Fill it in or drop the row."
        )
    if isinstance(value, (list, tuple)):
        raise LabelError(
            f"{value!r} is a list, but {labels.problem_type} takes one label per row. Set problem_type to "
            "multi_label_classification (for question answering to scored_answers; for numbers to regression)."
        )
    return labels.index(value)


def _encode_multi(labels: LabelNames, value: Any) -> list[float]:  # noqa: ANN401 (any cell)
    if value is None:
        raise LabelError("the labels are missing. Give an empty list if none applies, or drop the row.")
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise LabelError(
            f"{value!r} is of type {type(value).__name__}, but {labels.problem_type} needs a list of labels. Split the "
            "column into lists, or set problem_type."
        )
    if any(item is None for item in value):
        raise LabelError(f"{value!r} holds a missing label. Leave it out of the list.")
    indices = {labels.index(item) for item in value}
    return [1.0 if index in indices else 0.0 for index in range(len(labels.names))]


def _encode_scored(labels: LabelNames, value: Any) -> list[float]:  # noqa: ANN401 (any cell)
    """Score per known answer; answers that the set does not hold count for nothing, as nobody could give them."""
    scores = dict(scored_answers(value))
    return [scores.get(name, 0.0) for name in labels.names]


def scored_answers(value: Any) -> list[tuple[str, float]]:  # noqa: ANN401 (any cell)
    """Reads the answers of one row with their scores between 0 and 1.

    Args:
        value: A list of the annotators' answers, of which an answer given n times scores min(n / 3, 1) (VQA, Antol et
            al. 2015), or a list of `{"answer": …, "score": …}`.

    Raises:
        LabelError: if the value is something else, or a score is not between 0 and 1.
    """
    if value is None or isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise LabelError(
            f"{value!r} is of type {type(value).__name__}, but scored_answers needs a list: the annotators' answers, "
            "or {'answer': …, 'score': …} for each. Use problem_type single_label_classification for one right answer."
        )
    if all(isinstance(item, str) for item in value):
        return [(answer, min(count / 3, 1.0)) for answer, count in Counter(value).items()]
    return [_scored_answer(item) for item in value]


def _scored_answer(item: Any) -> tuple[str, float]:  # noqa: ANN401 (an item of any cell)
    answer, score = (item.get("answer"), item.get("score")) if isinstance(item, Mapping) else (None, None)
    if isinstance(answer, str) and isinstance(score, numbers.Real) and 0 <= float(score) <= 1:
        return answer, float(score)
    raise LabelError(f"{item!r} is not an answer with a score between 0 and 1. Correct it, or drop the row.")


def _encode_regression(labels: LabelNames, value: Any) -> float | list[float]:  # noqa: ANN401 (any cell)
    if value is None:
        raise LabelError(
            "the target is missing, and a row without one cannot be trained on. Fill it in or drop the row."
        )
    targets = [_number(item) for item in (value if isinstance(value, (list, tuple)) else [value])]
    if len(targets) != len(labels.names):
        known = ", ".join(labels.names)
        raise LabelError(
            f"{value!r} has {len(targets)} targets, but there are {len(labels.names)} ({known}). Correct it."
        )
    return targets[0] if len(targets) == 1 else targets


def _number(value: Any) -> float:  # noqa: ANN401 (any cell)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise LabelError(
            f"{value!r} is of type {type(value).__name__}, but regression needs a number. Convert the column to float, "
            "or set problem_type to single_label_classification."
        )
    if not math.isfinite(value):
        raise LabelError(f"the target is {float(value)}, which is no number to train on. Fill it in or drop the row.")
    return float(value)


ENCODERS: dict[str, Callable[[LabelNames, Any], int | float | list[float]]] = {
    "single_label_classification": _encode_single,
    "multi_label_classification": _encode_multi,
    "regression": _encode_regression,
    "scored_answers": _encode_scored,
}
