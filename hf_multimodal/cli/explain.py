# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal explain`: why a saved model decides as it does."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hf_multimodal.cli.options import Column, Model, Source, Split


def explain(
    model: Model,
    output: Annotated[Path, typer.Option(help="Folder for the pictures and explanations.json.")],
    text: Annotated[str | None, typer.Option(help="The row's text.")] = None,
    image: Annotated[Path | None, typer.Option(help="The row's picture.")] = None,
    audio: Annotated[Path | None, typer.Option(help="The row's sound.")] = None,
    source: Source = None,
    split: Split = None,
    column: Column = None,
    limit: Annotated[int, typer.Option(min=1, help="Without --text, --image, --audio: rows of the source.")] = 8,
    label: Annotated[str | None, typer.Option(help="What to explain; by default what the model decides on.")] = None,
    task: Annotated[str | None, typer.Option(help="Of a model of several tasks the one.")] = None,
    box_column: Annotated[
        str | None,
        typer.Option(help="Column with the box, in pixels, of what decides the label: scores the maps."),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps of integrated gradients.")] = 32,
) -> None:
    """Explain decisions: shares of the modalities, attributions of words and pixels, relevance of tokens."""
    from hf_multimodal.explanation.run import explain_rows
    from hf_multimodal.training.row_source import RowSource

    paths = {"image": image, "audio": audio}
    row: dict[str, Any] = {name: str(path) for name, path in paths.items() if path is not None}
    row.update({"text": text} if text is not None else {})
    rows = [row] if row else RowSource.for_model(model, source=source, split=split, columns=column)
    options: dict[str, Any] = {"label": label, "task": task, "steps": steps}
    result = explain_rows(model, rows, output, limit=limit, box_column=box_column, **options)
    for one in result["rows"]:
        shares = ", ".join(f"{modality} {share:.0%}" for modality, share in one["modality_share"].items())
        typer.echo(f"{one['row_id']}: {one['label']} ({one['score']:.3f}); {shares}")
    if "pointing" in result:
        typer.echo(json.dumps(result["pointing"], indent=2))
    typer.echo(f"Drawn in {output}")


__all__ = ["explain"]
