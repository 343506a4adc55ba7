# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmark of the service: requests per second with and without micro-batching, and what overload does to it."""

import asyncio
import base64
import io
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
import numpy as np
import psutil
import torch
import typer
from bench_common import describe_machine, header
from PIL import Image

from hf_multimodal.prediction.load import open_predictor
from hf_multimodal.prediction.predictor import MultimodalPredictor, Outputs
from hf_multimodal.prediction.rows import Limits
from hf_multimodal.serving.app import create_app
from hf_multimodal.serving.run import run_app
from hf_multimodal.serving.settings import ServiceSettings

STUB = "stub"
HALF_OPEN = 120
_STUB_SECONDS, _STUB_ROW_SECONDS = 0.005, 0.00025  # of a batch, and of each of its rows


class _Stub(MultimodalPredictor):
    """Costs what an accelerator would, whatever the CPUs do: a batch takes hardly longer than a row."""

    def run(self, batch: Mapping[str, torch.Tensor]) -> Outputs:
        rows = len(batch["modality_mask"])
        time.sleep(_STUB_SECONDS + rows * _STUB_ROW_SECONDS)
        return {"": np.zeros((rows, len(self.config.id2label)), dtype=np.float32)}


def serve_for_bench(model: str, stub: bool, settings: str) -> None:
    """Serves a model, or a stub in its place, until it is told to end."""
    predictor: Any = open_predictor(model, limits=Limits())
    if stub:
        parts = {"kind": predictor.kind, "name": STUB, "revision": "0"}
        predictor = _Stub(predictor.processor, predictor.config, **parts)
    run_app(create_app(predictor, ServiceSettings(**json.loads(settings))), "127.0.0.1", 0)


@contextmanager
def _served(model: str, stub: bool, **settings: float) -> Iterator[tuple[psutil.Process, str]]:
    code = f"import bench_serving; bench_serving.serve_for_bench({model!r}, {stub}, {json.dumps(settings)!r})"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    }
    with tempfile.TemporaryFile("w+") as told:  # a pipe that nobody reads would fill, and stop who writes
        process = subprocess.Popen([sys.executable, "-c", code], stderr=told, text=True, env=environment)
        try:
            while not (found := re.search(r"at (http://\S+)", _read(told))):
                if process.poll() is not None:
                    raise RuntimeError(_read(told))
                time.sleep(0.2)
            yield psutil.Process(process.pid), found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _body(size: int, text: str) -> bytes:
    """A row of a text and a noisy JPEG; without one if its side is 0."""
    if not size:
        return json.dumps({"text": text}).encode()
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return json.dumps({"text": text, "image": base64.b64encode(buffer.getvalue()).decode()}).encode()


async def _load(address: str, body: bytes, clients: int, seconds: float) -> list[tuple[int, float, str | None]]:
    """Clients that ask again as soon as they are answered: status, seconds and Retry-After of each answer."""
    told: list[tuple[int, float, str | None]] = []
    until = time.perf_counter() + seconds
    headers = {"Content-Type": "application/json"}

    async def client(session: aiohttp.ClientSession) -> None:
        while (started := time.perf_counter()) < until:
            async with session.post(f"{address}/predict", data=body, headers=headers) as answer:
                await answer.read()
                told.append((answer.status, time.perf_counter() - started, answer.headers.get("Retry-After")))
            if answer.status == 503:  # as it is told
                await asyncio.sleep(min(float(answer.headers["Retry-After"]), max(0.0, until - time.perf_counter())))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return told


async def _healthy(address: str, seconds: float) -> list[float]:
    """Seconds of /healthz, asked twenty times a second."""
    told, until = [], time.perf_counter() + seconds
    async with aiohttp.ClientSession() as session:
        while (started := time.perf_counter()) < until:
            async with session.get(f"{address}/healthz") as answer:
                assert answer.status == 200
            told.append(time.perf_counter() - started)
            await asyncio.sleep(0.05)
    return told


def _percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100) if len(seconds) > 1 else [seconds[0]] * 99
    return {"p50_ms": 1000 * cuts[49], "p99_ms": 1000 * cuts[98]}


def _measure(address: str, body: bytes, clients: int, seconds: float) -> dict[str, float]:
    asyncio.run(_load(address, body, clients, 1.0))  # warm
    answers = asyncio.run(_load(address, body, clients, seconds))
    assert {status for status, _, _ in answers} == {200}, Counter(status for status, _, _ in answers)
    return {"per_second": len(answers) / seconds, **_percentiles([took for _, took, _ in answers])}


def _overload(process: psutil.Process, address: str, body: bytes, clients: int, seconds: float) -> dict[str, Any]:
    """Sends far more than can be answered: what is refused how fast, health, memory, and what comes after."""
    asyncio.run(_load(address, body, clients, 3.0))
    before = process.memory_info().rss

    async def both() -> tuple[list[tuple[int, float, str | None]], list[float]]:
        return await asyncio.gather(_load(address, body, clients, seconds), _healthy(address, seconds))  # type: ignore[return-value]

    answers, health = asyncio.run(both())
    refused = [took for status, took, _ in answers if status == 503]
    retry = {after for status, _, after in answers if status == 503}
    answered = [took for status, took, _ in answers if status == 200]
    after = asyncio.run(_load(address, body, 1, 2.0))
    return {
        "clients": clients,
        "statuses": dict(sorted(Counter(status for status, _, _ in answers).items())),
        "answered_per_second": len(answered) / seconds,
        "answered": _percentiles(answered),
        "refused": _percentiles(refused) if refused else None,
        "retry_after": sorted(filter(None, retry)),
        "healthz": _percentiles(health),
        "memory_growth_mb": (process.memory_info().rss - before) / 2**20,
        "first_after_ms": 1000 * after[0][1],
        "statuses_after": dict(Counter(status for status, _, _ in after)),
    }


def _half_open(address: str) -> dict[str, float]:
    """Opens connections that send half a request, and asks for health beside them."""
    host, port = address.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{"
    connections = [socket.create_connection((host, int(port))) for _ in range(HALF_OPEN)]
    for connection in connections:
        connection.sendall(head)
    seconds = asyncio.run(_healthy(address, 3.0))
    for connection in connections:
        connection.close()
    return {"connections": HALF_OPEN, **_percentiles(seconds), "worst_ms": 1000 * max(seconds)}


def serve(
    model: str = typer.Argument(..., help="Folder of a model that predicts labels from a text and a picture."),
    seconds: float = typer.Option(8.0, help="Of each measurement."),
    overload_seconds: float = typer.Option(20.0, help="Of the overload."),
    clients: list[int] = typer.Option([1, 8, 32], help="Clients at once."),  # noqa: B008
    picture: int = typer.Option(64, help="Side of the JPEG that is sent, in pixels; 0 sends a text alone."),
    stub: bool = typer.Option(False, "--stub", help="Put 5 ms a batch and 0.25 ms a row in the model's place."),
    overloading: int = typer.Option(320, help="Clients of the overload: four times as many as are let in."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of tables."),
) -> None:
    """Loads the service: requests per second and latencies, batching on and off; overload; half-open connections."""
    body = _body(picture, "the square is red")
    result: dict[str, Any] = {
        "settings": {"model": STUB if stub else Path(model).name, "seconds": seconds, "body_bytes": len(body)},
        "machine": describe_machine(torch.device("cpu")),
        "load": [],
    }
    for batching, options in (("on", {}), ("off", {"max_batch": 1, "max_wait_ms": 0, "max_queue": 79})):
        with _served(model, stub, **options) as (_, address):
            for count in clients:
                result["load"].append(
                    {"batching": batching, "clients": count, **_measure(address, body, count, seconds)}
                )
    with _served(model, stub) as (process, address):
        result["half_open"] = _half_open(address)
        result["overload"] = _overload(process, address, body, overloading, overload_seconds)
    typer.echo(json.dumps(result, indent=2) if as_json else "\n".join(_table(result)))


def _table(result: Mapping[str, Any]) -> list[str]:
    lines = [*header(result), "", f"{'batching':10}{'clients':>8}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}"]
    lines += [
        f"{x['batching']:10}{x['clients']:8}{x['per_second']:12.0f}{x['p50_ms']:9.1f}{x['p99_ms']:9.1f}"
        for x in result["load"]
    ]
    rates = {(x["batching"], x["clients"]): x["per_second"] for x in result["load"]}
    lines += [
        f"at {n} clients {rates['on', n] / rates['off', n]:.1f} times" for batching, n in rates if batching == "on"
    ]
    lines += [
        "",
        "half-open: " + json.dumps(result["half_open"]),
        "overload: " + json.dumps(result["overload"], indent=2),
    ]
    return lines


__all__ = ["serve", "serve_for_bench"]
