# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The Flask application: routes, who may use them, what is counted."""

import hmac
import logging
import time
from collections.abc import Callable
from typing import Any, cast

from apiflask import APIFlask
from flask import Response, g, jsonify, request
from flask.json.provider import DefaultJSONProvider
from flask_compress import Compress
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import Unauthorized

from hf_multimodal import __version__
from hf_multimodal.prediction.predictor import MultimodalPredictor
from hf_multimodal.retrieval.search import Searcher
from hf_multimodal.serving.kserve_routes import add_kserve_routes
from hf_multimodal.serving.openapi import describe
from hf_multimodal.serving.page_routes import add_page
from hf_multimodal.serving.problems import handle_errors, problem
from hf_multimodal.serving.row_routes import add_row_routes
from hf_multimodal.serving.service import Service
from hf_multimodal.serving.settings import ServiceSettings

# what is open to everybody: it tells nothing of the model and takes nothing in
OPEN_ENDPOINTS = frozenset({"healthz", "readyz", "page", "docs", "asset", "server_live", "server_ready"})
_logger = logging.getLogger("hf_multimodal.serving")


def create_app(
    predictor: MultimodalPredictor, settings: ServiceSettings | None = None, searcher: Searcher | None = None
) -> APIFlask:
    """Makes the WSGI application of a predictor.

    Args:
        predictor: Answers rows.
        settings: Bounds, and who may use it.
        searcher: Searches a collection; None leaves `/search` out.

    Returns:
        The application; its `Service` is `app.extensions["hf_multimodal"]`.
    """
    settings = settings or ServiceSettings()
    service = Service(predictor, settings, searcher)
    app = APIFlask("hf_multimodal", title=f"hf_multimodal: {predictor.name}", version=__version__, docs_path=None)
    app.static_folder = None
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_FORM_MEMORY_SIZE=settings.max_body_bytes,
        MAX_FORM_PARTS=1000,
        COMPRESS_MIMETYPES=["application/json", "text/html", "text/css", "text/javascript"],
        COMPRESS_ALGORITHM=["zstd", "gzip"],
        COMPRESS_STREAMS=False,
    )
    cast(DefaultJSONProvider, app.json).sort_keys = False
    app.extensions["hf_multimodal"] = service
    Compress(app)
    handle_errors(app)
    _guard(app, service)
    _count(app, service)
    add_row_routes(app, service)
    add_kserve_routes(app, service)
    add_page(app, service)
    _add_operations(app, service)
    describe(app, service)
    return app


def _guard(app: APIFlask, service: Service) -> None:
    tokens = [token.encode() for token in service.settings.tokens]

    @app.before_request
    def _authorise() -> None:
        """Lets nobody in without a token, but where nothing is told; whatever routes there come to be."""
        if not tokens or request.endpoint in OPEN_ENDPOINTS or request.method == "OPTIONS":
            return
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        fits = [hmac.compare_digest(given.strip().encode(), token) for token in tokens]  # all, whichever fits
        if kind.lower() != "bearer" or not any(fits):
            raise Unauthorized("Give one of the service's tokens: Authorization: Bearer TOKEN.")

    @app.after_request
    def _answer_headers(response: Response) -> Response:
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Cache-Control", "no-store")
        origin = request.headers.get("Origin")
        allowed = service.settings.cors_origins
        if origin and allowed and ("*" in allowed or origin in allowed):
            response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers.add("Vary", "Origin")
        return response


def _count(app: APIFlask, service: Service) -> None:
    @app.before_request
    def _start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def _told(response: Response) -> Response:
        rule = request.url_rule.rule if request.url_rule else "unknown"
        seconds = time.perf_counter() - getattr(g, "started", time.perf_counter())
        service.metrics.requests.labels(rule, str(response.status_code)).inc()
        service.metrics.seconds.labels(rule).observe(seconds)
        # the rule, not the path; nothing of what was sent
        _logger.info("%s %s %d %.0f ms", request.method, rule, response.status_code, 1000 * seconds)
        return response


def _add_operations(app: APIFlask, service: Service) -> None:
    def route(path: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        return app.get(path)

    @route("/healthz")
    def healthz() -> Any:  # noqa: ANN401 (a response)
        """Whether the process answers."""
        return jsonify(status="ok")

    @route("/readyz")
    def readyz() -> Any:  # noqa: ANN401
        """Whether rows sent now would be answered."""
        if service.is_ready:
            return jsonify(status="ready")
        return problem(503, "The service is shutting down.", headers={"Retry-After": "1"})

    @route("/metrics")
    def metrics() -> Any:  # noqa: ANN401
        """Counts and times, as Prometheus reads them."""
        return Response(generate_latest(service.metrics.registry), content_type=CONTENT_TYPE_LATEST)

    @route("/info")
    def info() -> Any:  # noqa: ANN401
        """What is served, and within which bounds."""
        predictor, settings = service.predictor, service.settings
        limits = predictor.reader.limits
        told: dict[str, Any] = {
            "model": predictor.name,
            "revision": predictor.revision,
            "kind": predictor.kind,
            "modalities": list(predictor.modalities),
            "explains": predictor.explains,
            "searches": service.searcher is not None,
            "limits": {
                "body_bytes": settings.max_body_bytes,
                "rows": settings.max_rows,
                "characters": limits.characters,
                "pixels": limits.pixels,
                "seconds": limits.seconds,
                "image_formats": list(limits.image_formats),
            },
        }
        if "series" in predictor.modalities:
            made = predictor.processor.series_feature_extractor
            told["series"] = {
                "channels": list(made.channels),
                "categories": {k: list(v) for k, v in made.categories.items()},
            }
        return jsonify(told)


__all__ = ["OPEN_ENDPOINTS", "create_app"]
