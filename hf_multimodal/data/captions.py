# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Several texts of one row, such as the captions of a picture: a row of each."""

from collections.abc import Iterator, Mapping
from typing import Any

import datasets
from torch.utils.data import Dataset

from hf_multimodal.data.columns import ROW_ID
from hf_multimodal.data.label_inference import column_values
from hf_multimodal.data.loading import is_list_of_texts


class CaptionRows(Dataset):
    """Rows in which one column holds lists of texts, seen as one row per text; nothing is copied.

    The rows made of one belong to the same `item`: its own where it names one, else its id. A `text` that an item has
    had in an earlier row is left out; a `label` is not, as nine annotators of ten say more than one. A row without
    texts stays, without text.

    Args:
        rows: Rows as `load_rows(..., text_lists=True)` returns them.
        column: The column with the lists: `text`, or `label` of what is to be written.
        first_only: Whether to take the first text of each row only.
    """

    def __init__(self, rows: datasets.Dataset, *, column: str = "text", first_only: bool = False) -> None:
        self.rows, self.column = rows, column
        self.places: list[tuple[int, int]] = []
        texts = column_values(rows, column) or []
        items = (column_values(rows, "item") if "item" in rows.column_names else None) or range(len(texts))
        seen = set()
        for row, (item, listed) in enumerate(zip(items, texts, strict=True)):
            for place, text in enumerate((listed or [None])[: 1 if first_only else None]):
                if first_only or column == "label" or (item, text) not in seen:
                    self.places.append((row, place))
                seen.add((item, text))

    @property
    def column_names(self) -> list[str]:
        """The columns of a row."""
        return list(dict.fromkeys([*self.rows.column_names, "item", ROW_ID]))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number, place = self.places[index]
        return row_of_caption({ROW_ID: number, **self.rows[number]}, place, self.column)


def row_of_caption(row: Mapping[str, Any], place: int, column: str = "text") -> dict[str, Any]:
    """Makes the row of one of a row's texts, which belongs to the same item; without texts, of none."""
    text = row[column][place] if row[column] else None
    return {**row, column: text, "item": row.get("item", row[ROW_ID]), ROW_ID: f"{row[ROW_ID]}#{place}"}


def spread_captions(
    rows: datasets.Dataset, *, column: str = "text", first_only: bool = False
) -> datasets.Dataset | CaptionRows:
    """Returns rows of one text each: the rows themselves, or `CaptionRows` of them."""
    if not is_list_of_texts((rows.features or {}).get(column)):
        return rows
    return CaptionRows(rows, column=column, first_only=first_only)


def row_texts(rows: datasets.Dataset | CaptionRows, column: str = "text") -> list[str | None]:
    """Returns the text of each row, without opening anything else of it."""
    if isinstance(rows, CaptionRows):
        values = column_values(rows.rows, column) or []
        if rows.column != column:
            return [values[row] for row, _ in rows.places]
        return [values[row][place] if values[row] else None for row, place in rows.places]
    return list(column_values(rows, column) or ())


def each_text(rows: datasets.Dataset, column: str = "text") -> Iterator[str]:
    """Goes through all texts of a column."""
    for value in column_values(rows, column) or ():
        yield from value if isinstance(value, list) else [value] if value is not None else []


__all__ = ["CaptionRows", "each_text", "row_of_caption", "row_texts", "spread_captions"]
