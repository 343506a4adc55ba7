# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests, JSON or forms, to what a schema checks."""

import re
from collections.abc import Mapping
from typing import Any

from flask import Request, json
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

_OF_ROW = re.compile(r"rows\.(\d{1,4})\.(\w+)")  # a form's field rows.0.image
_MOST_NAMES = 1000  # of an object
_JSON_FIELDS = ("series", "where", "dialogue")


def read_body(request: Request, schema: Schema) -> dict[str, Any]:
    """Reads and checks a request's body.

    Args:
        request: The request. A form has the fields of one row, files as they are uploaded, and of many `rows.0.image`
            and so on; series, conditions and dialogues in it are JSON.
        schema: What it must be.

    Raises:
        ValidationError: naming the fields that are wrong.
        BadRequest: if it is no JSON.
        UnsupportedMediaType: if it is neither JSON nor a form.
    """
    if request.mimetype == "application/json":
        try:
            data = request.get_json(cache=False)
        except BadRequest as error:
            raise BadRequest("The body is no JSON, or not in UTF-8.") from error
        except RecursionError as error:
            raise BadRequest("The JSON is nested too deeply.") from error
    elif request.mimetype == "multipart/form-data":
        data = _read_form(request)
    else:
        raise UnsupportedMediaType("Send application/json, or multipart/form-data with files as they are.")
    _check_names(data)
    return dict(schema.load(data))


def _check_names(data: Any) -> None:  # noqa: ANN401 (any JSON)
    """Refuses objects of very many names, of each of which the schema would say that it is unknown."""
    rows = data.get("rows") if isinstance(data, dict) else None
    for one in (data, *(rows[:1000] if isinstance(rows, list) else ())):
        if isinstance(one, dict) and len(one) > _MOST_NAMES:
            raise ValidationError(f"It has {len(one):,} names, at most {_MOST_NAMES} may be sent.")


def _read_form(request: Request) -> dict[str, Any]:
    if None in request.form or None in request.files:  # which the parser lets through
        raise ValidationError("A part of the form has no name.")
    given: dict[str, Any] = {name: _plain(name, value) for name, value in request.form.items()}
    given.update({name: file.read() for name, file in request.files.items()})
    rows: dict[int, dict[str, Any]] = {}
    for name in [name for name in given if name.startswith("rows")]:
        match = _OF_ROW.fullmatch(name)
        if match is None:
            raise ValidationError("Name the fields of many rows rows.0.text, rows.0.image and so on.", name)
        rows.setdefault(int(match[1]), {})[match[2]] = given.pop(name)
    if rows and sorted(rows) != list(range(len(rows))):
        raise ValidationError(f"Number the rows 0, 1, 2 and so on; got {sorted(rows)[:10]}.", "rows")
    return {**given, **({"rows": [rows[number] for number in sorted(rows)]} if rows else {})}


def _plain(name: str, value: str) -> Any:  # noqa: ANN401 (what the JSON holds)
    if name.rpartition(".")[2] not in _JSON_FIELDS:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValidationError("In a form this field is JSON; this is none.", name) from error


def rows_of_body(body: Mapping[str, Any], names: tuple[str, ...]) -> tuple[list[dict[str, Any]], bool]:
    """Takes the rows out of a checked body; returns whether there may be many as well."""
    if "rows" in body:
        return [dict(row) for row in body["rows"]], True
    return [{name: body[name] for name in names if name in body}], False


__all__ = ["read_body", "rows_of_body"]
