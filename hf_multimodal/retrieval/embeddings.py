# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A folder of embeddings: what it says of itself, and how it is read."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_multimodal.data.whole_files import aside, write_whole

MANIFEST = "embeddings.json"
_PARTS = "part-*.parquet"


def part_file(folder: Path, number: int) -> Path:
    """Names the file of a part."""
    return folder / f"part-{number:06d}.parquet"


@dataclass(frozen=True)
class EmbeddingManifest:
    """What a folder of embeddings holds.

    Attributes:
        model: Folder or Hub id of the model.
        revision: Its fingerprint.
        modality: What was embedded.
        dimension: Width of the vectors.
        token_width: Width of the tokens that are stored beside them; None without any.
        rows_of: Where the rows are from; see `RowSource.description`.
        keep: Columns carried along as metadata.
        unique_items: Whether each item was taken once.
        part_rows: Rows of a file.
        rows: How many were embedded; None until all are.
    """

    model: str
    revision: str
    modality: str
    dimension: int
    token_width: int | None
    rows_of: dict[str, Any]
    keep: list[str]
    unique_items: bool
    part_rows: int
    rows: int | None = None

    def save(self, folder: Path) -> None:
        """Writes it into a folder, whole or not at all."""
        write_whole(folder / MANIFEST, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "EmbeddingManifest":
        """Reads it from a folder.

        Raises:
            ValueError: if there is none, or another version of this package wrote it.
        """
        file = folder / MANIFEST
        if not file.is_file():
            raise ValueError(f"{str(folder)!r} holds no embeddings ({MANIFEST} is missing): make them with `embed`.")
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except TypeError as error:
            raise ValueError(
                f"{str(file)!r} was written by another version of this package ({error}): embed the rows again."
            ) from error


def prepare_folder(output: Path, manifest: EmbeddingManifest) -> None:
    """Makes a folder ready for embeddings, or checks that those there are the same.

    Raises:
        ValueError: naming what differs, or if the folder holds something else.
    """
    if (output / MANIFEST).is_file():
        before = EmbeddingManifest.load(output)
        old, new = asdict(before), asdict(manifest)
        # the same model may have moved
        old, new = ({**values.pop("rows_of"), **values} for values in (old, new))
        changed = [name for name in old if name not in ("rows", "model") and old[name] != new[name]]
        if changed:
            told = "; ".join(f"{name} was {old[name]!r}, is {new[name]!r}" for name in changed)
            raise ValueError(f"{str(output)!r} holds embeddings of something else ({told}): give another folder.")
        return
    if output.exists() and any(file != aside(output / MANIFEST) for file in output.iterdir()):
        raise ValueError(f"{str(output)!r} exists and holds no embeddings, so it is left alone: give another folder.")
    output.mkdir(parents=True, exist_ok=True)
    manifest.save(output)


def read_parts(folder: Path, columns: Callable[[str], bool] | None = None) -> Iterator[pa.Table]:
    """Reads the embeddings of a finished folder, a table per file.

    Args:
        folder: The folder.
        columns: Which columns to read; None reads all.

    Raises:
        ValueError: if there are none, or not all yet.
    """
    manifest = EmbeddingManifest.load(folder)
    if manifest.rows is None:
        raise ValueError(f"The embeddings in {str(folder)!r} are not finished: run `embed` again, it continues.")
    files = sorted(folder.glob(_PARTS))
    found = sum(pq.read_metadata(file).num_rows for file in files)
    if found != manifest.rows:
        raise ValueError(f"{str(folder)!r} should hold {manifest.rows} rows, but has {found}: embed them again.")
    for file in files:
        names = pq.read_schema(file).names
        yield pq.read_table(file, columns=[name for name in names if columns is None or columns(name)])


__all__ = ["MANIFEST", "EmbeddingManifest", "part_file", "prepare_folder", "read_parts"]
