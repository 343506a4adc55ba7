# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document, and requests made of it by schemathesis, good and bad, against the service."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from hf_multimodal.prediction.predictor import TorchPredictor
from hf_multimodal.serving.app import create_app
from hf_multimodal.serving.settings import ServiceSettings
from tests.tiny import tiny_generation

# not that what fits the schema is taken: a string that is no picture fits it
CHECKS = (
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)


@pytest.fixture(scope="session")
def app(predictor):
    app = create_app(predictor, ServiceSettings(max_wait_ms=0))
    yield app
    app.extensions["hf_multimodal"].close()


@pytest.fixture(scope="session")
def writing_app():
    predictor = TorchPredictor(*tiny_generation(), kind="generation", name="writer", revision="0")
    app = create_app(predictor, ServiceSettings(max_wait_ms=0, max_new_tokens=4))
    yield app
    app.extensions["hf_multimodal"].close()


FUZZED = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def fuzz(app, path):
    """Sends what fits an operation's schema, and what does not."""
    operations = schemathesis.openapi.from_wsgi("/openapi.json", app).get_all_operations()
    (operation,) = [one.ok() for one in operations if one.ok().path == path]
    answers = []
    for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
        if mode is schemathesis.GenerationMode.NEGATIVE and not operation.body:
            continue  # nothing can be wrong

        @FUZZED
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case):
            answers.append(case.call_and_validate(checks=CHECKS).status_code)

        send()
    return answers


PATHS = (
    "/predict",
    "/v2/models/{model}/infer",
    "/v2/models/{model}",
    "/v2/models/{model}/ready",
    "/v2",
    "/info",
    "/metrics",
)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_predictions_survive(app, path):
    answers = fuzz(app, path)
    assert len(answers) >= 1
    assert max(answers) < 500
    assert app.test_client().get("/readyz").status_code == 200


@pytest.mark.slow
def test_texts_survive(writing_app):
    assert {200, 422} <= set(fuzz(writing_app, "/generate")) <= {200, 400, 415, 422}


def test_the_document_tells_what_is_checked(app):
    told = app.test_client().get("/openapi.json").json
    assert set(told["paths"]) >= {"/predict", "/healthz", "/readyz", "/metrics", "/info", "/v2/models/{model}/infer"}
    assert not {"/generate", "/embed", "/search", "/", "/docs"} & set(told["paths"])
    content = told["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    fields = told["components"]["schemas"]["Predict"]["properties"]
    assert set(fields) == {"text", "image", "audio", "series", "rows", "top_k", "explain"}
    assert fields["text"]["maxLength"] == 1000
    assert fields["rows"]["maxItems"] == 32
    answers = told["paths"]["/predict"]["post"]["responses"]
    assert set(answers) == {"200", "400", "413", "415", "422", "503", "504"}
    assert set(answers["422"]["content"]) == {"application/problem+json"}
    assert "security" not in told


def test_the_document_of_a_closed_service(predictor):
    app = create_app(predictor, ServiceSettings(tokens=("0123456789abcdef",)))
    header = {"Authorization": "Bearer 0123456789abcdef"}
    told = app.test_client().get("/openapi.json", headers=header).json
    assert told["security"] == [{"token": []}]
    assert "401" in told["paths"]["/predict"]["post"]["responses"]
    app.extensions["hf_multimodal"].close()
