# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What every index of vectors can do, and what all of them check.

An index holds unit vectors under distinct ids, each with a mapping of metadata, and finds those with the largest inner
product. `faiss_index` keeps it in memory and in files, `milvus_index` in a Milvus server or cluster.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

Metadata = Mapping[str, Any]
Where = Mapping[str, Any]  # column -> the value it must have, or a list of allowed ones


class Found(NamedTuple):
    """One vector found.

    Attributes:
        id: Its id.
        similarity: Its inner product with the query.
        metadata: What was stored with it.
    """

    id: str
    similarity: float
    metadata: dict[str, Any]


class VectorIndex(Protocol):
    """An index of vectors."""

    dimension: int

    def __len__(self) -> int:
        """Number of vectors."""

    def add(self, ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Metadata]) -> None:
        """Adds vectors (N, D).

        Raises:
            ValueError: naming the id that is there already or twice, or whose vector is not finite; nothing is added.
        """

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes vectors.

        Raises:
            ValueError: naming an id that is not there; nothing is deleted.
        """

    def search(self, vectors: np.ndarray, k: int, where: Where | None = None) -> list[list[Found]]:
        """Finds the nearest of each query, best first.

        Args:
            vectors: (Q, D) queries.
            k: How many; all where there are fewer.
            where: Only vectors whose metadata has these values. `{"colour": ["red", "blue"]}` allows either.

        Raises:
            ValueError: if the width is another one, or no metadata has such a column.
        """

    def save(self, folder: Path) -> None:
        """Writes the index into a folder, from which the class's `load` reads it."""


def check_vectors(ids: Sequence[str], vectors: np.ndarray, dimension: int, metadata: Sequence[Metadata]) -> np.ndarray:
    """Checks vectors to be added, and returns them as float32.

    Raises:
        ValueError: if ids, vectors and metadata are not equally many, the width is another one, an id stands twice, or
            a vector is not finite.
    """
    vectors = _as_rows(vectors, dimension)
    if not len(ids) == len(vectors) == len(metadata):
        raise ValueError(
            f"{len(ids)} ids, {len(vectors)} vectors and {len(metadata)} rows of metadata: give equally many."
        )
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise ValueError(f"The id {one!r} stands twice: ids must be distinct.")
        seen.add(one)
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        named = ", ".join(repr(ids[i]) for i in np.flatnonzero(broken)[:5])
        raise ValueError(
            f"{int(broken.sum())} vector(s) hold NaN or infinite numbers, ids {named}: embed these rows again or leave "
            "them out. Nothing was added."
        )
    return vectors


def check_queries(vectors: np.ndarray, dimension: int) -> np.ndarray:
    """Returns queries (Q, D) as contiguous float32.

    Raises:
        ValueError: if D is another one than the index's, or a query is not finite.
    """
    vectors = _as_rows(vectors, dimension)
    if not np.isfinite(vectors).all():
        raise ValueError("A query's vector holds NaN or infinite numbers: nothing is near to it.")
    return vectors


def _as_rows(vectors: np.ndarray, dimension: int) -> np.ndarray:
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise ValueError(
            f"Vectors of shape {vectors.shape}, but the index is of dimension {dimension}: they are another model's."
        )
    return vectors


def check_k(k: int) -> None:
    """Refuses to look for nothing.

    Raises:
        ValueError: if k is not positive.
    """
    if k < 1:
        raise ValueError(f"k={k}: ask for at least 1.")


def allowed_values(column: str, value: Any) -> list[Any]:  # noqa: ANN401 (of any type)
    """The values that a condition allows: those of a list, or the one.

    Raises:
        ValueError: if there is none, or None is among them.
    """
    values = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    if not values or None in values:
        raise ValueError(f"The condition on column {column!r} is {value!r}: name at least one value, and not None.")
    return values


__all__ = [
    "Found",
    "Metadata",
    "VectorIndex",
    "Where",
    "allowed_values",
    "check_k",
    "check_queries",
    "check_vectors",
]
