# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The index in Milvus, through pymilvus: a file (Milvus Lite), a server, or a cluster behind the same address."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_multimodal.data.whole_files import write_whole
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

_ID, _VECTOR, _METADATA = "id", "vector", "metadata"
_LONGEST_ID = 512
_SETTINGS = "milvus.json"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ROWS_AT_ONCE = 1000
_MOST_FOUND = 16384  # Milvus answers with no more


def _client(uri: str, token: str) -> Any:  # noqa: ANN401 (pymilvus' client)
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise ImportError('An index in Milvus needs pymilvus: pip install "hf_multimodal[milvus]".') from error
    return MilvusClient(uri=uri, token=token)


class MilvusIndex:
    """Vectors under ids in a collection of Milvus, found by inner product.

    Args:
        dimension: Width of the vectors.
        uri: Address of the server or cluster, or a file ending in .db for Milvus Lite.
        collection: Name of the collection there; made if it is not there.
        kind: Milvus' own name of an index type: FLAT is exact, HNSW approximate.
        token: Credentials, as `user:password` or an API key.

    Raises:
        ValueError: if the name is not one, or the collection there is of another dimension.
    """

    def __init__(
        self, dimension: int, *, uri: str, collection: str = "hf_multimodal", kind: str = "FLAT", token: str = ""
    ) -> None:
        if uri.endswith(".db") and "://" not in uri:
            uri = str(Path(uri).resolve())  # found again from wherever
        if not _NAME.match(collection):
            raise ValueError(f"{collection!r} is no name of a collection: letters, digits and _, no digit first.")
        self.dimension, self.uri, self.collection, self.kind = dimension, uri, collection, kind.upper()
        self._milvus = _client(uri, token)
        if self._milvus.has_collection(collection):
            self._check_dimension()
        else:
            self._create()
        self._milvus.load_collection(collection)

    def _check_dimension(self) -> None:
        fields = self._milvus.describe_collection(self.collection)["fields"]
        widths = [field["params"].get("dim") for field in fields if field["name"] == _VECTOR]
        if widths != [self.dimension]:
            raise ValueError(
                f"The collection {self.collection!r} at {self.uri!r} holds vectors of dimension {widths}, not "
                f"{self.dimension}: they come from another model. Name another collection."
            )

    def _create(self) -> None:
        from pymilvus import DataType

        schema = self._milvus.create_schema(auto_id=False)
        schema.add_field(_ID, DataType.VARCHAR, is_primary=True, max_length=_LONGEST_ID)
        schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=self.dimension)
        schema.add_field(_METADATA, DataType.JSON)
        parameters = self._milvus.prepare_index_params()
        options = {"M": 32, "efConstruction": 80} if self.kind == "HNSW" else {}
        parameters.add_index(_VECTOR, index_type=self.kind, metric_type="IP", params=options)
        self._milvus.create_collection(
            self.collection, schema=schema, index_params=parameters, consistency_level="Strong"
        )

    def __len__(self) -> int:
        return int(self._milvus.query(self.collection, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def add(self, ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Metadata]) -> None:
        """Adds vectors; see `VectorIndex.add`."""
        vectors = check_vectors(ids, vectors, self.dimension, metadata)
        for one in ids:
            if len(one.encode()) > _LONGEST_ID:
                raise ValueError(f"The id {one[:40]!r}... is longer than {_LONGEST_ID} bytes. Nothing was added.")
        if known := self._present(ids):
            raise ValueError(
                f"The id {sorted(known)[0]!r} is in the index already: delete it first. Nothing was added."
            )
        for one, row in zip(ids, metadata, strict=True):
            _check_json(one, row)
        try:
            for start in range(0, len(ids), _ROWS_AT_ONCE):
                rows = slice(start, start + _ROWS_AT_ONCE)
                parts = zip(ids[rows], vectors[rows], metadata[rows], strict=True)
                self._milvus.insert(
                    self.collection, [{_ID: i, _VECTOR: v.tolist(), _METADATA: dict(m)} for i, v, m in parts]
                )
        except BaseException:
            self._delete(ids)
            raise

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes vectors; see `VectorIndex.delete`."""
        known = self._present(ids)
        for one in ids:
            if one not in known:
                raise ValueError(f"There is no id {one!r} in the index. Nothing was deleted.")
        self._delete(ids)

    def _delete(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            self._milvus.delete(self.collection, ids=list(ids[start : start + _ROWS_AT_ONCE]))

    def _present(self, ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            part = list(ids[start : start + _ROWS_AT_ONCE])
            found.update(row[_ID] for row in self._milvus.get(self.collection, ids=part, output_fields=[_ID]))
        return found

    def search(self, vectors: np.ndarray, k: int, where: Where | None = None) -> list[list[Found]]:
        """Finds the nearest; see `VectorIndex.search`."""
        check_k(k)
        vectors = check_queries(vectors, self.dimension)
        condition = self._condition(where)
        count = min(k, len(self), _MOST_FOUND)
        if not len(vectors) or not count:
            return [[] for _ in vectors]
        answers = self._milvus.search(
            self.collection,
            data=vectors.tolist(),
            anns_field=_VECTOR,
            filter=condition,
            limit=count,
            output_fields=[_METADATA],
            search_params={"metric_type": "IP", "params": {"ef": max(k, 128)} if self.kind == "HNSW" else {}},
        )
        return [
            [Found(hit[_ID], float(hit["distance"]), dict(hit["entity"][_METADATA])) for hit in answer]
            for answer in answers
        ]

    def _condition(self, where: Where | None) -> str:
        """Writes a condition in Milvus' language; names and values are quoted as JSON."""
        if not where:
            return ""
        sample = self._milvus.query(self.collection, filter="", limit=1, output_fields=[_METADATA])
        parts = []
        for column, value in where.items():
            if sample:
                check_known("column of the index's metadata", column, tuple(sample[0][_METADATA]))
            field = f"{_METADATA}[{_quoted(column)}]"  # of which Milvus Lite knows no `in`
            parts.append("(" + " or ".join(f"{field} == {_quoted(one)}" for one in allowed_values(column, value)) + ")")
        return " and ".join(parts)

    def save(self, folder: Path) -> None:
        """Writes down where the vectors are; Milvus keeps them itself. Credentials are not written."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"dimension": self.dimension, "uri": self.uri, "collection": self.collection, "kind": self.kind}
        write_whole(folder / _SETTINGS, json.dumps(settings, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, *, token: str = "") -> "MilvusIndex":
        """Connects to the collection that `save` has noted down.

        Raises:
            ValueError: if there is no such note.
        """
        file = folder / _SETTINGS
        if not file.is_file():
            raise ValueError(f"{str(folder)!r} holds no index: {_SETTINGS} is missing.")
        settings = json.loads(file.read_text(encoding="utf-8"))
        is_file = settings["uri"].endswith(".db") and "://" not in settings["uri"]
        is_there = not is_file or Path(settings["uri"]).exists()
        if not is_there or not _client(settings["uri"], token).has_collection(settings["collection"]):
            raise ValueError(
                f"The collection {settings['collection']!r} at {settings['uri']!r} is gone: index the embeddings again."
            )
        return cls(**settings, token=token)


def _quoted(value: Any) -> str:  # noqa: ANN401 (a text, number or switch)
    """Writes a value as Milvus reads it: JSON, but without escapes for letters of other alphabets."""
    return json.dumps(value, ensure_ascii=False)


def _check_json(name: str, row: Metadata) -> None:
    try:
        json.dumps(dict(row), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The metadata of {name!r} cannot be kept as JSON ({error}). Nothing was added.") from error


__all__ = ["MilvusIndex"]
