# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmark of kept features: an epoch that runs the frozen towers against one that reads what they said."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import typer
from bench_common import describe_machine, header, timed

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.training.feature_cache import cache_features, release_features
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.run_parts import build, load_splits


def epoch(
    model: Any,  # noqa: ANN401 (any model of this package)
    collator: MultimodalCollator,
    rows: Any,  # noqa: ANN401 (a datasets.Dataset)
    batch_size: int,
) -> Callable[[], None]:
    """Returns what trains once through the rows, from raw rows to moved weights."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)

    def run() -> None:
        model.train()
        for start in range(0, len(rows), batch_size):
            batch = collator([rows[i] for i in range(start, min(start + batch_size, len(rows)))])
            model(**batch.to(model.device)).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return run


def features(
    config: Path = typer.Argument(help="A run's YAML file, with frozen text or image towers."),  # noqa: B008
    overrides: list[str] = typer.Argument(None, help="Any field of it, as key=value."),  # noqa: B008
    epochs: int = typer.Option(3, min=1, help="Epochs of each kind, in turns."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures epochs with `training.feature_cache` against epochs without, in turns, on a run's own rows."""
    run = RunConfig.load(config, overrides or ())
    rows = load_splits(run)["train"]
    model, processor, schema = build(run, rows)
    moved: Any = model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    plain = MultimodalCollator(processor, schema, run.data.columns)
    batch_size = run.training.get("per_device_train_batch_size", 8)
    seconds: dict[str, list[float]] = {"uncached": [], "cached": []}
    with tempfile.TemporaryDirectory() as folder:
        filling = timed(lambda: cache_features(moved, plain, {"train": rows}, folder))
        release_features(moved)
        for _ in range(epochs):
            seconds["uncached"].append(timed(epoch(moved, plain, rows, batch_size)))
            kept = cache_features(moved, plain, {"train": rows}, folder)
            seconds["cached"].append(timed(epoch(moved, kept, rows, batch_size)))
            release_features(moved)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors")) / 2**20
    ratios = [slow / fast for slow, fast in zip(*seconds.values(), strict=True)]
    result = {
        "settings": {"config": config.name, "rows": len(rows), "batch_size": batch_size, "epochs": epochs},
        "machine": describe_machine(moved.device),
        "filling_seconds": filling,
        "store_mb": size,
        "epoch_seconds": seconds,
        "speedup": ratios,
    }
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    lines = [f"  {name:<9} " + ", ".join(f"{x:.1f} s" for x in values) for name, values in seconds.items()]
    lines.append(f"  a cached epoch is {', '.join(f'{x:.1f}' for x in ratios)} times as fast (aim: 10)")
    lines.append(f"  filled once in {filling:.1f} s, {size:.0f} MB")
    typer.echo("\n".join([*header(result), *lines]))


__all__ = ["epoch", "features"]
