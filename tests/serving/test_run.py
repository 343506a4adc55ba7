# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The service as a process: the command line's scores, slow clients, half-open connections, and an orderly end."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from tests.serving.rows import encoded_picture
from tests.tiny import tiny_model, tiny_processor

HALF_OPEN = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    tiny_model(num_labels=3).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


# a model that takes its time
SLOW = """
import sys, time
from hf_multimodal.prediction.predictor import TorchPredictor
compute = TorchPredictor.compute
TorchPredictor.compute = lambda *arguments: time.sleep(2) or compute(*arguments)
from hf_multimodal.cli.main import main
sys.argv[0] = "hf-multimodal"
main()
"""


@contextmanager
def served(folder, *options, slow=False, **environment):
    start = ["-c", SLOW] if slow else ["-m", "hf_multimodal"]
    command = [sys.executable, *start, "serve", str(folder), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"at http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            pytest.fail("".join(lines))
        yield process, int(found[1])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def ask(port, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.slow
def test_the_same_scores_as_on_the_command_line(folder, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(encoded_picture())
    command = [sys.executable, "-m", "hf_multimodal", "predict", str(folder), "--text", "a red square"]
    done = subprocess.run([*command, "--image", str(picture)], capture_output=True, text=True, check=True)
    expected = {one["label"]: one["score"] for one in json.loads(done.stdout)}
    with served(folder) as (_, port):
        row = {"text": "a red square", "image": base64.b64encode(picture.read_bytes()).decode()}
        _, alone = ask(port, "/predict", row)
        _, among = ask(port, "/predict", {"rows": [{"text": "blue"}, row, {"image": row["image"]}]})
    for told in (alone["predictions"][0], among["predictions"][1]):
        assert {one["label"]: one["score"] for one in told["labels"]} == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_slow_and_half_open_clients_block_nobody(folder):
    with served(folder) as (_, port):
        slow = []
        for _ in range(HALF_OPEN):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"
            )
            slow.append(connection)
        started = time.monotonic()
        assert ask(port, "/healthz") == (200, {"status": "ok"})
        assert ask(port, "/predict", {"text": "a"})[0] == 200
        assert time.monotonic() - started < 20
        for connection in slow:
            connection.close()


@pytest.mark.slow
def test_what_has_begun_is_finished(folder):
    with served(folder, slow=True) as (process, port):
        answers = []
        asking = threading.Thread(target=lambda: answers.append(ask(port, "/predict", {"text": "a"})))
        asking.start()
        while "hf_multimodal_running_requests 1.0" not in metrics(port):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        while ask(port, "/readyz")[0] == 200:
            time.sleep(0.05)
        assert ask(port, "/predict", {"text": "a"})[0] == 503
        asking.join(60)
        assert answers[0][0] == 200
        assert process.wait(60) == 0


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
        return response.read().decode()


@pytest.mark.slow
def test_tokens(folder):
    token = "0123456789abcdef"
    with served(folder, HF_MULTIMODAL_TOKENS=token) as (_, port):
        assert ask(port, "/predict", {"text": "a"})[0] == 401
        assert ask(port, "/predict", {"text": "a"}, Authorization=f"Bearer {token}")[0] == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-rows", "5", "--max-queue", "0"], "max-queue"),
        (["--token-file", "none"], "cannot be read"),
        (["--index", "none"], "index"),
        (["--port", "1", "--host", "203.0.113.1"], "error: "),
    ],
)
def test_bad_options(folder, options, message):
    command = [sys.executable, "-m", "hf_multimodal", "serve", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
