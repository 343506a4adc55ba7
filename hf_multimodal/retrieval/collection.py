# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A searchable collection on disk: an index of vectors, the tokens for reranking, and which model made them.

Files are written under new names, then the manifest, at once, names those that count, then the old ones go: whoever
opens the folder finds one state or the other, whole.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock

from hf_multimodal.data.whole_files import aside, write_whole
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.retrieval.embeddings import EmbeddingManifest, read_parts
from hf_multimodal.retrieval.faiss_index import FaissIndex
from hf_multimodal.retrieval.milvus_index import MilvusIndex
from hf_multimodal.retrieval.token_store import TokenStore, remove_part, write_part
from hf_multimodal.retrieval.vector_index import VectorIndex

MANIFEST = "index.json"
_LOCK = ".lock"
BACKENDS: dict[str, Any] = {"faiss": FaissIndex, "milvus": MilvusIndex}


@dataclass(frozen=True)
class IndexManifest:
    """What a collection holds.

    Attributes:
        model: Folder or Hub id of the model.
        revision: Its fingerprint.
        modality: What was embedded.
        dimension: Width of the vectors.
        token_width: Width of the stored tokens; None without any.
        backend: Key of `BACKENDS`.
        vectors: Folder of the index of vectors.
        tokens: Parts of the token store.
        version: Counts the changes.
    """

    model: str
    revision: str
    modality: str
    dimension: int
    token_width: int | None
    backend: str
    vectors: str
    tokens: tuple[str, ...] = ()
    version: int = 0


class Collection:
    """An index with its tokens and its manifest.

    Args:
        folder: Where it lies.
        manifest: What it holds.
        index: The vectors.
    """

    def __init__(self, folder: Path, manifest: IndexManifest, index: VectorIndex) -> None:
        self.folder, self.manifest, self.index = folder, manifest, index
        self._store: TokenStore | None = None

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        embeddings: str | Path,
        *,
        backend: str = "faiss",
        **options: Any,  # noqa: ANN401
    ) -> "Collection":
        """Indexes finished embeddings.

        Args:
            folder: Where the collection will lie; must not be there yet.
            embeddings: Folder that `embed_rows` has written.
            backend: `faiss` or `milvus`.
            **options: Of `FaissIndex` (`kind`) or `MilvusIndex` (`uri`, `collection`, `kind`, `token`).

        Raises:
            ValueError: if the folder is there, the embeddings are not finished, or a vector cannot be indexed.
        """
        folder, embeddings = Path(folder), Path(embeddings)
        check_known("backend of an index", backend, tuple(BACKENDS))
        if folder.exists() and (not folder.is_dir() or not all(_is_leftover(file) for file in folder.iterdir())):
            raise ValueError(f"{str(folder)!r} exists: give another folder, or add to the collection there.")
        source = EmbeddingManifest.load(embeddings)
        if backend == "milvus" and not options.get("uri"):
            raise ValueError("An index in Milvus needs its address: give uri, or a file ending in .db for Milvus Lite.")
        index = BACKENDS[backend](source.dimension, **options)
        if len(index):
            raise ValueError(f"There are {len(index)} vectors in that place already: name another collection.")
        manifest = IndexManifest(
            model=source.model,
            revision=source.revision,
            modality=source.modality,
            dimension=source.dimension,
            token_width=source.token_width,
            backend=backend,
            vectors="",
        )
        existed = folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            made = cls(folder, manifest, index)
            made.add(embeddings)
        except BaseException:
            if not existed:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return made

    @classmethod
    def open(cls, folder: str | Path, **options: Any) -> "Collection":  # noqa: ANN401 (of the backend's `load`)
        """Opens a collection.

        Raises:
            ValueError: if there is none.
        """
        folder = Path(folder)
        while True:
            manifest = read_manifest(folder)
            try:
                return cls(folder, manifest, BACKENDS[manifest.backend].load(folder / manifest.vectors, **options))
            except ValueError:
                if read_manifest(folder) == manifest:  # else it was changed in between, and its old files are gone
                    raise

    def add(self, embeddings: str | Path) -> int:
        """Adds finished embeddings of the same model and modality, and returns how many.

        Raises:
            ValueError: naming what differs, the id that is there already, or the vector that is not finite; nothing is
                added then.
        """
        embeddings = Path(embeddings)
        self._check_same(EmbeddingManifest.load(embeddings))
        with self._alone():
            return self._add(embeddings)

    def _add(self, embeddings: Path) -> int:
        tables = list(read_parts(embeddings, lambda name: name != "tokens"))
        table = pa.concat_tables(tables, promote_options="permissive")
        ids = table.column("id").to_pylist()
        vectors = np.concatenate([_vectors(part) for part in tables])
        columns = [name for name in table.column_names if name not in ("id", "vector")]
        part = None
        if self.manifest.token_width is not None:
            part = f"tokens-{self.manifest.version + 1:06d}"
            write_part(self.folder / part, _tokens(embeddings), self.manifest.token_width)
        metadata = table.select(columns).to_pylist() if columns else [{} for _ in ids]
        try:
            self.index.add(ids, vectors, metadata)
            try:
                self._commit(part)
            except BaseException:
                self.index.delete(ids)  # of what a server keeps, too
                raise
        except BaseException:
            if part is not None:
                remove_part(self.folder / part)
            raise
        return len(ids)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes items.

        Raises:
            ValueError: naming an id that is not there; nothing is deleted then.
        """
        with self._alone():
            self.index.delete(ids)
            self._commit(None)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes from changing the collection meanwhile.

        Raises:
            ValueError: if one has changed it since it was opened.
        """
        with FileLock(self.folder / _LOCK):
            there = (self.folder / MANIFEST).is_file()
            if there and read_manifest(self.folder) != self.manifest:
                raise ValueError(
                    f"The index in {str(self.folder)!r} was changed by another process since it was opened: open it "
                    "again. Nothing was changed."
                )
            yield

    def _check_same(self, source: EmbeddingManifest) -> None:
        for name in ("revision", "modality", "dimension", "token_width"):
            ours, theirs = getattr(self.manifest, name), getattr(source, name)
            if ours != theirs:
                raise ValueError(
                    f"The embeddings do not fit the index: their {name} is {theirs!r}, the index's is {ours!r}. Embed "
                    f"the rows as the others were, with {self.manifest.model!r}."
                )

    def _commit(self, new_part: str | None) -> None:
        """Saves the vectors under a new name, then has the manifest name them."""
        before = self.manifest
        version = before.version + 1
        tokens = (*before.tokens, *([new_part] if new_part else []))
        after = replace(before, vectors=f"vectors-{version:06d}", tokens=tokens, version=version)
        self.index.save(self.folder / after.vectors)
        write_whole(self.folder / MANIFEST, json.dumps(asdict(after), indent=2) + "\n")
        self.manifest, self._store = after, None
        self._sweep()

    def _sweep(self) -> None:
        """Removes what earlier versions, or a process that was killed, left behind."""
        for old in self.folder.glob("vectors-*"):
            if old.name != self.manifest.vectors:
                shutil.rmtree(old, ignore_errors=True)
        for old in self.folder.glob("tokens-*.bin"):
            if old.name.removesuffix(".bin") not in self.manifest.tokens:
                remove_part(old.with_suffix(""))

    @property
    def tokens(self) -> TokenStore:
        """The items' tokens.

        Raises:
            ValueError: if none are stored.
        """
        if self.manifest.token_width is None:
            raise ValueError(
                "This index holds no tokens, which reranking needs: embed the collection with its tokens (--tokens)."
            )
        if self._store is None:
            self._store = TokenStore([self.folder / part for part in self.manifest.tokens], self.manifest.token_width)
        return self._store


def read_manifest(folder: Path) -> IndexManifest:
    """Reads what a collection holds.

    Raises:
        ValueError: if there is none in the folder.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise ValueError(f"{str(folder)!r} holds no index ({MANIFEST} is missing): make one with `index`.")
    values = json.loads(file.read_text(encoding="utf-8"))
    return IndexManifest(**{**values, "tokens": tuple(values["tokens"])})


def _vectors(table: pa.Table) -> np.ndarray:
    column = table.column("vector").combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)


def _tokens(embeddings: Path) -> Iterator[dict[str, Any]]:
    for table in read_parts(embeddings, lambda name: name in ("id", "tokens")):
        yield from table.to_pylist()


def _is_leftover(file: Path) -> bool:
    """Whether a file is one that a killed process left where there is no collection yet."""
    return file.name in (_LOCK, aside(Path(MANIFEST)).name) or file.name.startswith(("vectors-", "tokens-"))


__all__ = ["BACKENDS", "Collection", "IndexManifest", "read_manifest"]
