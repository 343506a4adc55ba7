# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Options that several verbs share, and what they do with the folder for their results."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="Folder (or Hub id) of a saved model; predict and serve take bundles.")]
Source = Annotated[
    str | None, typer.Option(help="Rows: folder, file, Hub id or 'scenes'; evaluate takes the run's own by default.")
]
Split = Annotated[
    str | None, typer.Option(help="Split of the source; by default the run's test split, or the only one.")
]
Column = Annotated[list[str] | None, typer.Option(help="Column mapping, as text=question; the run's own by default.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Rows per device and step.")]
NumBeams = Annotated[int, typer.Option(min=1, help="Of models that write: beams of the search; 1 is greedy.")]
NumSamples = Annotated[
    int,
    typer.Option(min=0, help="Of models that write: texts drawn for each row, of which the most agreed on is taken."),
]
FeatureCache = Annotated[
    Path | None, typer.Option(help="Folder where the features of frozen towers are kept, as in training.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results in the output folder.")]


def check_results_folder(folder: Path, overwrite: bool) -> None:
    """Refuses a folder whose results would be replaced; every process looks before one of them writes.

    Raises:
        ValueError: naming what is in the way.
    """
    from hf_multimodal.training.inference import process_state
    from hf_multimodal.training.output_folder import refuse_results

    refuse_results(folder, overwrite=overwrite)
    process_state().wait_for_everyone()


__all__ = [
    "BatchSize",
    "Column",
    "FeatureCache",
    "Model",
    "NumBeams",
    "NumSamples",
    "Overwrite",
    "Source",
    "Split",
    "check_results_folder",
]
