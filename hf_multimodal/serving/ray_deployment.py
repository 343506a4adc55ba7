# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The service as replicas under Ray Serve: the same application in each, with its own predictor and micro-batcher."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hf_multimodal.prediction.load import open_predictor
from hf_multimodal.prediction.rows import Limits
from hf_multimodal.serving.app import create_app
from hf_multimodal.serving.run import avoid_pauses
from hf_multimodal.serving.settings import ServiceSettings


class Replica:
    """One copy of the service; answers what Ray's proxy hands on.

    Args:
        model: Folder or Hub id of a model, or a bundle; each node must find it.
        settings: Bounds of this replica.
        limits: What is read of a row.
    """

    def __init__(self, model: str, settings: ServiceSettings, limits: Limits) -> None:
        from werkzeug.test import Client

        self.app = create_app(open_predictor(model, limits=limits), settings)
        self.client = Client(self.app)
        self.threads = ThreadPoolExecutor(settings.threads)
        avoid_pauses()

    async def __call__(self, request: Any) -> Any:  # noqa: ANN401 (of Starlette)
        """Answers a request; streams come whole."""
        from starlette.responses import Response

        asked = (request.method, request.url.path, dict(request.headers), await request.body())
        # as many threads as a server has: those beyond what is let in say so at once
        status, headers, body = await asyncio.get_running_loop().run_in_executor(self.threads, self._answer, *asked)
        return Response(body, status, {k: v for k, v in headers.items() if k.lower() != "content-length"})

    def _answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        with self.client.open(path, method=method, headers=headers, data=body) as answer:
            return answer.status_code, dict(answer.headers), answer.get_data()

    def check_health(self) -> None:
        """Tells Ray whether this replica is to be replaced.

        Raises:
            RuntimeError: if it would answer no rows.
        """
        if not self.app.extensions["hf_multimodal"].is_ready:
            raise RuntimeError("The micro-batcher has ended.")


def build_ray_app(
    model: str,
    *,
    num_replicas: int = 2,
    settings: ServiceSettings | None = None,
    limits: Limits | None = None,
    **options: Any,  # noqa: ANN401 (of `ray.serve.deployment`)
) -> Any:  # noqa: ANN401 (an application of Ray Serve)
    """Makes an application for `ray.serve.run`.

    Args:
        model: Folder or Hub id of a model, or a bundle; each node must find it.
        num_replicas: How many copies; `autoscaling_config` among the options lets Ray decide.
        settings: Bounds of each copy.
        limits: What is read of a row.
        **options: Of `ray.serve.deployment`: `ray_actor_options={"num_gpus": 1}`, `autoscaling_config`, …

    Raises:
        ImportError: if Ray is not installed.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise ImportError('Ray deployments need ray: pip install "hf_multimodal[ray]".') from error
    settings = settings or ServiceSettings()
    if "autoscaling_config" not in options:
        options["num_replicas"] = num_replicas
    # more than a replica lets in are let through to it: it says itself that it is overloaded, as a problem document
    options = {"name": "hf_multimodal", "max_ongoing_requests": settings.threads, **options}
    path = str(Path(model).resolve()) if Path(model).is_dir() else model
    return serve.deployment(**options)(Replica).bind(path, settings, limits or Limits())


__all__ = ["Replica", "build_ray_app"]
