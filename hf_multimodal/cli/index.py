# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal index`: vectors to a searchable collection, or changes to one."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer


def index(
    folder: Annotated[Path, typer.Argument(help="Folder of the index.")],
    embeddings: Annotated[
        Path | None, typer.Option(help="Folder that `embed` has written: a new index of it, or added with --add.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Add to the index that is there.")] = False,
    delete: Annotated[list[str] | None, typer.Option(help="Delete the item of this id.")] = None,
    backend: Annotated[str, typer.Option(help="Where the vectors lie: faiss or milvus.")] = "faiss",
    kind: Annotated[
        str, typer.Option(help="flat compares with all (exact); hnsw is approximate, and faster on many.")
    ] = "flat",
    uri: Annotated[str | None, typer.Option(help="Of milvus: its address, or a file ending in .db.")] = None,
    collection: Annotated[str, typer.Option(help="Of milvus: name of the collection.")] = "hf_multimodal",
) -> None:
    """Make an index of embeddings, or add to one and delete from it. Credentials of Milvus: MILVUS_TOKEN."""
    from hf_multimodal.retrieval.collection import Collection

    if embeddings is None and not delete:
        raise ValueError("Nothing to do: give --embeddings FOLDER, or --delete ID.")
    if embeddings is not None and not add:
        if delete:
            raise ValueError("A new index has nothing to delete: give --add as well, or leave --delete out.")
        options: dict[str, Any] = {"kind": kind}
        if backend == "milvus":
            options.update(uri=uri, collection=collection, **_credentials())
        elif uri is not None:
            raise ValueError("--uri is for --backend milvus.")
        made = Collection.create(folder, embeddings, backend=backend, **options)
    else:
        if (backend, kind, uri, collection) != ("faiss", "flat", None, "hf_multimodal"):
            raise ValueError("--backend, --kind, --uri and --collection are of a new index: leave them out.")
        made = Collection.open(folder, **milvus_credentials(folder))
        if delete:
            made.delete(delete)
        if embeddings is not None:
            made.add(embeddings)
    typer.echo(f"{len(made)} vectors in {folder}")


def _credentials() -> dict[str, str]:
    token = os.environ.get("MILVUS_TOKEN")
    return {"token": token} if token else {}


def milvus_credentials(folder: Path) -> dict[str, str]:
    """Credentials for an index that lies in Milvus, from the environment; nothing for another."""
    from hf_multimodal.retrieval.collection import read_manifest

    return _credentials() if read_manifest(folder).backend == "milvus" else {}


__all__ = ["index", "milvus_credentials"]
