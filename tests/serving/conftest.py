# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A service of a tiny model that listens and looks."""

import pytest

from hf_multimodal.prediction.predictor import Limits, TorchPredictor
from hf_multimodal.serving.app import create_app
from hf_multimodal.serving.settings import ServiceSettings
from tests.tiny import tiny_model, tiny_processor


@pytest.fixture(scope="session")
def predictor():
    model = tiny_model(audio="timm resnet", series="patch_series", num_labels=3)
    processor = tiny_processor(audio="timm resnet", series=True)
    limits = Limits(characters=1000, pixels=1_000_000, seconds=5)
    return TorchPredictor(model, processor, kind="prediction", name="tiny", revision="0123", limits=limits)


@pytest.fixture
def make_client():
    """Makes a test client of a predictor; its batchers end with the test."""
    apps = []

    def make(predictor, searcher=None, **settings):
        apps.append(create_app(predictor, ServiceSettings(**settings), searcher))
        return apps[-1].test_client()

    yield make
    for app in apps:
        app.extensions["hf_multimodal"].close()


@pytest.fixture
def client(predictor, make_client):
    return make_client(predictor)
