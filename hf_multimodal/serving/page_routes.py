# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The page to try a model in a browser, and the one of its API; both without anything from elsewhere."""

from pathlib import Path
from typing import Any

from apiflask import APIFlask
from flask import Response, send_from_directory
from werkzeug.exceptions import NotFound

from hf_multimodal.serving.service import Service

_FOLDER = Path(__file__).parent / "page"
_ASSETS = ("page.css", "page.js", "docs.js")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_page(app: APIFlask, service: Service) -> None:
    """Adds `/`, `/docs` and their files."""

    def send(name: str) -> Response:
        response = send_from_directory(_FOLDER, name)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response

    @app.get("/")
    @app.doc(hide=True)
    def page() -> Any:  # noqa: ANN401 (a response)
        """The page to try the model."""
        return send("index.html")

    @app.get("/docs")
    @app.doc(hide=True)
    def docs() -> Any:  # noqa: ANN401
        """The page of the API."""
        return send("docs.html")

    @app.get("/assets/<name>")
    @app.doc(hide=True)
    def asset(name: str) -> Any:  # noqa: ANN401
        """A file of the pages."""
        if name not in _ASSETS:
            raise NotFound("There is no such file.")
        return send(name)


__all__ = ["add_page"]
