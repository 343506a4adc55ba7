# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`/predict`, `/embed`, `/search` and `/generate`, as far as the model's head can."""

import base64
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from apiflask import APIFlask
from flask import Response, json, jsonify, request
from marshmallow import Schema

from hf_multimodal.prediction.rows import InputError
from hf_multimodal.serving.batcher import DeadlineError
from hf_multimodal.serving.bodies import read_body, rows_of_body
from hf_multimodal.serving.problems import input_problem, log_failure, problem_document
from hf_multimodal.serving.schemas import embed_schema, generate_schema, predict_schema, row_names, search_schema
from hf_multimodal.serving.service import Service


@dataclass(frozen=True)
class Asked:
    """A request that was read.

    Attributes:
        body: What was checked.
        rows: Its rows as they came.
        many: Whether there could be several.
        opened: Each row opened, or the `InputError` that says why it cannot be.
        deadline: When it must be answered, of `time.monotonic`.
    """

    body: dict[str, Any]
    rows: list[dict[str, Any]]
    many: bool
    opened: list[Any]
    deadline: float


RowsOf = Callable[[Service, dict[str, Any]], tuple[list[dict[str, Any]], bool]]
View = Callable[[Service, Asked], Any]


def add_row_routes(app: APIFlask, service: Service) -> None:
    """Adds the routes that the model can answer."""
    predictor, settings = service.predictor, service.settings
    if predictor.kind == "prediction":
        add_post(app, service, "/predict", predict_schema(predictor, settings), _rows, predict)
    elif predictor.kind == "retrieval":
        add_post(app, service, "/embed", embed_schema(predictor, settings), _rows, embed)
    else:
        add_post(app, service, "/generate", generate_schema(predictor, settings), _rows, generate)
    if service.searcher is not None:
        add_post(app, service, "/search", search_schema(predictor), _query, search)


def add_post(
    app: APIFlask, service: Service, path: str, schema_class: type[Schema], rows_of: RowsOf, view: View
) -> None:
    """Adds a route that takes rows: who is let in, what is read, how long it may take.

    Args:
        app: The application.
        service: What answers.
        path: The route.
        schema_class: What a body must be; the OpenAPI document tells it.
        rows_of: Takes the rows out of a checked body; tells whether there could be several.
        view: Answers what was read.
    """
    schema: Any = schema_class()  # typed by APIFlask as its own class

    @wraps(view)
    def answer(**arguments: Any) -> Any:  # noqa: ANN401 (a response)
        deadline = time.monotonic() + service.settings.deadline_seconds
        with service.entered() as arrived:
            with service.opening(deadline):
                body = {**read_body(request, schema), **arguments}
                rows, many = rows_of(service, body)
                asked = Asked(body, rows, many, service.open(rows), deadline)
            arrived()
            response = view(service, asked)
            if isinstance(response, Response) and response.is_streamed:
                service.stay()  # until the last piece has gone
                response.call_on_close(service.leave)
            return response

    answer.__name__ = view.__name__
    # APIFlask's own reading of bodies, which takes JSON alone, goes no further than the OpenAPI document
    answer._spec = app.input(schema, location="json")(answer)._spec  # type: ignore[attr-defined]
    app.post(path)(answer)


def _rows(service: Service, body: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    return rows_of_body(body, row_names(service.predictor))


def _query(service: Service, body: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    modalities = service.predictor.modalities
    query = {name: body[name] for name in modalities if body.get(name) is not None}
    if len(query) != 1:
        raise InputError(f"Give one query, of {' or '.join(modalities)}; got {sorted(query)}.")
    return [query], False


def _named(service: Service, **results: Any) -> Any:  # noqa: ANN401 (a response)
    return jsonify(model=service.predictor.name, revision=service.predictor.revision, **results)


def _each(results: Sequence[Any], many: bool, tell: Callable[[int, Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """Tells each row's result; of many rows those that cannot be used say so in their place."""
    return [
        {"error": _told_of(result, f"/rows/{number}" if many else "")}
        if isinstance(result, Exception)
        else tell(number, result)
        for number, result in enumerate(results)
    ]


def _told_of(error: Exception, pointer: str) -> dict[str, Any]:
    if isinstance(error, InputError):
        return input_problem(error, pointer)
    log_failure(error)
    return problem_document(500, "The service failed on this row.", [{"pointer": pointer, "detail": "It failed."}])


def predict(service: Service, asked: Asked) -> Any:  # noqa: ANN401 (a response)
    """Labels with scores, or values, of one row or many; with `explain` also why.

    A row may have any of the model's modalities. Of many rows, one that cannot be used has an `error` in its place.
    """
    if asked.body["explain"] and not service.predictor.explains:
        service.predictor.explainer_model()  # which says why there is none
    results = service.compute(asked.opened, asked.deadline)

    def tell(number: int, outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        labels = service.predictor.labels(outputs, asked.body.get("top_k"))
        told = {"tasks" if isinstance(labels, Mapping) else "labels": labels}
        if asked.body["explain"]:
            told["explanation"] = service.explain(asked.rows[number], asked.deadline)
        return told

    return _named(service, predictions=_each(results, asked.many, tell))


def embed(service: Service, asked: Asked) -> Any:  # noqa: ANN401 (a response)
    """Unit vectors of one row or many, one for each modality that a row has."""
    results = service.compute(asked.opened, asked.deadline)

    def tell(number: int, vectors: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {modality: encode_vector(vector, asked.body["encoding"]) for modality, vector in vectors.items()}

    return _named(service, embeddings=_each(results, asked.many, tell))


def encode_vector(vector: np.ndarray, encoding: str) -> Any:  # noqa: ANN401 (numbers, or a mapping)
    """Writes a vector for JSON: as numbers, or as bytes in base64.

    Args:
        vector: (D,).
        encoding: `float32` (numbers), `float16` (2 bytes each), or `int8` (1 byte each, times `scale`).
    """
    if encoding == "float32":
        return vector.tolist()
    told: dict[str, Any] = {"encoding": encoding, "dimension": len(vector)}
    if encoding == "float16":
        return {**told, "data": base64.b64encode(vector.astype("<f2").tobytes()).decode()}
    scale = float(np.abs(vector).max()) / 127 or 1.0
    values = np.clip(np.round(vector / scale), -127, 127).astype(np.int8)
    return {**told, "scale": scale, "data": base64.b64encode(values.tobytes()).decode()}


def search(service: Service, asked: Asked) -> Any:  # noqa: ANN401 (a response)
    """The items of the collection that fit one query best."""
    (query,), body = asked.rows, asked.body

    def run() -> Any:  # noqa: ANN401 (hits)
        assert service.searcher is not None
        try:
            return service.searcher.search(body["k"], rerank=body["rerank"], where=body.get("where"), **query)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise InputError(str(error)) from error

    return _named(service, hits=[hit.to_dict() for hit in service.call(run, asked.deadline)])


def generate(service: Service, asked: Asked) -> Any:  # noqa: ANN401 (a response)
    """A text for one row or many; with `stream` its pieces as server-sent events.

    Events are `{"text": PIECE}`; the last one has the name `done` and holds the whole text, or `error` and a problem.
    """
    body = asked.body
    names = ("max_new_tokens", "num_beams", "do_sample", "temperature", "top_p")
    options = {name: body[name] for name in names if name in body}
    options["max_new_tokens"] = min(options.get("max_new_tokens", _saved_length(service)), _longest(service))
    options["num_return_sequences"] = 1
    if "temperature" in options or "top_p" in options:
        options.setdefault("do_sample", True)
    if body["stream"] and (asked.many or options.get("num_beams", 1) > 1):
        raise InputError("Streams are of one row, without beams: leave rows, num_beams or stream out.")
    if body["stream"]:
        options["num_beams"] = 1  # whatever the model was saved with
        pieces = service.stream(asked.opened[0], options, asked.deadline)
        response = Response(_events(service, pieces), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"  # of proxies
        return response
    texts = service.write(asked.opened, options, asked.deadline)
    return _named(service, texts=_each(texts, asked.many, lambda number, text: {"text": text}))


def _longest(service: Service) -> int:
    own = service.predictor.processor.decoder_tokenizer.model_max_length - 1
    return min(own, service.settings.max_new_tokens)


def _saved_length(service: Service) -> int:
    saved: Any = service.predictor.generation_config
    return saved.max_new_tokens or (saved.max_length or sys.maxsize) - 1  # the latter counts the token that starts


def _events(service: Service, pieces: Iterator[str]) -> Iterator[str]:
    text = ""
    try:
        for piece in pieces:
            text += piece
            yield _event({"text": piece})
    except InputError as error:
        yield _event(input_problem(error), "error")
    except DeadlineError as error:
        yield _event(problem_document(504, str(error)), "error")
    except Exception as error:  # noqa: BLE001 (the status has gone out already)
        log_failure(error)
        yield _event(problem_document(500, "The service failed on this request."), "error")
    else:
        named = {"model": service.predictor.name, "revision": service.predictor.revision}
        yield _event({**named, "text": text}, "done")


def _event(data: Mapping[str, Any], name: str = "") -> str:
    return f"{f'event: {name}' + chr(10) if name else ''}data: {json.dumps(data)}\n\n"


__all__ = ["Asked", "add_post", "add_row_routes", "embed", "encode_vector", "generate", "predict", "search"]
