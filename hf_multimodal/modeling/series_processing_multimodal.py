# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Series and table rows to tensors: normalised by saved statistics, what is unknown marked, categories numbered.

Shapes: B rows, T steps, C channels, K categorical columns.
"""

import numbers
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin

UNKNOWN = 0  # index of the bucket of categories that are missing, or were never seen
_ROUNDING = 1e-10


class SeriesError(ValueError):
    """A series that cannot be used; the text says why, and what to do about it."""


@dataclass(frozen=True)
class OpenedSeries:
    """One row: normalised values (T, C) with NaN where unknown, and the index of each category (K)."""

    values: np.ndarray
    categories: tuple[int, ...]


class MultimodalSeriesProcessor(FeatureExtractionMixin):
    """Normalises channels, marks what is unknown, and numbers categories.

    Args:
        channels: Names of the numeric channels, or columns of a table; none where all columns are categorical.
        mean: Mean of each channel, subtracted; None takes 0.
        std: Standard deviation of each channel, divided by; None takes 1.
        length: Steps of every series: shorter ones are filled up with unknown steps at their end, longer ones are cut
            there. 1 for the rows of a table.
        categories: Categorical column -> the values that are known. Others share a bucket with missing ones. The
            columns' order is that of their names.

    Raises:
        ValueError: if there is no channel, or the statistics are not one per channel.
    """

    model_input_names = ["series_values", "series_mask", "series_categories"]

    def __init__(
        self,
        channels: Sequence[str] = ("value",),
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        length: int = 1,
        categories: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,  # noqa: ANN401 (of FeatureExtractionMixin)
    ) -> None:
        super().__init__(**kwargs)
        self.channels = list(channels)
        self.mean = [0.0] * len(self.channels) if mean is None else [float(x) for x in mean]
        self.std = [1.0] * len(self.channels) if std is None else [float(x) for x in std]
        self.length = length
        # alphabetical, as a saved configuration keeps no other order
        self.categories = {name: [str(x) for x in known] for name, known in sorted((categories or {}).items())}
        if not self.channels and not self.categories:
            raise ValueError("A series needs at least one channel of numbers, or column of categories.")
        if length < 1:
            raise ValueError(f"length={length}: a series has at least one step.")
        if len(self.mean) != len(self.channels) or len(self.std) != len(self.channels):
            raise ValueError(
                f"There are {len(self.channels)} channels, but {len(self.mean)} means and {len(self.std)} deviations."
            )
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std={self.std}: a standard deviation is above zero; give 1 for a constant channel.")

    def open(self, value: Any) -> OpenedSeries:  # noqa: ANN401 (described below)
        """Reads one row.

        Args:
            value: Steps and channels as an array or nested lists (T, C), (T,) for a single channel, (C,) for a series
                of length one; or a mapping of column to number, sequence of numbers (each of T steps), or category.
                None and NaN are unknown.

        Raises:
            SeriesError: if nothing is known, channels are too few, too many or unknown, or a value is no number.
        """
        if isinstance(value, OpenedSeries):
            return value
        columns = value if isinstance(value, Mapping) else {}
        values = self.read(value)
        categories = tuple(_index_of(columns.get(name), known) for name, known in self.categories.items())
        named = any(not _is_unknown(columns.get(name)) for name in self.categories)
        if np.isnan(values).all() and not named:
            raise SeriesError("nothing in the series is known. Use None for an absent one, or drop the row.")
        values = (values[: self.length] - np.asarray(self.mean)) / np.asarray(self.std)
        if (np.abs(values) > np.finfo(np.float32).max).any():
            raise SeriesError("the series holds values too far from those of training. Correct them.")
        padding = np.full((self.length - len(values), len(self.channels)), np.nan)
        return OpenedSeries(np.concatenate([values, padding]).astype(np.float32), categories)

    def __call__(
        self,
        series: Sequence[Any],
        return_tensors: str | None = None,
        **kwargs: Any,  # noqa: ANN401 (padding, truncation: always done here)
    ) -> BatchFeature:
        """Makes tensors.

        Args:
            series: Rows as `open` reads them.
            return_tensors: As everywhere in transformers.
            **kwargs: Ignored: every series gets the same length.

        Returns:
            `series_values` (B, T, C), zero where unknown; `series_mask` (B, T, C), 1 = known; and where there are
            categorical columns `series_categories` (B, K).

        Raises:
            SeriesError: as `open`.
        """
        rows = [self.open(value) for value in series]
        values = np.stack([row.values for row in rows])
        known = ~np.isnan(values)
        data = {"series_values": np.where(known, values, np.float32(0)), "series_mask": known.astype(np.int64)}
        if self.categories:
            data["series_categories"] = np.asarray([row.categories for row in rows], dtype=np.int64)
        return BatchFeature(data, tensor_type=return_tensors)

    def read(self, value: Any) -> np.ndarray:  # noqa: ANN401 (as `open`)
        """Reads the channels of one row as they are, (steps, C) with NaN where unknown.

        Raises:
            SeriesError: as `open`, but for a series of which nothing is known.
        """
        values = self._from_columns(value) if isinstance(value, Mapping) else self._from_array(value)
        if np.isinf(values).any():
            raise SeriesError("the series holds infinite values. Correct them, or use NaN for what is unknown.")
        return values

    def _from_columns(self, columns: Mapping[str, Any]) -> np.ndarray:
        unknown = [name for name in columns if name not in self.channels and name not in self.categories]
        if unknown:
            known = ", ".join([*self.channels, *self.categories])
            raise SeriesError(f"the series has no column {unknown[0]!r}. Columns there are: {known}.")
        parts = [_numbers(columns.get(name), name).reshape(-1) for name in self.channels]
        given = {
            name: len(part) for name, part in zip(self.channels, parts, strict=True) if columns.get(name) is not None
        }
        if len(set(given.values())) > 1:
            raise SeriesError(f"the channels are of different lengths: {given}. Bring them to one.")
        steps = next(iter(given.values()), 1)
        parts = [part if len(part) == steps else np.full(steps, np.nan) for part in parts]
        return np.stack(parts, axis=1) if parts else np.empty((1, 0))

    def _from_array(self, value: Any) -> np.ndarray:  # noqa: ANN401 (array or nested lists)
        values, count = _numbers(value, "series"), len(self.channels)
        is_row = self.length == 1 and values.shape == (count,)
        if values.ndim < 2 and (count == 1 or is_row):
            values = values.reshape(-1, count)
        if values.ndim != 2 or values.shape[1] != count or len(values) == 0:
            turned = " Are steps and channels in the wrong order?" if values.ndim == 2 and len(values) == count else ""
            raise SeriesError(
                f"the series is of shape {values.shape}, but wants one or more steps of {count} channels "
                f"({', '.join(self.channels)}): (steps, {count}).{turned}"
            )
        return values


def _numbers(value: Any, name: str) -> np.ndarray:  # noqa: ANN401 (any cell)
    """Reads numbers, with None as NaN."""
    try:
        if _holds_text(value):  # before an array of equally long texts is made of it
            raise TypeError("a text is among them")
        array = np.asarray(np.nan if value is None else value)
        if array.dtype.kind not in "fiubO":  # texts would be parsed below
            raise TypeError(f"values of type {array.dtype}")
        return array.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise SeriesError(
            f"{name!r} is not made of numbers alone, or its lists are of different lengths ({error}). Convert it."
        ) from error


def _holds_text(value: Any) -> bool:  # noqa: ANN401 (any cell)
    if isinstance(value, (list, tuple)):
        return any(_holds_text(part) for part in value)
    return isinstance(value, (str, bytes))


def _is_unknown(value: Any) -> bool:  # noqa: ANN401 (any cell)
    return value is None or (isinstance(value, numbers.Real) and value != value)  # NaN


def _category(value: Any) -> str:  # noqa: ANN401 (any cell)
    """Names a category; whole numbers alike, be they integers or, as in a column with gaps, floats."""
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, int)) and float(value).is_integer():
        return str(int(float(value)))
    return str(value)


def _index_of(value: Any, known: Sequence[str]) -> int:  # noqa: ANN401 (any cell)
    name = None if _is_unknown(value) else _category(value)
    return UNKNOWN if name is None or name not in known else known.index(name) + 1


class _Moments:
    """Mean and variance of each channel over many series, what is unknown left out (Chan et al. 1979)."""

    def __init__(self, channels: int) -> None:
        self.count, self.mean, self.squares = (np.zeros(channels) for _ in range(3))
        self.longest = 0

    def add(self, values: np.ndarray) -> None:
        """Takes in one series (T, C)."""
        known = np.isfinite(values)
        added = known.sum(0)
        mean = np.where(known, values, 0).sum(0) / np.maximum(added, 1)
        delta, total = mean - self.mean, np.maximum(self.count + added, 1)
        self.squares += np.where(known, (values - mean) ** 2, 0).sum(0) + delta**2 * self.count * added / total
        self.mean += delta * added / total
        self.count += added
        self.longest = max(self.longest, len(values))


def fit_series(
    rows: Iterable[Any], *, length: int | None = None, categories: Sequence[str] = (), column: str = "series"
) -> dict[str, Any]:
    """Takes from training rows what `MultimodalSeriesProcessor` needs: channels, statistics, length, categories.

    Args:
        rows: Cells as `MultimodalSeriesProcessor.open` reads them; None (absent) ones are left out.
        length: Steps of every series; None takes the longest.
        categories: Columns of mappings whose numbers are categories. Columns of texts or bools are, in any case.
        column: The user's name of the column, for the errors.

    Returns:
        Arguments of the processor; `preprocessing` of a series tower.

    Raises:
        SeriesError: naming the row that cannot be read, or the channel of which nothing is known.
    """
    if isinstance(categories, str):
        raise SeriesError(f"categories is {categories!r}: give a list of columns, [{categories}].")
    cells = [(index, row) for index, row in enumerate(rows) if row is not None]
    if not cells:
        raise SeriesError(f"Column {column!r} holds no series in any training row.")
    known = _known_categories([row for _, row in cells if isinstance(row, Mapping)], categories)
    channels = _channel_names([row for _, row in cells], known, length)
    reader = MultimodalSeriesProcessor(channels, length=length or 2**31, categories=known)
    moments = _Moments(len(channels))
    for index, row in cells:
        try:
            moments.add(reader.read(row))
        except SeriesError as error:
            raise SeriesError(f"Row {index}, column {column!r}: {error}") from error
    for name, count in zip(channels, moments.count, strict=True):
        if count == 0:
            raise SeriesError(f"Channel {name!r} has no known value in any training row: leave it out.")
    std = np.sqrt(moments.squares / moments.count)
    return {
        "channels": channels,
        "mean": moments.mean.tolist(),
        # a constant channel stays at zero, but for rounding
        "std": np.where(std > _ROUNDING * np.maximum(1.0, np.abs(moments.mean)), std, 1.0).tolist(),
        "length": length or moments.longest,
        "categories": known,
    }


def _known_categories(rows: Sequence[Mapping[str, Any]], categories: Sequence[str]) -> dict[str, list[str]]:
    """Finds the categorical columns of tables, and their values."""
    columns = dict.fromkeys(name for row in rows for name in row)
    for name in categories:
        if name not in columns:
            raise SeriesError(f"There is no column {name!r} to read as categories. Columns: {', '.join(columns)}.")
    found = {}
    for name in columns:
        values = {row[name] for row in rows if isinstance(row.get(name), Hashable)} - {None}
        if name in categories or any(isinstance(value, (str, bool)) for value in values):
            found[name] = sorted({_category(value) for value in values if not _is_unknown(value)})
    return found


def _channel_names(rows: Sequence[Any], categories: Mapping[str, Any], length: int | None) -> list[str]:
    if isinstance(rows[0], Mapping):
        names = dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row)
        return [name for name in names if name not in categories]
    try:
        dimensions = np.ndim(rows[0])
    except ValueError:  # lists of different lengths, which are refused when they are read
        dimensions = 0
    width = np.shape(rows[0])[-1] if dimensions == 2 or (dimensions == 1 and length == 1) else 1
    return [f"channel_{index}" for index in range(width)]


__all__ = ["MultimodalSeriesProcessor", "OpenedSeries", "SeriesError", "fit_series"]
