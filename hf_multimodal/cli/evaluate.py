# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal evaluate`: a saved model on rows with labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from hf_multimodal.cli.options import BatchSize, Column, Model, NumBeams, Overwrite, Source, Split, check_results_folder


def evaluate(
    model: Model,
    source: Source = None,
    split: Split = None,
    column: Column = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write metrics.json, predictions.parquet and so on to.")
    ] = None,
    batch_size: BatchSize = 64,
    missing: Annotated[
        bool, typer.Option("--missing", help="Also measure how the metrics fall as more rows lack each modality.")
    ] = False,
    rerank: Annotated[
        int, typer.Option(min=0, help="Of retrieval: also rerank so many candidates of each query by the match head.")
    ] = 0,
    num_beams: NumBeams = 1,
    overwrite: Overwrite = False,
) -> None:
    """Evaluate a saved model: prints the metrics, and with --output writes them and every row's prediction."""
    from accelerate import PartialState

    from hf_multimodal.cli.train import format_metrics
    from hf_multimodal.training.inference import RowSource, evaluate_model, kind_of_model, measure_missing_rates

    if output is not None:
        check_results_folder(output, overwrite)
    kind = kind_of_model(model)
    if rerank and kind != "retrieval":
        raise ValueError("--rerank is for models made with task: retrieval.")
    if num_beams > 1 and kind != "generation":
        raise ValueError("--num-beams is for models made with task: generation.")
    if missing and kind != "prediction":
        raise ValueError("--missing is for models that predict labels.")
    rows = RowSource.for_model(model, source=source, split=split, columns=column)
    if kind == "retrieval":
        from hf_multimodal.retrieval.evaluate import evaluate_retrieval

        metrics = evaluate_retrieval(model, rows, rerank=rerank, output=output, batch_size=batch_size)
    elif kind == "generation":
        from hf_multimodal.training.generation import evaluate_generation

        metrics = evaluate_generation(model, rows, num_beams=num_beams, output=output, batch_size=batch_size)
    else:
        metrics = evaluate_model(model, rows, output=output, batch_size=batch_size)
    if PartialState().is_main_process:
        typer.echo(format_metrics({rows.split or "rows": metrics}))
    if missing:
        curves = measure_missing_rates(model, rows, output=output, batch_size=batch_size)
        if PartialState().is_main_process:
            typer.echo(format_missing_rates(curves))


def format_missing_rates(curves: Mapping[str, Mapping[float, Mapping[str, float]]]) -> str:
    """Writes modality -> rate -> metric -> value as an aligned table, a line per rate and a column per modality."""
    metric = next(iter(next(iter(next(iter(curves.values())).values()))))
    lines = [f"{metric} where rows lack   " + "  ".join(f"{modality:>8}" for modality in curves)]
    for rate in next(iter(curves.values())):
        values = "  ".join(f"{curve[rate][metric]:8.4f}" for curve in curves.values())
        lines.append(f"{f'{rate:.0%} of them':>{len(metric) + 18}}   {values}")
    return "\n".join(lines)


__all__ = ["evaluate", "format_missing_rates"]
