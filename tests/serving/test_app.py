# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The routes: the same scores as in Python, errors that name the field, who is let in, and what is counted."""

import base64
import io
import json
import logging
import threading

import numpy as np
import pytest

from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.prediction.predictor import TorchPredictor
from hf_multimodal.serving.app import OPEN_ENDPOINTS, create_app
from hf_multimodal.serving.batcher import OverloadError
from hf_multimodal.serving.settings import ServiceSettings, read_tokens
from tests.serving.rows import encoded_picture, encoded_sound, sound_and_picture_rows
from tests.tiny import tiny_generation, tiny_model, tiny_processor

TOKEN = "0123456789abcdef"


def as_json(row):
    return {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in row.items()}


def as_form(row, prefix=""):
    return {
        prefix + k: (io.BytesIO(v), "file") if isinstance(v, bytes) else json.dumps(v) if isinstance(v, dict) else v
        for k, v in row.items()
    }


def labels(answer):
    return [{one["label"]: one["score"] for one in told["labels"]} for told in answer.json["predictions"]]


def problem(answer, status, pointer=None):
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert answer.json["title"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in answer.json["errors"]]
    return answer.json["detail"]


def test_json_forms_and_python_give_the_same(client, predictor):
    rows = [*sound_and_picture_rows(), {"series": {"x": [1.0, 2.0], "y": [1.0, None], "kind": "a"}}]
    expected = [{one["label"]: one["score"] for one in told} for told in predictor.predict(rows)]
    together = client.post("/predict", json={"rows": [as_json(row) for row in rows]})
    as_files = {k: v for number, row in enumerate(rows) for k, v in as_form(row, f"rows.{number}.").items()}
    uploaded = client.post("/predict", data=as_files)
    assert together.json["model"] == "tiny"
    assert together.json["revision"] == "0123"
    for row, own, alone, file in zip(rows, expected, labels(together), labels(uploaded), strict=True):
        assert alone == pytest.approx(own, abs=1e-5)
        assert file == pytest.approx(own, abs=1e-5)
        assert labels(client.post("/predict", json=as_json(row)))[0] == pytest.approx(own, abs=1e-5)
        sent = client.post("/predict", data=as_form(row), content_type="multipart/form-data")
        assert labels(sent)[0] == pytest.approx(own, abs=1e-5)


def test_requests_at_once_are_computed_together_and_fail_alone(predictor, make_client, monkeypatch):
    client = make_client(predictor)
    rows = [as_json(row) for row in sound_and_picture_rows()]
    alone = [labels(client.post("/predict", json=row))[0] for row in rows]
    sizes, compute = [], predictor.compute
    go = threading.Event()

    def computing(opened):
        sizes.append(len(opened))
        assert go.wait(60)
        if any(row["text"] == "fail" for row in opened):
            raise RuntimeError("a row that brings the model down")
        return compute(opened)

    service = client.application.extensions["hf_multimodal"]
    monkeypatch.setattr(service._rows, "compute", computing)
    answers = {}

    def ask(number, row):
        answers[number] = client.application.test_client().post("/predict", json=row)

    sent = [{"text": "first"}, *rows, {"text": "fail"}]
    threads = [threading.Thread(target=ask, args=(number, row)) for number, row in enumerate(sent)]
    threads[0].start()
    while not sizes:
        pass
    for thread in threads[1:]:
        thread.start()
    while len(service._rows) < len(rows) + 1:  # they gather while the first one is computed
        pass
    go.set()
    for thread in threads:
        thread.join()
    assert sizes == [1, len(rows) + 1] + [1] * (len(rows) + 1)  # together, and as that failed, each alone
    for number, own in enumerate(alone):
        assert labels(answers[number + 1])[0] == pytest.approx(own, abs=1e-5)
    detail = problem(answers[len(sent) - 1], 500)
    assert "fail" not in detail.replace("failed", "")  # nothing of what was sent


def test_a_bad_row_among_others_says_so_in_its_place(client):
    answer = client.post("/predict", json={"rows": [{"text": "a"}, {"image": "AAAA"}, {}], "top_k": 1})
    first, second, third = answer.json["predictions"]
    assert len(first["labels"]) == 1
    assert second["error"]["errors"][0]["pointer"] == "/rows/1/image"
    assert third["error"]["status"] == 422
    (alone,) = client.post("/predict", json={"rows": [{"image": "AAAA"}] * 2}).json["predictions"][:1]
    assert alone["error"]["errors"][0]["pointer"] == "/rows/0/image"


def test_one_row_that_fails_leaves_the_others_of_its_request(predictor, make_client, monkeypatch):
    client = make_client(predictor)
    compute = predictor.compute

    def failing(opened):
        if any(row["text"] == "fail" for row in opened):
            raise RuntimeError("a row that brings the model down")
        told = compute(opened)
        return [{"": x[""] * np.nan} if row["text"] == "nan" else x for row, x in zip(opened, told, strict=True)]

    monkeypatch.setattr(client.application.extensions["hf_multimodal"]._rows, "compute", failing)
    rows = [{"text": "a"}, {"text": "fail"}, {"text": "nan"}, {"text": "b"}]
    told = client.post("/predict", json={"rows": rows}).json["predictions"]
    assert [one.get("error", {}).get("status") for one in told] == [None, 500, 422, None]
    assert "no number" in problem(client.post("/predict", json={"text": "nan"}), 422)
    assert "no number" in problem(
        client.post("/v2/models/tiny/infer", json={"inputs": [tensor("text", "a", "nan")]}), 422
    )


def test_a_form_whose_part_has_no_name(client):
    body = b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n"
    answer = client.post("/predict", data=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/rows"),
        ({"sound": "x"}, "/sound"),
        ({"text": 5}, "/text"),
        ({"text": "x" * 1001}, "/text"),
        ({"text": "\ud800"}, "/text"),
        ({"image": "no base64"}, "/image"),
        ({"image": "/etc/passwd"}, "/image"),
        ({"image": "https://example.org/a.png"}, "/image"),
        ({"image": {"path": "/etc/passwd"}}, "/image"),
        ({"image": ""}, "/image"),
        ({"audio": base64.b64encode(b"RIFF").decode()}, "/audio"),
        ({"series": {"none": 1}}, "/series"),
        ({"series": [1]}, "/series"),
        ({"rows": [{"text": "a"}, {"texts": "a"}]}, "/rows/1/texts"),
        ({"rows": []}, "/rows"),
        ({"rows": [{"text": "a"}] * 33}, "/rows"),
        ({"rows": [{"text": "a"}], "text": "a"}, "/rows"),
        ({"rows": [0] * 100_000}, "/rows"),
        ({f"name {number}": 1 for number in range(2000)}, ""),
        ({"series": {"x": 10**400}}, "/series"),
        ({"series": {"kind": 10**400, "x": 10**400}}, "/series"),
        ({"series": {"x": [""] * 5000 + ["a" * 5000]}}, "/series"),
        ({"text": "a", "top_k": 0}, "/top_k"),
        ({"text": "a", "explain": "perhaps"}, "/explain"),
        ({"text": None}, ""),
    ],
)
def test_bad_input_names_the_field(client, body, pointer):
    problem(client.post("/predict", json=body), 422, pointer)


def test_bodies_that_cannot_be_read(client):
    assert "no JSON" in problem(client.post("/predict", data="{", content_type="application/json"), 400)
    assert "no JSON" in problem(client.post("/predict", data=b"\xff", content_type="application/json"), 400)
    deep = "[" * 100_000
    problem(client.post("/predict", data=deep, content_type="application/json"), 400)
    assert "multipart/form-data" in problem(client.post("/predict", data="a", content_type="text/plain"), 415)
    assert "rows.0.text" in problem(
        client.post("/predict", data={"rows[0].text": "a", "x": (io.BytesIO(b""), "x")}), 422, "/rows[0].text"
    )
    assert "Number the rows" in problem(
        client.post("/predict", data={"rows.1.text": "a", "rows.1.image": (io.BytesIO(b""), "x")}), 422, "/rows"
    )
    problem(client.post("/predict", data={"series": "{", "image": (io.BytesIO(b""), "x")}), 422, "/series")
    problem(client.get("/predict"), 405)
    problem(client.get("/none"), 404)
    problem(client.get("/assets/app.py"), 404)


def test_bodies_that_are_too_large(predictor, make_client):
    client = make_client(predictor, max_body_bytes=1000)
    problem(client.post("/predict", json={"text": "x" * 2000}), 413)
    problem(client.post("/predict", data={"image": (io.BytesIO(b"x" * 2000), "x.png")}), 413)


def test_explanations(client, predictor):
    row = {"text": "a red square", "image": encoded_picture()}
    (told,) = client.post("/predict", json={**as_json(row), "explain": True}).json["predictions"]
    explanation = told["explanation"]
    assert explanation["label"] == told["labels"][0]["label"]
    assert explanation["score"] == pytest.approx(told["labels"][0]["score"], abs=1e-4)
    assert set(explanation["modality_share"]) == {"text", "image"}
    assert explanation["picture"].startswith("data:image/png;base64,")
    assert len(explanation["maps"]["relevance"]["text"]) == len(explanation["tokens"])
    assert predictor.model.config._attn_implementation != "eager"  # explaining leaves the model that answers alone


def test_too_many_requests_are_refused_at_once(predictor, make_client, monkeypatch):
    client = make_client(predictor, max_queue=1, max_rows=1, max_batch=1)
    service = client.application.extensions["hf_multimodal"]
    go, begun = threading.Event(), threading.Event()
    compute = predictor.compute

    def held(opened):
        begun.set()
        assert go.wait(60)
        return compute(opened)

    monkeypatch.setattr(service._rows, "compute", held)
    answers = []
    ask = [
        threading.Thread(
            target=lambda: answers.append(client.application.test_client().post("/predict", json={"text": "a"}))
        )
        for _ in range(2)
    ]
    ask[0].start()
    assert begun.wait(60)
    ask[1].start()
    while service._running < 2:
        pass
    refused = client.post("/predict", json={"text": "a"})
    problem(refused, 503)
    assert refused.headers["Retry-After"] in ("1", "2", "3")
    assert client.get("/healthz").json == {"status": "ok"}
    go.set()
    for thread in ask:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert client.post("/predict", json={"text": "a"}).status_code == 200  # it recovers at once


def test_deadlines(predictor, make_client, monkeypatch):
    client = make_client(predictor, deadline_seconds=0.05)
    go = threading.Event()
    service = client.application.extensions["hf_multimodal"]
    monkeypatch.setattr(service._rows, "compute", lambda rows: go.wait(60) and [])
    assert "not answered in time" in problem(client.post("/predict", json={"text": "a"}), 504)
    go.set()


def test_draining(client):
    service = client.application.extensions["hf_multimodal"]
    assert client.get("/readyz").status_code == client.get("/v2/health/ready").status_code == 200
    assert service.drain()
    problem(client.get("/readyz"), 503)
    problem(client.get("/v2/health/ready"), 503)
    problem(client.get("/v2/models/tiny/ready"), 503)
    assert "shutting down" in problem(client.post("/predict", json={"text": "a"}), 503)
    assert client.get("/healthz").status_code == client.get("/v2/health/live").status_code == 200


def test_every_route_is_closed_without_a_token(predictor, make_client):
    client = make_client(predictor, tokens=(TOKEN, TOKEN + "2"))
    rules = [rule for rule in client.application.url_map.iter_rules() if rule.endpoint not in OPEN_ENDPOINTS]
    assert len(rules) >= 7
    for rule in rules:
        path = rule.rule.replace("<model>", "tiny").replace("<name>", "page.js").replace("<path:filename>", "x")
        for method in rule.methods - {"OPTIONS", "HEAD"}:
            for header in (
                {},
                {"Authorization": TOKEN},
                {"Authorization": "Bearer no"},
                {"Authorization": f"Basic {TOKEN}"},
            ):
                answer = client.open(path, method=method, headers=header)
                problem(answer, 401)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
    for endpoint in ("healthz", "readyz", "", "docs", "assets/page.js", "v2/health/live"):
        assert client.get(f"/{endpoint}").status_code == 200
    for token in (TOKEN, TOKEN + "2"):
        answer = client.post("/predict", json={"text": "a"}, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200


def test_tokens_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n\n{TOKEN}2\n")
    assert read_tokens(file) == (TOKEN, TOKEN + "2")
    assert read_tokens(None) == ()
    monkeypatch.setenv("HF_MULTIMODAL_TOKENS", f"{TOKEN},{TOKEN}3")
    assert read_tokens(None) == (TOKEN, TOKEN + "3")
    monkeypatch.setenv("HF_MULTIMODAL_TOKENS", " , ")
    with pytest.raises(ValueError, match="is set but holds no token"):
        read_tokens(None)
    monkeypatch.setenv("HF_MULTIMODAL_TOKENS", "short")
    with pytest.raises(ValueError, match="shorter than 16 characters"):
        read_tokens(None)
    file.write_text("\n")
    with pytest.raises(ValueError, match="holds none"):
        read_tokens(file)
    with pytest.raises(ValueError, match="cannot be read"):
        read_tokens(tmp_path / "none")
    assert TOKEN not in repr(ServiceSettings(tokens=(TOKEN,)))


@pytest.mark.parametrize("bound", [{"max_rows": 0}, {"max_rows": 65}, {"deadline_seconds": 0}, {"max_wait_ms": -1}])
def test_settings_that_leave_nothing(bound):
    with pytest.raises(ValueError, match=next(iter(bound))):
        ServiceSettings(**bound)


def test_other_origins(predictor, make_client):
    header = {"Origin": "https://a.example"}
    closed = make_client(predictor).post("/predict", json={"text": "a"}, headers=header)
    assert "Access-Control-Allow-Origin" not in closed.headers
    client = make_client(predictor, cors_origins=("https://a.example",), tokens=(TOKEN,))
    asked = client.options("/predict", headers={**header, "Access-Control-Request-Method": "POST"})
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Access-Control-Allow-Origin" not in client.get("/healthz", headers={"Origin": "https://b.example"}).headers


def test_answers_are_compressed_where_asked(client):
    for encoding in ("gzip", "zstd"):
        answer = client.get("/openapi.json", headers={"Accept-Encoding": encoding})
        assert answer.headers["Content-Encoding"] == encoding
    assert "Content-Encoding" not in client.get("/openapi.json").headers


def test_nothing_of_what_was_sent_is_logged(client, caplog, capfd, monkeypatch):
    secret = "a secret that nobody should read"

    def failing(opened):
        raise RuntimeError(f"cannot compute {opened[0]['text']}")

    with monkeypatch.context() as patched:
        patched.setattr(client.application.extensions["hf_multimodal"]._rows, "compute", failing)
        problem(client.post("/predict", json={"text": secret}), 500)
        client.post("/predict", json={"rows": [{"text": secret}] * 2})
    assert caplog.text.count("An answer failed with RuntimeError at") == 3
    with caplog.at_level(logging.DEBUG):
        client.post("/predict", json={"text": secret, "image": base64.b64encode(secret.encode()).decode()})
        client.post("/predict", json={secret: secret})
        client.post(f"/predict?{secret}", json={"text": secret})
        client.get(f"/{secret}")
    assert secret not in caplog.text
    assert secret not in "".join(capfd.readouterr())
    assert "POST /predict 422" in caplog.text


def test_what_is_counted(client):
    client.post("/predict", json={"rows": [{"text": "a"}, {"text": "b"}]})
    client.post("/predict", json={})
    told = client.get("/metrics").get_data(as_text=True)
    assert 'hf_multimodal_requests_total{route="/predict",status="200"} 1.0' in told
    assert 'hf_multimodal_requests_total{route="/predict",status="422"} 1.0' in told
    assert "hf_multimodal_batch_rows_sum 2.0" in told
    assert "hf_multimodal_running_requests 0.0" in told


def test_what_is_told_of_the_model(client):
    told = client.get("/info").json
    assert told["modalities"] == ["text", "image", "audio", "series"]
    assert told["series"]["channels"] == ["x", "y"]
    assert told["limits"]["pixels"] == 1_000_000


@pytest.fixture(scope="module")
def searching():
    model = tiny_model(MultimodalForRetrieval, embedding_size=8)
    return TorchPredictor(model, tiny_processor(), kind="retrieval", name="a/b", revision="0")


def test_embeddings_in_any_encoding(searching, make_client):
    client, row = make_client(searching), {"text": "red", "image": encoded_picture()}
    (expected,) = searching.embed([row])
    (told,) = client.post("/embed", json=as_json(row)).json["embeddings"]
    np.testing.assert_allclose(told["image"], expected["image"], atol=1e-6)
    (half,) = client.post("/embed", json={**as_json(row), "encoding": "float16"}).json["embeddings"]
    decoded = np.frombuffer(base64.b64decode(half["image"]["data"]), "<f2")
    np.testing.assert_allclose(decoded, expected["image"], atol=1e-3)
    (small,) = client.post("/embed", json={**as_json(row), "encoding": "int8"}).json["embeddings"]
    decoded = np.frombuffer(base64.b64decode(small["text"]["data"]), np.int8) * small["text"]["scale"]
    np.testing.assert_allclose(decoded, expected["text"], atol=small["text"]["scale"])
    problem(client.post("/embed", json={"text": "a", "encoding": "int4"}), 422, "/encoding")
    problem(client.post("/search", json={"text": "a"}), 404)
    problem(client.post("/predict", json={"text": "a"}), 404)


class Finds:
    """Stands for a Searcher."""

    def search(self, k, *, rerank, where, **query):
        if where == {"none": ["x"]}:
            raise ValueError("no such column")
        return []


def test_search(searching, make_client):
    client = make_client(searching, Finds())
    assert client.post("/search", json={"text": "red", "where": {"colour": ["red"]}}).json["hits"] == []
    problem(client.post("/search", json={"text": "red", "image": as_json({"x": encoded_picture()})["x"]}), 422)
    assert "no such column" in problem(client.post("/search", json={"text": "red", "where": {"none": ["x"]}}), 422)
    problem(client.post("/search", json={"text": "red", "where": {"a": []}}), 422, "/where/a/value")
    problem(client.post("/search", json={"image": "AAAA"}), 422, "/image")


@pytest.fixture(scope="module")
def writing():
    return TorchPredictor(*tiny_generation(), kind="generation", name="writer", revision="0")


def events(answer):
    told = []
    for event in answer.get_data(as_text=True).strip().split("\n\n"):
        *name, data = event.split("\n")
        told.append((name[0].removeprefix("event: ") if name else "", json.loads(data.removeprefix("data: "))))
    return told


def test_texts_whole_and_in_pieces(writing, make_client):
    client = make_client(writing)
    row = {"text": "a red square", "image": encoded_picture()}
    (expected,) = writing.generate([writing.open(row)], max_new_tokens=8)
    answer = client.post("/generate", json={**as_json(row), "max_new_tokens": 8})
    assert answer.json["texts"] == [{"text": expected}]
    streamed = client.post("/generate", json={**as_json(row), "max_new_tokens": 8, "stream": True})
    assert streamed.mimetype == "text/event-stream"
    *pieces, (name, last) = events(streamed)
    assert (name, last["text"], last["model"]) == ("done", expected, "writer")
    assert "".join(piece["text"] for _, piece in pieces).strip() == expected
    streamed.close()
    dialogue = client.post("/generate", json={"dialogue": [{"role": "user", "content": "red"}], "num_beams": 2})
    assert dialogue.status_code == 200
    many = client.post("/generate", json={"rows": [{"text": "a"}, {"image": "AAAA"}]}).json["texts"]
    assert many[1]["error"]["errors"][0]["pointer"] == "/rows/1/image"
    service = client.application.extensions["hf_multimodal"]
    assert service._running == 0


def test_texts_are_as_long_as_the_model_was_saved_to_write(writing, make_client, monkeypatch):
    asked = []
    monkeypatch.setattr(writing, "generate", lambda rows, **options: asked.append(options["max_new_tokens"]) or ["a"])
    client = make_client(writing, max_new_tokens=9)
    for saved in (None, 3, 1000):
        monkeypatch.setattr(writing.generation_config, "max_new_tokens", saved)
        assert client.post("/generate", json={"text": "a"}).status_code == 200
    assert client.post("/generate", json={"text": "a", "max_new_tokens": 5}).status_code == 200
    assert asked == [9, 3, 9, 5]


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"max_new_tokens": 100_000}, "/max_new_tokens"),
        ({"num_beams": 0}, "/num_beams"),
        ({"temperature": 0}, "/temperature"),
        ({"stream": True, "num_beams": 4}, ""),
        ({"dialogue": [{"role": "nobody", "content": "a"}]}, "/dialogue/0/role"),
        ({"eos_token_id": 1}, "/eos_token_id"),
    ],
)
def test_bad_options_of_texts(writing, make_client, options, pointer):
    problem(make_client(writing).post("/generate", json={"text": "a", **options}), 422, pointer)


def test_a_stream_that_takes_too_long_ends_with_a_problem(writing, make_client, monkeypatch):
    client = make_client(writing, deadline_seconds=0.2)
    go = threading.Event()
    monkeypatch.setattr(writing, "generate", lambda rows, **options: go.wait(60))
    ((name, told),) = events(client.post("/generate", json={"text": "a", "stream": True}))
    assert (name, told["status"]) == ("error", 504)
    go.set()


def tensor(name, *data, datatype="BYTES"):
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": list(data)}


def test_the_open_inference_protocol(client, searching, writing, make_client):
    assert client.get("/v2").json["name"] == "hf_multimodal"
    metadata = client.get("/v2/models/tiny").json
    assert [one["name"] for one in metadata["inputs"]] == ["text", "image", "audio", "series"]
    picture, sound = (base64.b64encode(x).decode() for x in (encoded_picture(), encoded_sound()))
    series = json.dumps({"x": [1, 2], "y": [1, 1]})
    inputs = [
        tensor("text", "a", None),
        tensor("image", picture, ""),
        tensor("audio", "", sound),
        tensor("series", series, ""),
    ]
    answer = client.post("/v2/models/tiny/infer", json={"id": "7", "inputs": inputs})
    assert answer.json["id"] == "7"
    told = {output["name"]: output for output in answer.json["outputs"]}
    assert told["label"]["shape"] == [2]
    row = {"text": "a", "image": picture, "series": json.loads(series)}
    assert told["score"]["data"][0] == pytest.approx(
        max(labels(client.post("/predict", json=row))[0].values()), abs=1e-5
    )
    assert {output["name"] for output in metadata["outputs"]} == set(told)
    (vectors,) = (
        make_client(searching).post("/v2/models/a--b/infer", json={"inputs": [tensor("text", "a")]}).json["outputs"]
    )
    assert (vectors["name"], vectors["shape"]) == ("text_embedding", [1, 8])
    (texts,) = (
        make_client(writing).post("/v2/models/writer/infer", json={"inputs": [tensor("text", "a")]}).json["outputs"]
    )
    assert texts["datatype"] == "BYTES"


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [tensor("sound", "a")],
        [tensor("text", "a", datatype="FP32")],
        [{**tensor("text", "a"), "shape": [2]}],
        [tensor("text", "a"), tensor("image", "", "")],
        [tensor("text")],
        [tensor("image", "no base64")],
        [tensor("series", "{")],
        [tensor("text", 5)],
        [tensor("text", *["a"] * 33)],
        [tensor("text", "a", None)],
    ],
)
def test_bad_tensors(client, inputs):
    problem(client.post("/v2/models/tiny/infer", json={"inputs": inputs}), 422)
    problem(client.post("/v2/models/other/infer", json={"inputs": [tensor("text", "a")]}), 404)


def test_more_rows_than_wait_are_refused(predictor, make_client):
    client = make_client(predictor, max_queue=2, max_rows=2)
    problem(client.post("/predict", json={"rows": [{"text": "a"}] * 3}), 422, "/rows")
    service = create_app(predictor, ServiceSettings()).extensions["hf_multimodal"]
    service.close()
    with pytest.raises(OverloadError):
        service.compute([predictor.open({"text": "a"})], 0)
