# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal evaluate`: a saved model on rows with labels."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from hf_multimodal.cli.options import (
    BatchSize,
    Column,
    FeatureCache,
    Model,
    NumBeams,
    NumSamples,
    Overwrite,
    Source,
    Split,
    check_results_folder,
)


def evaluate(
    model: Model,
    source: Source = None,
    split: Split = None,
    column: Column = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write metrics.json, predictions.parquet, report.html and so on to.")
    ] = None,
    batch_size: BatchSize = 64,
    missing: Annotated[
        bool, typer.Option("--missing", help="Also measure how the metrics fall as more rows lack each modality.")
    ] = False,
    rerank: Annotated[
        int, typer.Option(min=0, help="Of retrieval: also rerank so many candidates of each query by the match head.")
    ] = 0,
    num_beams: NumBeams = 1,
    num_samples: NumSamples = 0,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Also score the rows of each value of this column, in report.html."),
    ] = None,
    shown_wrong: Annotated[
        int | None,
        typer.Option("--wrong", min=0, help="How many of the rows it is most wrong about report.html shows (24)."),
    ] = None,
    feature_cache: FeatureCache = None,
    overwrite: Overwrite = False,
) -> None:
    """Evaluate a saved model: prints the metrics, and with --output writes them and every row's prediction."""
    from accelerate import PartialState

    from hf_multimodal.cli.train import format_metrics
    from hf_multimodal.training.inference import RowSource, kind_of_model, measure_missing_rates

    if output is not None:
        check_results_folder(output, overwrite)
    kind = kind_of_model(model)
    for name, is_given, own in (
        ("--rerank", rerank > 0, "retrieval"),
        ("--num-beams", num_beams > 1, "generation"),
        ("--num-samples", num_samples > 0, "generation"),
        ("--missing", missing, "prediction"),
        ("--slice", bool(slices), "prediction"),
        ("--wrong", shown_wrong is not None, "prediction"),
        ("--feature-cache", feature_cache is not None, "prediction"),
    ):
        if is_given and kind != own:
            raise ValueError(f"{name} is for models of {own}, and this one is of {kind}: leave it out.")
    rows = RowSource.for_model(model, source=source, split=split, columns=column)
    options: dict[str, Any] = {"output": output, "batch_size": batch_size}
    options_of: dict[str, dict[str, Any]] = {
        "retrieval": {"rerank": rerank},
        "generation": {"num_beams": num_beams, "num_samples": num_samples},
        "prediction": {
            "slices": slices or (),
            "feature_cache": feature_cache,
            **({} if shown_wrong is None else {"shown_wrong": shown_wrong}),
        },
    }
    options.update(options_of.get(kind, {}))
    metrics = _evaluator(kind)(model, rows, **options)
    if PartialState().is_main_process:
        typer.echo(format_metrics({rows.split or "rows": metrics}))
    if missing:
        curves = measure_missing_rates(model, rows, output=output, batch_size=batch_size)
        if PartialState().is_main_process:
            typer.echo(format_missing_rates(curves))


def _evaluator(kind: str) -> Callable[..., dict[str, float]]:
    """What evaluates a kind of model; each imports what it alone needs."""
    module, name = {
        "retrieval": ("retrieval.evaluate", "evaluate_retrieval"),
        "generation": ("training.generation", "evaluate_generation"),
        "pretraining": ("training.pretraining", "evaluate_pretraining"),
        "prediction": ("training.inference", "evaluate_model"),
    }[kind]
    found: Callable[..., dict[str, float]] = getattr(import_module(f"hf_multimodal.{module}"), name)
    return found


def format_missing_rates(curves: Mapping[str, Mapping[float, Mapping[str, float]]]) -> str:
    """Writes modality -> rate -> metric -> value as an aligned table, a line per rate and a column per modality."""
    metric = next(iter(next(iter(next(iter(curves.values())).values()))))
    lines = [f"{metric} where rows lack   " + "  ".join(f"{modality:>8}" for modality in curves)]
    for rate in next(iter(curves.values())):
        values = "  ".join(f"{curve[rate][metric]:8.4f}" for curve in curves.values())
        lines.append(f"{f'{rate:.0%} of them':>{len(metric) + 18}}   {values}")
    return "\n".join(lines)


__all__ = ["evaluate", "format_missing_rates"]
