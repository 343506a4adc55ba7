# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The index in memory and in files, by FAISS (Douze et al. 2024): exact, or a graph when asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.retrieval.vector_index import (
    Found,
    Metadata,
    Where,
    allowed_values,
    check_k,
    check_queries,
    check_vectors,
)

KINDS = ("flat", "hnsw")
_VECTORS, _ROWS = "vectors.faiss", "rows.parquet"
_ID, _ALIVE = "__id__", "__alive__"
_HNSW_NEIGHBOURS, _HNSW_BUILD, _HNSW_SEARCH = 32, 80, 128
_KIND_KEY = b"kind"


def _faiss() -> Any:  # noqa: ANN401 (a module)
    try:
        import faiss
    except ImportError as error:
        raise ImportError('An index needs FAISS: pip install "hf_multimodal[index]".') from error
    return faiss


class FaissIndex:
    """Vectors under ids, found by inner product.

    Deleted vectors are passed over, and dropped for good when they are more than half of all. A condition on metadata
    is met exactly: with `hnsw`, too, the vectors that meet it are compared one by one.

    Args:
        dimension: Width of the vectors.
        kind: `flat` compares with every vector (exact); `hnsw` walks a graph (Malkov and Yashunin 2016): approximate,
            faster from some ten thousand vectors on, slow to build.
    """

    def __init__(self, dimension: int, kind: str = "flat") -> None:
        check_known("kind of index", kind, KINDS)
        self.dimension = dimension
        self.kind = kind
        self._index = self._empty()
        self._rows: pa.Table | None = None  # id and metadata of every vector ever added, in the index's order
        self._alive = np.zeros(0, dtype=bool)
        self._positions: dict[str, int] = {}  # of those alive

    def _empty(self) -> Any:  # noqa: ANN401 (an index of faiss)
        faiss = _faiss()
        if self.kind == "flat":
            return faiss.IndexFlatIP(self.dimension)
        index = faiss.IndexHNSWFlat(self.dimension, _HNSW_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _HNSW_BUILD
        return index

    def __len__(self) -> int:
        return len(self._positions)

    def add(self, ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Metadata]) -> None:
        """Adds vectors; see `VectorIndex.add`."""
        vectors = check_vectors(ids, vectors, self.dimension, metadata)
        for one in ids:
            if one in self._positions:
                raise ValueError(f"The id {one!r} is in the index already: delete it first. Nothing was added.")
        if not len(ids):
            return
        added = _table_of(ids, metadata)
        tables = [added] if self._rows is None else [self._rows, added]
        try:
            rows = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowTypeError as error:
            raise ValueError(f"The metadata does not fit that of the index ({error}). Nothing was added.") from error
        start = len(self._alive)
        self._index.add(vectors)
        self._rows = rows
        self._alive = np.concatenate([self._alive, np.ones(len(ids), dtype=bool)])
        self._positions.update({one: start + i for i, one in enumerate(ids)})

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes vectors; see `VectorIndex.delete`."""
        for one in ids:
            if one not in self._positions:
                raise ValueError(f"There is no id {one!r} in the index. Nothing was deleted.")
        for one in set(ids):
            self._alive[self._positions.pop(one)] = False
        if self._alive.sum() * 2 < len(self._alive):
            self._compact()

    def _compact(self) -> None:
        kept = np.flatnonzero(self._alive)
        vectors, index = self._vectors(kept), self._empty()
        if len(kept):
            index.add(vectors)
        self._index, self._rows = index, self._table().take(kept)
        self._alive = np.ones(len(kept), dtype=bool)
        self._positions = {one: i for i, one in enumerate(self._rows.column(_ID).to_pylist())}

    def _table(self) -> pa.Table:
        return pa.table({_ID: pa.array([], pa.string())}) if self._rows is None else self._rows

    def _vectors(self, positions: np.ndarray) -> np.ndarray:
        return self._index.reconstruct_batch(positions) if len(positions) else np.zeros((0, self.dimension), np.float32)

    def search(self, vectors: np.ndarray, k: int, where: Where | None = None) -> list[list[Found]]:
        """Finds the nearest; see `VectorIndex.search`."""
        check_k(k)
        vectors = check_queries(vectors, self.dimension)
        allowed = self._allowed(where)
        count = min(k, int(allowed.sum()))
        if not count:
            return [[] for _ in vectors]
        similarities, positions = self._nearest(vectors, count, allowed, is_filtered=bool(where))
        used, places = np.unique(positions, return_inverse=True)
        rows = self._table().take(used).to_pylist()
        names = [row.pop(_ID) for row in rows]
        return [
            [Found(names[p], float(s), dict(rows[p])) for s, p in zip(scores, found, strict=True)]
            for scores, found in zip(similarities, places.reshape(positions.shape), strict=True)
        ]

    def _nearest(
        self, vectors: np.ndarray, count: int, allowed: np.ndarray, is_filtered: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Similarities (Q, count) and positions (Q, count) of the nearest allowed vectors."""
        faiss = _faiss()
        if self.kind == "flat":
            if allowed.all():
                return self._index.search(vectors, count)
            return self._index.search(vectors, count, params=faiss.SearchParameters(sel=_selector(allowed)))
        if not is_filtered:
            width = max(_HNSW_SEARCH, 2 * count)  # a walk that keeps fewer than it looks for finds too few
            parameters = faiss.SearchParametersHNSW(efSearch=width)
            if not allowed.all():
                parameters = faiss.SearchParametersHNSW(efSearch=width, sel=_selector(allowed))
            similarities, positions = self._index.search(vectors, count, params=parameters)
            if (positions >= 0).all():
                return similarities, positions
        chosen = np.flatnonzero(allowed)
        exact = faiss.IndexFlatIP(self.dimension)
        exact.add(self._vectors(chosen))
        similarities, places = exact.search(vectors, count)
        return similarities, chosen[places]

    def _allowed(self, where: Where | None) -> np.ndarray:
        allowed = self._alive.copy()
        table = self._table()
        columns = tuple(name for name in table.column_names if name != _ID)
        for column, value in (where or {}).items():
            check_known("column of the index's metadata", column, columns)
            allowed &= _matches(table.column(column), allowed_values(column, value), column)
        return allowed

    def save(self, folder: Path) -> None:
        """Writes the index into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        _faiss().write_index(self._index, str(folder / _VECTORS))
        table = self._table().append_column(_ALIVE, pa.array(self._alive))
        pq.write_table(table.replace_schema_metadata({_KIND_KEY: self.kind.encode()}), folder / _ROWS)

    @classmethod
    def load(cls, folder: Path) -> "FaissIndex":
        """Reads an index from a folder that `save` has written.

        Raises:
            ValueError: if there is none.
        """
        if not (folder / _VECTORS).is_file() or not (folder / _ROWS).is_file():
            raise ValueError(f"{str(folder)!r} holds no index: {_VECTORS} or {_ROWS} is missing.")
        table = pq.read_table(folder / _ROWS)
        vectors = _faiss().read_index(str(folder / _VECTORS))
        index = cls(vectors.d, table.schema.metadata[_KIND_KEY].decode())
        index._index = vectors
        index._alive = np.array(table.column(_ALIVE).to_pylist(), dtype=bool)
        index._rows = table.drop_columns([_ALIVE]).replace_schema_metadata(None)
        ids = index._rows.column(_ID).to_pylist()
        index._positions = {one: i for i, one in enumerate(ids) if index._alive[i]}
        return index


def _selector(allowed: np.ndarray) -> Any:  # noqa: ANN401 (a selector of faiss)
    return _faiss().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def _table_of(ids: Sequence[str], metadata: Sequence[Metadata]) -> pa.Table:
    names = dict.fromkeys(name for row in metadata for name in row)
    try:
        columns = {name: pa.array([row.get(name) for row in metadata]) for name in names}
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"The metadata of a column is not of one type ({error}). Nothing was added.") from error
    return pa.table({**columns, _ID: pa.array(ids, pa.string())})


def _matches(column: pa.ChunkedArray, values: Sequence[Any], name: str) -> np.ndarray:
    fitting = [value for value in values if _is_of(column.type, value)]
    if not fitting:
        raise ValueError(f"Column {name!r} holds {column.type}, and {values!r} is of another type.")
    return pc.is_in(column, value_set=pa.array(fitting).cast(column.type)).fill_null(False).to_numpy()


def _is_of(kind: pa.DataType, value: Any) -> bool:  # noqa: ANN401 (of any type)
    """Whether a column of a type may hold a value; a number with a fraction stands in no column of whole ones."""
    if pa.types.is_boolean(kind) or isinstance(value, bool):
        return pa.types.is_boolean(kind) and isinstance(value, bool)
    if pa.types.is_integer(kind):
        return isinstance(value, (int, float)) and float(value).is_integer()
    if pa.types.is_floating(kind):
        return isinstance(value, (int, float))
    return (pa.types.is_string(kind) or pa.types.is_large_string(kind)) and isinstance(value, str)


__all__ = ["KINDS", "FaissIndex"]
