# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol (KServe V2) over HTTP, so that existing serving platforms can run the model.

Inputs are `BYTES` tensors of one dimension, one per modality that is given, a row each; files stand there in base64, a
series as JSON. An empty string is an absent value of anything but a text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from apiflask import APIFlask
from apiflask.fields import Dict, Integer, Nested, Raw, String
from flask import jsonify
from marshmallow import EXCLUDE, Schema, ValidationError
from werkzeug.exceptions import NotFound

from hf_multimodal import __version__
from hf_multimodal.prediction.rows import InputError
from hf_multimodal.serving.problems import problem
from hf_multimodal.serving.row_routes import Asked, add_post
from hf_multimodal.serving.schemas import MEDIA, Bounded, Media
from hf_multimodal.serving.service import Service


class _Tensor(Schema):
    class Meta:
        unknown = EXCLUDE  # parameters, which the protocol leaves open

    name = String(required=True)
    shape = Bounded(Integer(), 1, 1, required=True)
    datatype = String(required=True)
    data = Bounded(Raw(allow_none=True), 0, 10_000, required=True)


class InferRequest(Schema):
    """Body of `/v2/models/NAME/infer`."""

    class Meta:
        """Fields that the protocol leaves open are let through."""

        unknown = EXCLUDE

    id = String()
    inputs = Bounded(Nested(_Tensor), 1, 16, required=True)
    parameters = Dict()


def add_kserve_routes(app: APIFlask, service: Service) -> None:
    """Adds `/v2` and what is below it."""
    predictor = service.predictor

    @app.get("/v2")
    def server_metadata() -> Any:  # noqa: ANN401 (a response)
        """What the server is."""
        return jsonify(name="hf_multimodal", version=__version__, extensions=[])

    @app.get("/v2/health/live")
    def server_live() -> Any:  # noqa: ANN401
        """Whether the process answers."""
        return jsonify(live=True)

    @app.get("/v2/health/ready")
    def server_ready() -> Any:  # noqa: ANN401
        """Whether rows sent now would be answered."""
        return jsonify(ready=True) if service.is_ready else problem(503, "The service is shutting down.")

    @app.get("/v2/models/<model>")
    def model_metadata(model: str) -> Any:  # noqa: ANN401
        """Inputs and outputs of the model."""
        name = _checked_name(service, model)
        inputs = [{"name": m, "datatype": "BYTES", "shape": [-1]} for m in predictor.modalities]
        outputs = [{"name": n, "datatype": d, "shape": s} for n, d, s in _outputs_told(predictor)]
        told = {"versions": [predictor.revision], "platform": "hf_multimodal", "inputs": inputs, "outputs": outputs}
        return jsonify(name=name, **told)

    @app.get("/v2/models/<model>/ready")
    def model_ready(model: str) -> Any:  # noqa: ANN401
        """Whether rows sent now would be answered."""
        name = _checked_name(service, model)
        ready = service.is_ready
        return jsonify(name=name, ready=True) if ready else problem(503, "The service is shutting down.")

    add_post(app, service, "/v2/models/<model>/infer", InferRequest, _rows_of_tensors, infer)


def _checked_name(service: Service, model: str) -> str:
    """Refuses another model than the one that is served, whose name stands in a path without slashes."""
    name = service.predictor.name.replace("/", "--")
    if model != name:
        raise NotFound(f"There is no such model; this service has {name!r}.")
    return name


def infer(service: Service, asked: Asked) -> Any:  # noqa: ANN401 (a response)
    """Answers rows given as tensors: labels with scores, embeddings, or texts."""
    predictor, body = service.predictor, asked.body
    if bad := next((row for row in asked.opened if isinstance(row, InputError)), None):
        raise bad  # tensors have no place for an error
    if predictor.kind == "generation":
        texts = service.write(asked.opened, {}, asked.deadline)
        outputs = [_tensor("text", "BYTES", [len(texts)], texts)]
    else:
        outputs = _outputs(predictor, service.compute(asked.opened, asked.deadline))
    told = {"id": body["id"]} if "id" in body else {}
    return jsonify(model_name=body["model"], model_version=predictor.revision, **told, outputs=outputs)


def _rows_of_tensors(service: Service, body: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    _checked_name(service, body["model"])
    return _rows(body["inputs"], service.predictor.modalities, service.settings.max_rows), True


def _rows(inputs: Sequence[Mapping[str, Any]], modalities: tuple[str, ...], limit: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for tensor in inputs:
        name, data = tensor["name"], tensor["data"]
        if name not in modalities:
            raise InputError(f"This model does not read {name!r}: it reads {', '.join(modalities)}.")
        if tensor["datatype"] != "BYTES" or tensor["shape"] != [len(data)]:
            raise InputError(f"Give {name} as BYTES of shape [{len(data)}], a row each.", name)
        if not 1 <= len(data) <= limit:
            raise InputError(f"{name} has {len(data)} rows; 1 to {limit} may be sent.", name)
        rows = rows or [{} for _ in data]
        if len(data) != len(rows):
            raise InputError(f"{name} has {len(data)} rows, another input {len(rows)}.", name)
        for row, value in zip(rows, data, strict=True):
            row[name] = _value(name, value)
    return rows


def _value(modality: str, value: Any) -> Any:  # noqa: ANN401 (a text, bytes, or a series)
    if modality == "text" or value is None:
        return value
    if value == "":
        return None
    if modality in MEDIA:
        try:
            return Media().deserialize(value)
        except ValidationError as error:
            raise InputError("; ".join(map(str, error.messages)), modality) from error
    try:
        return json.loads(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("A series is given as JSON.", modality) from error


def _outputs_told(predictor: Any) -> list[tuple[str, str, list[int]]]:  # noqa: ANN401 (a MultimodalPredictor)
    if predictor.kind == "generation":
        return [("text", "BYTES", [-1])]
    if predictor.kind == "retrieval":
        return [(f"{m}_embedding", "FP32", [-1, predictor.config.embedding_size]) for m in predictor.modalities]
    named = _values_of(predictor.labels(_blank(predictor)))
    return [(name, "FP32" if isinstance(value, float) else "BYTES", [-1]) for name, value in named.items()]


def _blank(predictor: Any) -> dict[str, np.ndarray]:  # noqa: ANN401 (a MultimodalPredictor)
    """What a row's outputs look like."""
    tasks = predictor.config.tasks or {"": {"labels": predictor.config.id2label}}
    return {name: np.zeros(len(task["labels"]), dtype=np.float32) for name, task in tasks.items()}


def _values_of(told: Any) -> dict[str, Any]:  # noqa: ANN401 (labels of a row, or of its tasks)
    """A row's answer by the names of outputs: label and score of the best, or each value by its own name."""
    named: dict[str, Any] = {}
    for task, labels in told.items() if isinstance(told, Mapping) else {"": told}.items():
        prefix = f"{task}_" if task else ""
        if "value" in labels[0]:
            named.update({f"{prefix}{one['label']}": float(one["value"]) for one in labels})
        else:
            named.update({f"{prefix}label": labels[0]["label"], f"{prefix}score": float(labels[0]["score"])})
    return named


def _outputs(predictor: Any, computed: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:  # noqa: ANN401
    if bad := next((row for row in computed if isinstance(row, Exception)), None):
        raise bad  # tensors have no place for an error
    count = len(computed)
    if predictor.kind == "retrieval":
        size = predictor.config.embedding_size
        blank = np.zeros(size, dtype=np.float32)
        return [
            _tensor(
                f"{m}_embedding", "FP32", [count, size], [x for row in computed for x in row.get(m, blank).tolist()]
            )
            for m in predictor.modalities
            if any(m in row for row in computed)
        ]
    rows = [_values_of(predictor.labels(row)) for row in computed]
    return [
        _tensor(name, "FP32" if isinstance(value, float) else "BYTES", [count], [row[name] for row in rows])
        for name, value in rows[0].items()
    ]


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


__all__ = ["InferRequest", "add_kserve_routes", "infer"]
