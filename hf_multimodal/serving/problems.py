# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Errors as problem documents (RFC 9457): what is wrong, in which field, and what to do."""

import logging
import random
import traceback
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, json
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from hf_multimodal.prediction.rows import InputError
from hf_multimodal.serving.batcher import DeadlineError, OverloadError

MIME_TYPE = "application/problem+json"
RETRY_AFTER = (1, 3)  # seconds, at random: those who are refused together must not come again together
_logger = logging.getLogger(__name__)


def problem(
    status: int, detail: str, *, errors: list[dict[str, str]] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Makes a problem document.

    Args:
        status: HTTP status.
        detail: What is wrong with this request.
        errors: `{"pointer": JSON pointer of the field, "detail": …}` each.
        headers: More headers.
    """
    document = problem_document(status, detail, errors)
    return Response(json.dumps(document), status, headers=dict(headers or {}), mimetype=MIME_TYPE)


def problem_document(status: int, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Makes the document itself; see `problem`."""
    named = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return {**named, **({"errors": errors} if errors else {})}


def log_failure(error: BaseException) -> None:
    """Logs where something failed, and with what class: the message may hold what the user sent."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _logger.error("An answer failed with %s at\n%s", type(error).__name__, where)


def input_problem(error: InputError, pointer: str = "") -> dict[str, Any]:
    """Makes the document of a row that cannot be used.

    Args:
        error: What is wrong.
        pointer: Where the row is in the request.
    """
    place = f"{pointer}/{error.modality}" if error.modality else pointer
    return problem_document(422, str(error), [{"pointer": place, "detail": str(error)}])


def _flat(messages: Any, pointer: str = "") -> Iterator[dict[str, str]]:  # noqa: ANN401 (as marshmallow nests them)
    if isinstance(messages, Mapping):
        for name, nested in messages.items():
            step = str(name).replace("~", "~0").replace("/", "~1")
            yield from _flat(nested, pointer if name == "_schema" else f"{pointer}/{step}")
        return
    for message in messages if isinstance(messages, list) else [messages]:
        yield {"pointer": pointer, "detail": str(message)}


def handle_errors(app: Flask) -> None:
    """Makes an application answer every error with a problem document."""

    @app.errorhandler(ValidationError)
    def _invalid(error: ValidationError) -> Response:
        errors = list(_flat(error.normalized_messages()))
        detail = "; ".join(f"{one['pointer'] or 'body'}: {one['detail']}" for one in errors[:5])
        return problem(422, detail, errors=errors[:100])

    @app.errorhandler(InputError)
    def _unusable(error: InputError) -> Response:
        document = input_problem(error)
        return problem(422, document["detail"], errors=document["errors"])

    @app.errorhandler(OverloadError)
    def _overloaded(error: OverloadError) -> Response:
        return problem(503, f"{error} Come again.", headers={"Retry-After": str(random.randint(*RETRY_AFTER))})

    @app.errorhandler(DeadlineError)
    def _late(error: DeadlineError) -> Response:
        return problem(504, f"{error} Send less at once, or come again.")

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        headers = {name: value for name, value in error.get_headers() if name in ("Allow", "WWW-Authenticate")}
        return problem(error.code or 500, error.description or "", headers=headers)

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response:
        log_failure(error)
        return problem(500, "The service failed on this request; the row itself may be sound.")


__all__ = ["MIME_TYPE", "RETRY_AFTER", "handle_errors", "input_problem", "log_failure", "problem", "problem_document"]
