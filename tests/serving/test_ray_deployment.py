# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Two replicas under Ray Serve on one machine give the same scores as the model in Python, and the same problems."""

import json
import socket
import urllib.error
import urllib.request

import pytest

from hf_multimodal.prediction.load import open_predictor
from tests.tiny import tiny_model, tiny_processor


@pytest.mark.slow
def test_two_replicas(tmp_path):
    import ray
    from ray import serve

    from hf_multimodal.serving.ray_deployment import build_ray_app

    tiny_model(num_labels=3).save_pretrained(tmp_path / "model")
    tiny_processor().save_pretrained(tmp_path / "model")
    expected = {
        one["label"]: one["score"] for one in open_predictor(str(tmp_path / "model")).predict([{"text": "a"}])[0]
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        application = build_ray_app(str(tmp_path / "model"), num_replicas=2, ray_actor_options={"num_cpus": 0.1})
        serve.run(application, name="tiny")
        (deployment,) = serve.status().applications["tiny"].deployments.values()
        assert deployment.replica_states == {"RUNNING": 2}
        for _ in range(8):
            status, told = ask(port, "/predict", {"text": "a"})
            assert status == 200
            assert {one["label"]: one["score"] for one in told["predictions"][0]["labels"]} == pytest.approx(expected)
        assert ask(port, "/predict", {"image": "/etc/passwd"})[0] == 422
        assert ask(port, "/readyz")[1] == {"status": "ready"}
    finally:
        serve.shutdown()
        ray.shutdown()


def ask(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
