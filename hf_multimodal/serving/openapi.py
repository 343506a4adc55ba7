# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: what the typed requests do not tell by themselves."""

from typing import Any

from apiflask import APIFlask

from hf_multimodal.serving.problems import MIME_TYPE
from hf_multimodal.serving.service import Service

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_POST_ERRORS = {
    "400": "The body cannot be read.",
    "413": "The body is too large.",
    "415": "The body is neither JSON nor a form.",
    "422": "A field or row cannot be used; `errors` says which.",
    "503": "As many requests as may be are being answered, or the service is ending: come again after Retry-After.",
    "504": "It was not answered in time.",
}
_GET_ERRORS = {"503": "The service is ending, or not ready."}
_PLAIN = {"/metrics": "text/plain", "/": "text/html", "/docs": "text/html"}


def describe(app: APIFlask, service: Service) -> None:
    """Makes the document tell forms beside JSON, tokens, and errors as problem documents."""
    secured = bool(service.settings.tokens)
    streams = service.predictor.kind == "generation"

    @app.spec_processor
    def _complete(spec: Any) -> Any:  # noqa: ANN401 (the document)
        spec.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
        for unused in ("HTTPError", "ValidationError"):
            spec["components"]["schemas"].pop(unused, None)
        if secured:
            spec["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            spec["security"] = [{"token": []}]
        for path, methods in spec["paths"].items():
            for method, operation in methods.items():
                if method in ("get", "post"):
                    _complete_operation(path, method, operation, secured, streams)
        # what takes rows first, the protocol's own routes last
        order = sorted(spec["paths"], key=lambda path: (path.startswith("/v2"), "post" not in spec["paths"][path]))
        spec["paths"] = {path: spec["paths"][path] for path in order}
        return spec


def _complete_operation(path: str, method: str, operation: dict[str, Any], secured: bool, streams: bool) -> None:
    errors = dict(_POST_ERRORS if method == "post" else _GET_ERRORS)
    if "{" in path:
        errors["404"] = "There is no such model."
    if secured:
        errors["401"] = "A token is missing or wrong."
    told: dict[str, Any] = {"description": "The answer.", "content": {_PLAIN.get(path, "application/json"): {}}}
    if path == "/generate" and streams:
        told["content"]["text/event-stream"] = {}
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    failures = {code: {"description": text, "content": {MIME_TYPE: schema}} for code, text in sorted(errors.items())}
    operation["responses"] = {"200": told, **failures}
    body = operation.get("requestBody")
    if body and not path.startswith("/v2"):
        body["content"]["multipart/form-data"] = dict(body["content"]["application/json"])


__all__ = ["describe"]
