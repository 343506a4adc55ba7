# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal search`: one query over a collection."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hf_multimodal.cli.index import milvus_credentials
from hf_multimodal.cli.predict import one_row


def search(
    folder: Annotated[Path, typer.Argument(help="Folder of the index.")],
    text: Annotated[str | None, typer.Option(help="Text to search by.")] = None,
    image: Annotated[Path | None, typer.Option(help="Image file to search by.")] = None,
    audio: Annotated[Path | None, typer.Option(help="Sound file to search by.")] = None,
    video: Annotated[Path | None, typer.Option(help="Clip to search by.")] = None,
    series: Annotated[str | None, typer.Option(help="Series or table row to search by, as JSON.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Items found.")] = 10,
    rerank: Annotated[int, typer.Option(min=0, help="How many of the first the match head puts in order.")] = 0,
    where: Annotated[
        list[str] | None, typer.Option(help="Only items with this value of a stored column: colour=Red.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Where the model is now, if it has moved; or a bundle of it.")
    ] = None,
) -> None:
    """Search by one query; prints the items found as JSON, best first."""
    from hf_multimodal.retrieval.search import Searcher

    query = one_row(text=text, image=image, audio=audio, video=video, series=series)
    if len(query) != 1:
        raise ValueError(f"Give one query: --text, --image, --audio, --video or --series; got {len(query)}.")
    conditions = _parse_where(where or ())
    searcher = Searcher.open(folder, model=model, **milvus_credentials(folder))
    hits = searcher.search(k, rerank=rerank, where=conditions, **query)
    typer.echo(json.dumps([hit.to_dict() for hit in hits], indent=2, default=str))


def _parse_where(items: list[str] | tuple[()]) -> dict[str, list[object]]:
    """Reads column=value items, several of one column as alternatives; 42 is the number and the text."""
    conditions: dict[str, list[object]] = {}
    for item in items:
        column, separator, value = item.partition("=")
        if not separator or not column:
            raise ValueError(f"Cannot read --where {item!r}: write column=value, for instance colour=Red.")
        conditions.setdefault(column, []).extend(_readings(value))
    return conditions


def _readings(text: str) -> list[object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return [text]
    return [value, text] if isinstance(value, (bool, int, float)) else [text]


__all__ = ["search"]
