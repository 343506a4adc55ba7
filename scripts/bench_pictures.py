# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmark of pictures that several rows share: encoded once against once for each row."""

import json

import torch
import typer
from bench_common import describe_machine, header, spread, take_turns
from bench_steps import Towers, build_batch, build_model, line, training_step


def pictures(
    towers: Towers = typer.Option("small", help="Size of the towers."),  # noqa: B008 (typer's way)
    batch_size: int = typer.Option(32, min=2, help="Rows in a batch."),
    rows_per_picture: int = typer.Option(8, min=2, help="Rows that share a picture; it divides the batch."),
    steps: int = typer.Option(10, min=2, help="Rounds that count; in each, every variant takes one step."),
    seed: int = typer.Option(0, help="Seed of weights and rows."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures training steps and evaluation of rows that share pictures, in turns."""
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shared = build_batch(towers.value, batch_size, device)
    indices = torch.arange(batch_size, device=device) // rows_per_picture
    shared.update(pixel_values=shared["pixel_values"][: int(indices[-1]) + 1], picture_indices=indices)
    each = {**shared, "pixel_values": shared["pixel_values"][indices]}
    del each["picture_indices"]
    batches = {"shared": shared, "each": each}
    model = build_model(towers.value, "cross_attention", device)

    def forward(name: str) -> None:
        with torch.inference_mode():
            model(**batches[name])

    found = {}
    for kind in ("training", "evaluation"):
        model.train(kind == "training")
        steps_of = {
            name: training_step(model, lambda b=batch: model(**b).loss)  # type: ignore[misc]
            if kind == "training"
            else (lambda n=name: forward(n))
            for name, batch in batches.items()
        }
        found[kind] = spread([x["shared"] / x["each"] for x in take_turns(steps_of, steps)])
    result = {
        "settings": {
            "towers": towers.value,
            "batch_size": batch_size,
            "rows_per_picture": rows_per_picture,
            "steps": steps,
            "seed": seed,
        },
        "machine": describe_machine(device),
        "ratios": found,
    }
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    lines = [line(f"{kind}, each picture encoded once / for each row", x) for kind, x in found.items()]
    typer.echo("\n".join([*header(result), *lines]))


__all__ = ["pictures"]
