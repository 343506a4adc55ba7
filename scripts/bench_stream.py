# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmark of streamed rows: memory over a set many times as large as the buffer, and rows per second by workers."""

import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import psutil
import torch
import typer
from bench_common import describe_machine, header
from PIL import Image
from torch.utils.data import DataLoader

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.loading import load_rows
from hf_multimodal.data.row_stream import RowStream, survey
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor

SIDE = 96
BATCH = 32
ROW_GROUP = 100


def write_rows(folder: Path, count: int, files: int) -> int:
    """Writes parquet files of noisy pictures, and returns their bytes."""
    generator = np.random.default_rng(0)
    for part in range(files):
        pictures = []
        for _ in range(count // files):
            buffer = io.BytesIO()
            Image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(buffer, format="PNG")
            pictures.append(buffer.getvalue())
        rows = datasets.Dataset.from_dict({"picture": pictures, "kind": [i % 2 for i in range(len(pictures))]})
        rows.to_parquet(str(folder / f"train-{part}.parquet"), batch_size=ROW_GROUP)
    return sum(file.stat().st_size for file in folder.glob("*.parquet"))


def memory_mb() -> float:
    """Returns what this process and its children hold, in megabytes."""
    own = psutil.Process()
    return sum(process.memory_full_info().uss for process in (own, *own.children(recursive=True))) / 2**20


def measure_epoch(rows: datasets.IterableDataset, sizes: list[int], buffer_size: int, workers: int) -> dict[str, Any]:
    """Reads and collates an epoch; memory at every tenth of it."""
    spec: Any = {"image": {"architecture": "resnet18", "image_size": SIDE}}
    collator = MultimodalCollator(MultimodalProcessor.from_towers_pretrained(**spec))
    stream = RowStream(rows, sizes, has_ids=False, buffer_size=buffer_size, batch_size=BATCH, workers=workers)
    loader = DataLoader(stream, batch_size=BATCH, num_workers=workers, collate_fn=collator)
    held, count = [], len(loader)
    started = time.perf_counter()
    for number, _ in enumerate(loader, start=1):
        if number % max(1, count // 10) == 0:
            held.append(round(memory_mb(), 1))
    return {"rows_per_second": len(stream) / (time.perf_counter() - started), "memory_mb": held}


def stream(
    buffer_size: int = typer.Option(500, min=1, help="Rows that each worker holds."),
    times: int = typer.Option(20, min=1, help="How many times as large as the buffer the set is."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures memory while a set is streamed that is much larger than the buffer, and rows per second by workers."""
    with tempfile.TemporaryDirectory() as folder:
        size = write_rows(Path(folder), buffer_size * times, files=4)
        columns = {"image": "picture", "label": "kind"}
        rows = load_rows(folder, split="train", columns=columns, streaming=True).reshard()
        sizes = survey(rows, has_ids=False).sizes
        epochs = {f"{workers} workers": measure_epoch(rows, sizes, buffer_size, workers) for workers in (0, 1, 2)}
    result = {
        "settings": {
            "rows": sum(sizes),
            "set_mb": round(size / 2**20),
            "buffer_size": buffer_size,
            "batch_size": BATCH,
        },
        "machine": describe_machine(torch.device("cpu")),
        "epochs": epochs,
    }
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    lines = [*header(result), "Memory of all processes at each tenth of an epoch, MB; rows read, opened and collated:"]
    for name, epoch in epochs.items():
        held = ", ".join(f"{x:.0f}" for x in epoch["memory_mb"])
        lines.append(f"  {name}: {held}; {epoch['rows_per_second']:.0f} rows/s")
    typer.echo("\n".join(lines))


__all__ = ["measure_epoch", "memory_mb", "stream", "write_rows"]
