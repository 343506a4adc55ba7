# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Our names for the columns of rows, and which columns of the user's stand behind them."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from hf_multimodal.modeling.configuration_multimodal import MODALITIES, check_known

COLUMNS = (*MODALITIES, "label", "id", "item")  # item: of retrieval, the same in rows that belong together
ROW_ID = "row_id"
TEACHER_LOGITS = "teacher_logits"  # what a teacher said of a row
# Our name -> the source's column; for `series` a list of columns, too, for `label` a mapping of task to column.
Columns: TypeAlias = Mapping[str, str | Sequence[str] | Mapping[str, str]]
NESTED = ("label", "series")  # what several columns of the source may make up


def is_empty(cell: Any) -> bool:  # noqa: ANN401 (any cell)
    """Whether a cell is a structure of nothing, as tables keep an absent picture, sound or series."""
    if not isinstance(cell, Mapping):
        return False
    is_file = not {"array", "bytes", "path"}.isdisjoint(cell)  # a rate beside no sound is nothing
    return all(part is None for name, part in cell.items() if not (is_file and name == "sampling_rate"))


class ColumnError(ValueError):
    """A column that is not there; the text names those that are.

    Attributes:
        column: Its name.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


def flatten_columns(columns: Columns) -> dict[str, str]:
    """Brings columns to one level: `label.TASK` for the label of a task, `series.COLUMN` for a column of a table.

    Raises:
        ValueError: if another column than these holds several.
    """
    flat: dict[str, str] = {}
    for canonical, names in columns.items():
        if names is None:
            continue
        if not names:
            raise ValueError(f"columns.{canonical} is {names!r}: name a column, or leave it out.")
        if isinstance(names, str):
            flat[canonical] = names
        elif canonical == "label" and isinstance(names, Mapping):
            flat.update({f"label.{task}": name for task, name in names.items() if name is not None})
        elif canonical == "series" and isinstance(names, Sequence):
            flat.update({f"series.{name}": name for name in names})
        else:
            raise ValueError(
                f"columns.{canonical} is {names!r}: it is the name of one column. (Only series takes a list of them, "
                "and label a mapping of task to column.)"
            )
    return flat


def source_name(columns: Columns | None, canonical: str) -> str:
    """Names the user's column, or columns, behind one of ours."""
    flat = flatten_columns(columns or {})
    parts = [name for key, name in flat.items() if key == canonical or key.startswith(f"{canonical}.")]
    return ", ".join(parts) or canonical


def check_columns(wanted: Mapping[str, str], keep: Sequence[str], available: Sequence[str]) -> None:
    """Checks that columns as `flatten_columns` makes them are ours on one side, and there on the other.

    Raises:
        ValueError: naming the one that is not.
    """
    _check_our_names(wanted)
    if not any(canonical.split(".")[0] in MODALITIES for canonical in wanted):
        raise ValueError(f"columns maps no modality. Map at least one of {', '.join(MODALITIES)} to a column.")
    if not available:
        raise ValueError("The source has no rows.")
    for name in [*wanted.values(), *keep]:
        if name not in available:
            nearest = difflib.get_close_matches(str(name), available, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise ColumnError(f"There is no column {name!r}.{hint} Columns there are: {', '.join(available)}.", name)
    names = [*wanted.values(), *keep]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Column {name!r} is named more than once in columns and keep. Name it once.")
    for name in keep:
        if name in (*wanted, "label", "id", "item", ROW_ID) or name.split(".")[0] in NESTED:
            raise ValueError(f"keep cannot hold {name!r}, which is one of the package's own names: map it in columns.")


def _check_our_names(wanted: Mapping[str, str]) -> None:
    for canonical in wanted:
        name, _, part = canonical.partition(".")
        check_known("column name", name if part and name in NESTED else canonical, COLUMNS)
    for name in NESTED:
        if name in wanted and any(canonical.startswith(f"{name}.") for canonical in wanted):
            raise ValueError(f"columns maps both {name} and parts of it: give either one column or several.")


def named_values(dataset: Any, column: str) -> list[Any]:  # noqa: ANN401 (a datasets.Dataset)
    """Reads a column, with names in the place of a `ClassLabel`'s numbers, and None for what is not known.

    Args:
        dataset: The rows.
        column: The column's name.
    """
    names = getattr((dataset.features or {}).get(column), "names", None)
    values = list(dataset[column])
    if names:
        return [None if value is None or value < 0 else names[value] for value in values]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]
