# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal serve`: a saved model as an HTTP service, with a page to try it."""

from pathlib import Path
from typing import Annotated

import typer

from hf_multimodal.cli.options import Model


def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    index: Annotated[Path | None, typer.Option(help="Folder of an index, for /search.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Bearer tokens, one a line; else HF_MULTIMODAL_TOKENS, with commas between.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Origin whose pages may call the service; '*' for all.")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Rows computed together; 1 computes each alone.")] = 16,
    max_wait: Annotated[float, typer.Option(min=0, help="Milliseconds a row waits for others.")] = 5.0,
    max_queue: Annotated[int, typer.Option(min=1, help="Rows that wait; beyond it 503.")] = 64,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of one request.")] = 32,
    max_body: Annotated[float, typer.Option(min=0.001, help="Megabytes of one request.")] = 20.0,
    max_pixels: Annotated[float, typer.Option(min=0.001, help="Millions of pixels of one picture.")] = 25.0,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="Length of a sound or clip.")] = 60.0,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds for one request; beyond it 504.")] = 30.0,
    device: Annotated[str | None, typer.Option(help="Where the model runs: cpu, cuda, cuda:1, ….")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log each request, without what was sent.")] = False,
) -> None:
    """Serve a saved model over HTTP, with a page to try it at /.

    SIGTERM lets what has begun finish. Behind several copies of it stands any load balancer: it keeps nothing.
    """
    import logging

    try:
        from hf_multimodal.serving.app import create_app
        from hf_multimodal.serving.run import run_app
        from hf_multimodal.serving.settings import ServiceSettings, read_tokens
    except ModuleNotFoundError as error:
        raise ImportError(f'Serving needs {error.name}: pip install "hf_multimodal[serve]".') from error
    from hf_multimodal.cli.index import milvus_credentials
    from hf_multimodal.prediction.load import open_predictor
    from hf_multimodal.prediction.rows import Limits

    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("hf_multimodal.serving").setLevel(logging.INFO if verbose else logging.WARNING)
    settings = ServiceSettings(
        max_batch=max_batch,
        max_wait_ms=max_wait,
        max_queue=max_queue,
        max_rows=min(max_rows, max_queue),
        max_body_bytes=int(max_body * 1e6),
        deadline_seconds=deadline,
        tokens=read_tokens(token_file),
        cors_origins=tuple(cors_origin or ()),
    )
    limits = Limits(pixels=int(max_pixels * 1e6), seconds=max_seconds)
    predictor, searcher = open_predictor(model, limits=limits, device=device), None
    if index is not None:
        from hf_multimodal.retrieval.search import Searcher

        searcher = Searcher.open(index, model=predictor, **milvus_credentials(index))
    run_app(create_app(predictor, settings, searcher), host, port)


__all__ = ["serve"]
