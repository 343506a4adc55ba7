# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of retrieval: search in many vectors, reranking from stored tokens, memory of large batches."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers
import typer
from bench_common import describe_machine, header, spread, take_turns, timed

from hf_multimodal import MultimodalForRetrieval
from hf_multimodal.prediction.predictor import TorchPredictor
from hf_multimodal.retrieval.faiss_index import KINDS, FaissIndex
from hf_multimodal.retrieval.search import score_against

_TEXT_LENGTH = 32
_SIDE = 128
# The model of scripts/configs/fashion_retrieval.yaml, with fresh weights: a MiniLM, a MobileNet, a small fusion.
_TEXT = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
_FUSION = {"hidden_size": 192, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 384}
_ARCHITECTURE = "mobilenetv2_100"
_CLUSTERS = 1000
# glibc keeps what is freed for later, the more the longer a process runs. Here it goes back at once, so that what is
# measured is in use.
_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "1000000", "MALLOC_MMAP_THRESHOLD_": "1000000"}


def clustered_vectors(count: int, width: int, centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors around centres, as embeddings lie; evenly spread ones have no near neighbours to find."""
    vectors = centres[rng.integers(0, len(centres), count)] + 0.7 * rng.normal(size=(count, width)) / np.sqrt(width)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def search(
    rows: int = typer.Option(100_000, min=100, help="Vectors in the index."),
    width: int = typer.Option(256, min=2, help="Width of a vector."),
    queries: int = typer.Option(200, min=1, help="Queries, one at a time."),
    seed: int = typer.Option(0, help="Seed of the vectors."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures queries per second and recall@10 against exact, in an exact and an approximate index."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(min(_CLUSTERS, rows), width)) / np.sqrt(width)
    vectors, asked = (clustered_vectors(count, width, centres, rng) for count in (rows, queries))
    settings = {"rows": rows, "width": width, "queries": queries, "seed": seed}
    result: dict[str, Any] = {"settings": settings, "machine": describe_machine(torch.device("cpu")), "indexes": {}}
    expected = None
    for kind in KINDS:
        index = FaissIndex(width, kind=kind)
        started = time.perf_counter()
        index.add([str(i) for i in range(rows)], vectors, [{}] * rows)
        built = time.perf_counter() - started
        started = time.perf_counter()
        found = [{hit.id for hit in index.search(one[None], 10)[0]} for one in asked]
        seconds = time.perf_counter() - started
        expected = found if expected is None else expected
        recall = float(np.mean([len(a & b) / len(b) for a, b in zip(found, expected, strict=True)]))
        numbers = {"build_seconds": built, "queries_per_second": queries / seconds, "recall@10": recall}
        result["indexes"][kind] = numbers
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    lines = [
        f"  {kind:<5} {x['queries_per_second']:>8.0f} queries/s   recall@10 {x['recall@10']:.3f}   "
        f"built in {x['build_seconds']:.1f} s"
        for kind, x in result["indexes"].items()
    ]
    typer.echo("\n".join([*header(result), *lines]))


def build_model(device: torch.device) -> MultimodalForRetrieval:
    """Builds the retrieval model with fresh weights."""
    towers = {"text": transformers.BertConfig(**_TEXT), "image": {"architecture": _ARCHITECTURE}}
    return MultimodalForRetrieval.from_towers_pretrained(**towers, **_FUSION, hidden_dropout_prob=0.0).to(device)


def draw_batch(rows: int, side: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Draws texts and pictures, each of an item of its own."""
    batch = {
        "input_ids": torch.randint(1000, 30_000, (rows, _TEXT_LENGTH)),
        "attention_mask": torch.ones(rows, _TEXT_LENGTH, dtype=torch.long),
        "pixel_values": torch.randn(rows, 3, side, side),
        "labels": torch.arange(rows),
    }
    return {name: tensor.to(device) for name, tensor in batch.items()}


def rerank(
    candidates: int = typer.Option(100, min=2, help="Candidates of a query."),
    steps: int = typer.Option(10, min=2, help="Rounds that count."),
    seed: int = typer.Option(0, help="Seed of weights and rows."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures reranking from stored tokens against encoding every pair from raw tensors."""
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(device).eval()
    batch = {name: tensor for name, tensor in draw_batch(candidates, _SIDE, device).items() if name != "labels"}
    query = {name: batch[name][:1] for name in ("input_ids", "attention_mask")}
    reads_no_rows: Any = SimpleNamespace(modalities=model.config.modalities)
    predictor = TorchPredictor(model, reads_no_rows, kind="retrieval", name="bench", revision="0")
    images = predictor.encode({"pixel_values": batch["pixel_values"]})["image"].tower.tokens
    stored = [tokens.to(torch.float16).cpu().numpy() for tokens in images]

    def from_tokens() -> None:
        with torch.inference_mode():
            score_against(predictor, "text", predictor.encode(query)["text"].tower, stored)

    def from_raw() -> None:
        with torch.inference_mode():
            model(**batch)

    rounds = take_turns({"tokens": from_tokens, "raw": from_raw}, steps)
    result = {
        "settings": {"candidates": candidates, "steps": steps, "seed": seed},
        "machine": describe_machine(device),
        "milliseconds": {name: spread([1000 * x[name] for x in rounds]) for name in ("tokens", "raw")},
        "ratio": spread([x["tokens"] / x["raw"] for x in rounds]),
    }
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    ratio, times = result["ratio"], result["milliseconds"]
    lines = [
        f"Reranking {candidates} candidates from their tokens {times['tokens']['median']:.0f} ms, encoding as many "
        f"pairs from raw {times['raw']['median']:.0f} ms;",
        f"ratio {ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}; aim: below 0.2)",
    ]
    typer.echo("\n".join([*header(result), *lines]))


def memory(
    batch_sizes: list[int] = typer.Option([64, 256, 1024], help="Rows of a contrastive batch."),  # noqa: B008
    chunk_size: int = typer.Option(32, min=1, help="Rows encoded at a time with gradient caching."),
    uncached_up_to: int = typer.Option(256, help="Largest batch that is also measured without it."),
    seed: int = typer.Option(0, help="Seed of weights and rows."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
    only: str | None = typer.Option(None, hidden=True),
) -> None:
    """Measures the memory that a contrastive step adds to model and batch, with gradient caching and without."""
    if only is not None:
        rows, chunk = (int(x) for x in only.split(","))
        typer.echo(json.dumps(_one_step(rows, chunk or None, seed)))
        return
    cases = [(rows, chunk_size) for rows in batch_sizes] + [(rows, 0) for rows in batch_sizes if rows <= uncached_up_to]
    steps = []
    for rows, chunk in cases:  # a process each: what was allocated once counts for ever
        command = [sys.executable, str(Path(__file__).with_name("bench")), "memory", "--seed", str(seed)]
        done = subprocess.run(
            [*command, "--only", f"{rows},{chunk}"],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **_MALLOC},
        )
        steps.append({"rows": rows, "chunk_size": chunk, **json.loads(done.stdout)})
    settings = {"chunk_size": chunk_size, "seed": seed}
    result = {"settings": settings, "machine": describe_machine(torch.device("cpu")), "steps": steps}
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    lines = [
        f"  batch {x['rows']:>5}  {'chunks of ' + str(x['chunk_size']) if x['chunk_size'] else 'whole':<14}"
        f"{x['step_mb']:>8.0f} MB in the step, {x['batch_mb']:>5.0f} MB the batch   {x['seconds']:>7.1f} s"
        for x in steps
    ]
    typer.echo("\n".join([*header(result), *lines]))


def _one_step(rows: int, chunk_size: int | None, seed: int) -> dict[str, float]:
    torch.manual_seed(seed)
    model = build_model(torch.device("cpu")).train()
    model.set_chunk_size(8)
    model(**draw_batch(16, _SIDE, torch.device("cpu"))).loss.backward()  # what is allocated once
    model.set_chunk_size(chunk_size)
    batch = draw_batch(rows, _SIDE, torch.device("cpu"))
    before = _resident_mb()
    seconds = timed(lambda: model(**batch).loss.backward())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(x.numel() * x.element_size() for x in batch.values()) / 2**20
    return {"step_mb": peak - before, "batch_mb": size, "seconds": seconds}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
