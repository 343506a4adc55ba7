# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal embed`: a collection to vectors."""

from pathlib import Path
from typing import Annotated

import typer

from hf_multimodal.cli.options import BatchSize, Column, FeatureCache, Model, Source, Split


def embed(
    model: Model,
    modality: Annotated[str, typer.Option(help="What to embed: text, image, audio, video or series.")],
    output: Annotated[Path, typer.Option(help="Folder for the parquet files.")],
    source: Source = None,
    split: Split = None,
    column: Column = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Column to store beside the vectors, for conditions and answers.")
    ] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Store the tokens, too, which reranking needs.")] = False,
    unique_items: Annotated[
        bool, typer.Option("--unique-items", help="Take each item (the column mapped to item) once, under its name.")
    ] = False,
    batch_size: BatchSize = 64,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that open files.")] = 0,
    feature_cache: FeatureCache = None,
) -> None:
    """Embed a collection with a retrieval model; called again, it continues where it was stopped.

    On several processes: accelerate launch -m hf_multimodal embed MODEL ...
    """
    from accelerate import PartialState

    from hf_multimodal.retrieval.embed import embed_rows
    from hf_multimodal.training.row_source import RowSource

    rows = RowSource.for_model(model, source=source, split=split, columns=column)
    count = embed_rows(
        model,
        rows,
        output,
        modality=modality,
        keep=keep or (),
        unique_items=unique_items,
        with_tokens=tokens,
        batch_size=batch_size,
        num_workers=num_workers,
        feature_cache=feature_cache,
    )
    if PartialState().is_main_process:
        typer.echo(f"{count} vectors in {output}")


__all__ = ["embed"]
