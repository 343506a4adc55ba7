# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmark of a training step in bfloat16, compiled and not: its share of what the device's matrix units reach."""

import json
from collections.abc import Callable
from typing import Any

import torch
import typer
from bench_common import describe_machine, header, spread, take_turns
from bench_steps import Towers, build_batch, build_model, training_step
from torch.utils.flop_counter import FlopCounterMode


def matrix_peak(device: torch.device, side: int, rounds: int = 20) -> dict[str, float]:
    """Measures operations per second of bfloat16 products of random square matrices."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))

    def multiply() -> None:
        for _ in range(10):
            torch.mm(left, right)

    seconds = [x["mm"] / 10 for x in take_turns({"mm": multiply}, rounds)]
    return spread([2 * side**3 / x for x in seconds])


def count_operations(compute_loss: Callable[[], torch.Tensor]) -> int:
    """Counts a step's multiplications and additions in matrix products, convolutions and attention, both passes."""
    with FlopCounterMode(display=False) as counter:
        compute_loss().backward()
    return counter.get_total_flops()


def accelerator(
    towers: Towers = typer.Option("vit", help="Size of the towers: vit is ViT-B/16 and BERT-base."),  # noqa: B008
    batch_size: int = typer.Option(256, min=2, help="Rows in a batch."),
    matrix_side: int = typer.Option(8192, min=16, help="Side of the matrices by which the peak is measured."),
    steps: int = typer.Option(10, min=2, help="Rounds that count; in each, every variant takes one step."),
    seed: int = typer.Option(0, help="Seed of weights and rows."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures steps of cross-attention in bfloat16, eager and compiled, against the measured matrix peak."""
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = build_batch(towers.value, batch_size, device)
    variants: dict[str, Callable[[], None]] = {}
    operations = 0
    for name in ("eager", "compiled"):
        model: Any = build_model(towers.value, "cross_attention", device).train()
        run = torch.compile(model, fullgraph=True) if name == "compiled" else model

        def compute_loss(run: Any = run) -> torch.Tensor:  # noqa: ANN401 (what torch.compile returns)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                return run(**batch).loss

        if not operations:
            operations = count_operations(compute_loss)
        variants[name] = training_step(model, compute_loss)
    peak = matrix_peak(device, matrix_side)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rounds = take_turns(variants, steps)
    result = {
        "settings": {"towers": towers.value, "batch_size": batch_size, "steps": steps, "seed": seed},
        "machine": describe_machine(device),
        "attention": model.config._attn_implementation,
        "peak_tflops": {key: value / 1e12 for key, value in peak.items()},
        "step_tflop": operations / 1e12,
        "milliseconds": {name: spread([1000 * x[name] for x in rounds]) for name in variants},
        "share_of_peak": {name: spread([operations / x[name] / peak["median"] for x in rounds]) for name in variants},
        "speedup_by_compiling": spread([x["eager"] / x["compiled"] for x in rounds]),
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
    }
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    lines = [
        f"  {name:<9} {times['median']:7.1f} ms, {batch_size / times['median'] * 1000:6.0f} rows/s, "
        f"{100 * result['share_of_peak'][name]['median']:.0f} % of the peak"
        for name, times in result["milliseconds"].items()
    ]
    lines.append(
        f"  peak of a bfloat16 matrix product of side {matrix_side}: {result['peak_tflops']['median']:.0f} TFLOP/s"
    )
    lines.append(f"  a step is {result['step_tflop']:.1f} TFLOP; attention: {result['attention']}")
    typer.echo("\n".join([*header(result), *lines]))


__all__ = ["accelerator", "count_operations", "matrix_peak"]
