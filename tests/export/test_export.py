# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Bundles give what their models give, for every kind of model; the report tells what was lost, and refuses."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from hf_multimodal.cli.main import app
from hf_multimodal.export import onnx_files
from hf_multimodal.export.graphs import example_rows
from hf_multimodal.export.parity import (
    Answered,
    ParityError,
    Thresholds,
    check_parity,
    compare_answers,
)
from hf_multimodal.export.run import PARITY, _write_bundle, export_model
from hf_multimodal.modeling.configuration_multimodal import FUSIONS
from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.modeling.modeling_tasks import MultimodalForMultiTask
from hf_multimodal.modeling.pipeline_generation import MultimodalGenerationPipeline
from hf_multimodal.prediction.bundle import MANIFEST, BundleManifest
from hf_multimodal.prediction.graph_predictor import GraphPredictor
from hf_multimodal.prediction.load import open_predictor
from hf_multimodal.prediction.predictor import InputError, TorchPredictor
from hf_multimodal.prediction.rows import OWN_ROWS
from hf_multimodal.retrieval.evaluate import evaluate_retrieval
from hf_multimodal.serving.app import create_app
from hf_multimodal.training.row_source import RowSource
from tests.modeling.test_modeling_generation import DECODERS, STRATEGIES
from tests.serving.rows import encoded_picture, sound_and_picture_rows
from tests.tiny import needs_dynamo, tiny_generation, tiny_model, tiny_pictures, tiny_processor

pytest.importorskip("onnxruntime")
pytestmark = needs_dynamo  # the same release of torch exports
TOLERANCE = 1e-4
ROOT = Path(__file__).parents[2]
ROWS = [
    {"text": "a red square", "image": encoded_picture()},
    {"text": "blue"},
    {"image": encoded_picture(seed=1)},
    {"text": "the blue circle left of a red square a circle", "image": encoded_picture(seed=2)},
]


def bundle_of(folder, model, processor, kind="prediction", runtime="onnx", precision="fp32", calibration=()):
    predictor = TorchPredictor(model, processor, kind=kind, name="tiny", revision="0")
    folder.mkdir(exist_ok=True)
    batches = [dict(predictor.reader.batch([predictor.open(row) for row in calibration]))] if calibration else []
    _write_bundle(predictor, folder, runtime, precision, batches)
    return predictor, GraphPredictor(folder)


def assert_same(predictor, bundle, rows, tolerance=TOLERANCE):
    """Alone, together, and in batches of any make-up."""
    for chosen in (rows, rows[:1], rows[1:], *([row] for row in rows)):
        opened = [predictor.open(row) for row in chosen]
        for own, other in zip(predictor.compute(opened), bundle.compute(opened), strict=True):
            assert own.keys() == other.keys()
            for name, values in own.items():
                np.testing.assert_allclose(other[name], values, atol=tolerance, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(tmp_path, fusion):
    assert_same(*bundle_of(tmp_path / "b", tiny_model(num_labels=3, fusion=fusion), tiny_processor()), ROWS)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "image"), [("distilbert", "timm resnet"), ("gpt2", "vit")])
def test_other_towers(tmp_path, text, image):
    model = tiny_model(text=text, image=image, num_labels=2)
    assert_same(*bundle_of(tmp_path / "b", model, tiny_processor()), ROWS)


@pytest.mark.slow
def test_sounds_clips_and_series(tmp_path):
    model = tiny_model(audio="timm resnet", series="patch_series", num_labels=2)
    processor = tiny_processor(audio="timm resnet", series=True)
    rows = [*sound_and_picture_rows(), {"series": {"x": [1.0, 2.0], "y": [0.5, None], "kind": "a"}}]
    assert_same(*bundle_of(tmp_path / "b", model, processor), rows)
    model = tiny_model(audio="wav2vec2", num_labels=2)
    assert_same(*bundle_of(tmp_path / "w", model, tiny_processor(audio="wav2vec2")), ROWS)  # no sound in any row
    model = tiny_model(image=None, video="timm vit", num_labels=2, num_temporal_layers=1)
    predictor, bundle = bundle_of(tmp_path / "v", model, tiny_processor(image=False, video=True))
    assert_same(predictor, bundle, example_rows(predictor.processor) + [{"text": "a"}])


@pytest.mark.slow
def test_several_tasks(tmp_path):
    tasks = {
        "kind": {"problem_type": "single_label_classification", "labels": ["a", "b"]},
        "size": {"problem_type": "regression", "labels": ["size"]},
    }
    model = tiny_model(MultimodalForMultiTask, tasks=tasks)
    predictor, bundle = bundle_of(tmp_path / "b", model, tiny_processor())
    assert_same(predictor, bundle, ROWS)
    assert set(bundle.predict(ROWS[:1])[0]) == {"kind", "size"}


@pytest.mark.slow
def test_search(tmp_path):
    model = tiny_model(MultimodalForRetrieval, embedding_size=8)
    predictor, bundle = bundle_of(tmp_path / "b", model, tiny_processor(), "retrieval")
    assert_same(predictor, bundle, ROWS)
    assert bundle.contrastive() == pytest.approx(predictor.contrastive())
    pairs = [predictor.open(row) for row in (ROWS[0], ROWS[3])]
    np.testing.assert_allclose(bundle.match_pairs(pairs), predictor.match_pairs(pairs), atol=TOLERANCE)
    opened = [predictor.open(row) for row in ROWS]
    batch = predictor.reader.batch(opened)
    for modality, own in predictor.encode(batch).items():  # those of rows that lack it are zero
        np.testing.assert_allclose(bundle.encode(batch)[modality].vectors, own.vectors, atol=TOLERANCE)
    for one in (predictor, bundle):
        with pytest.raises(InputError, match="Pairs have both modalities; row 1 lacks image"):
            one.match_pairs(opened)


@pytest.mark.slow
def test_search_among_rows_that_lack_a_modality(tmp_path):
    model, processor = tiny_model(MultimodalForRetrieval, embedding_size=8), tiny_processor()
    model.save_pretrained(tmp_path / "m")
    processor.save_pretrained(tmp_path / "m")
    pictures, words = tiny_pictures(20, seed=3), "red blue square circle a".split()
    rows = [{"t": f"{words[i % 5]} {words[i // 5]}", "p": picture} for i, picture in enumerate(pictures)]
    rows += [{"t": None, "p": picture} for picture in pictures[:12]] + [{"t": "a", "p": None}]  # alone in its batch
    own = RowSource(rows, None, {"text": "t", "image": "p"})
    report = export_model(str(tmp_path / "m"), tmp_path / "b", own)
    assert report["parity"][0]["rows"] == 20
    scores = [evaluate_retrieval(str(tmp_path / name), own, rerank=5) for name in "mb"]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)


@pytest.mark.slow
def test_texts(tmp_path):
    model, processor = tiny_generation()
    predictor, bundle = bundle_of(tmp_path / "b", model, processor, "generation")
    opened = [predictor.open(row) for row in ROWS]
    assert bundle.generate(opened, max_new_tokens=8) == predictor.generate(opened, max_new_tokens=8)
    pieces = []
    (whole,) = bundle.generate(opened[:1], on_text=pieces.append, max_new_tokens=8)
    assert "".join(pieces).strip() == whole
    for options in (*STRATEGIES.values(), {"use_cache": False}, {"num_beams": 2, "length_penalty": -2.0}):
        texts = []
        for one in (bundle, predictor):
            torch.manual_seed(0)
            texts.append(one.generate(opened, max_new_tokens=8, **options))
        assert texts[0] == texts[1], options
    asked = []
    bundle.generate(opened, max_new_tokens=8, min_new_tokens=8, should_stop=lambda: len(asked.append(1) or asked) == 3)
    assert len(asked) == 3
    with pytest.raises(InputError, match="of a single row"):
        bundle.generate(opened, on_text=pieces.append)
    with pytest.raises(InputError, match="cannot write with encoder_no_repeat_ngram_size: leave it out"):
        bundle.generate(opened, encoder_no_repeat_ngram_size=2)
    plain = bundle.generate(opened, max_new_tokens=8)
    assert bundle.generate(opened, max_new_tokens=8, cache_implementation="static") == plain
    (tmp_path / "b" / "generation_config.json").unlink()
    with pytest.raises(ValueError, match="lacks its generation_config.json: export again"):
        GraphPredictor(tmp_path / "b")


@pytest.mark.slow
def test_what_draws_is_compared_without_chance(tmp_path):
    model, processor = tiny_generation()
    model.generation_config.update(do_sample=True, num_return_sequences=2, temperature=2.0)
    model.save_pretrained(tmp_path / "m")
    processor.save_pretrained(tmp_path / "m")
    rows = RowSource([{"t": "a", "l": "b"}, {"t": "blue", "l": "b"}], None, {"text": "t", "label": "l"})
    report = export_model(str(tmp_path / "m"), tmp_path / "b", rows)
    assert report["parity"][0]["agreement"] == 1.0


@pytest.mark.slow
def test_texts_by_the_settings_they_were_saved_with(tmp_path):
    model, processor = tiny_generation()
    model.generation_config.update(num_beams=3, repetition_penalty=3.0, max_new_tokens=5, min_new_tokens=5)
    predictor, bundle = bundle_of(tmp_path / "b", model, processor, "generation")
    opened = [predictor.open(row) for row in ROWS]
    plain = predictor.generate(opened, num_beams=1, repetition_penalty=1.0)
    assert bundle.generate(opened) == predictor.generate(opened) != plain
    batch = predictor.reader.batch(opened)
    assert bundle.write(batch, {}).shape == predictor.write(batch, {}).shape == (len(ROWS), 6)
    pipeline = MultimodalGenerationPipeline(model=model, processor=processor)
    assert [pipeline({"text": "blue"})[0]["generated_text"]] == bundle.generate([predictor.open({"text": "blue"})])


@pytest.mark.slow
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder(tmp_path, decoder):
    model, processor = tiny_generation(decoder=DECODERS[decoder])
    predictor, bundle = bundle_of(tmp_path / "b", model, processor, "generation")
    opened = [predictor.open(row) for row in ROWS]
    for options in ({}, {"num_beams": 2}):
        texts = [one.generate(opened, max_new_tokens=12, **options) for one in (bundle, predictor)]
        assert texts[0] == texts[1]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_texts_by_smaller_weights(tmp_path, precision):
    check_texts(tmp_path, "onnx", precision)


@pytest.mark.slow
def test_texts_by_openvino(tmp_path):
    """And the process lives on: OpenVINO's cores, dropped in order, leave no stack for the handlers of signals."""
    pytest.importorskip("openvino")
    code = (
        "import faulthandler, gc, os, pathlib, signal, sys; from tests.export.test_export import check_texts\n"
        "faulthandler.enable()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('handled'))\n"
        "check_texts(pathlib.Path(sys.argv[1]), 'openvino', 'fp32')\n"
        "gc.collect(); os.kill(os.getpid(), signal.SIGTERM); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout.split() == ["handled", "alive"]


def check_texts(tmp_path, runtime, precision):
    model, processor = tiny_generation()
    options = {"runtime": runtime, "precision": precision}
    predictor, bundle = bundle_of(tmp_path / "b", model, processor, "generation", **options)
    batch = predictor.reader.batch([predictor.open(row) for row in ROWS])
    encoded = bundle.call("encoder", batch, len(ROWS))
    with torch.inference_mode():
        start = torch.full((len(ROWS), 1), model.config.decoder_start_token_id)
        expected = model(**batch, decoder_input_ids=start).logits[:, -1]
    np.testing.assert_allclose(encoded["logits"], expected, atol=TOLERANCE if precision == "fp32" else 0.2)
    texts = [one.generate([predictor.open(row) for row in ROWS], max_new_tokens=8) for one in (bundle, predictor)]
    assert texts[0] == texts[1] or precision != "fp32"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_smaller_weights(tmp_path, precision):
    model, processor = tiny_model(num_labels=3), tiny_processor()
    predictor, full = bundle_of(tmp_path / "full", model, processor)
    _, small = bundle_of(tmp_path / "small", model, processor, precision=precision)
    assert_same(predictor, small, ROWS, tolerance=0.3)
    with pytest.raises(AssertionError):  # it is another graph
        assert_same(predictor, small, ROWS, tolerance=1e-7)
    sizes = [sum(x.stat().st_size for x in (tmp_path / name).glob("*.onnx")) for name in ("full", "small")]
    assert sizes[1] < sizes[0]
    assert full.revision != small.revision


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_openvino(tmp_path, precision):
    pytest.importorskip("openvino")
    model, processor = tiny_model(num_labels=3), tiny_processor()
    predictor, bundle = bundle_of(
        tmp_path / "b", model, processor, runtime="openvino", precision=precision, calibration=ROWS
    )
    assert_same(predictor, bundle, ROWS, tolerance={"fp32": TOLERANCE, "fp16": 0.1, "int8": 1.0}[precision])
    assert {file.suffix for file in (tmp_path / "b").iterdir()} >= {".xml", ".bin"}
    assert not list((tmp_path / "b").glob("*.onnx"))


def test_nothing_of_this_machine_is_in_a_bundle(tmp_path):
    bundle_of(tmp_path / "b", tiny_model(num_labels=2), tiny_processor())
    content = b"".join(file.read_bytes() for file in (tmp_path / "b").iterdir() if file.is_file())
    assert b"modeling_attention.py" not in content
    assert sys.prefix.encode() not in content
    assert str(tmp_path).encode() not in content


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved model, and labelled rows of what it decides itself, so that it is right on all."""
    folder = tmp_path_factory.mktemp("saved")
    model, processor = tiny_model(num_labels=3), tiny_processor()
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    pictures = tiny_pictures(12, seed=3)
    predictor = open_predictor(str(folder / "model"))
    told = predictor.predict([{"text": "a", "image": picture} for picture in pictures], top_k=1)
    rows = [{"t": "a", "p": picture, "l": one[0]["label"]} for picture, one in zip(pictures, told, strict=True)]
    return folder / "model", rows


def source(rows, **columns):
    return RowSource(rows, None, {"text": "t", "image": "p", "label": "l", **columns})


def test_a_bundle_with_its_report(saved, tmp_path):
    folder, rows = saved
    report = export_model(str(folder), tmp_path / "bundle", source(rows), limit=10)
    (parity,) = report["parity"]
    assert (parity["metric"], parity["rows"], parity["agreement"]) == ("accuracy", 10, 1.0)
    assert parity["before"]["mean"] == parity["after"]["mean"] == 1.0
    assert parity["largest"] < TOLERANCE
    assert json.loads((tmp_path / "bundle" / PARITY).read_text())["speed"]["bundle"]["latency_ms"] > 0
    bundle, model = open_predictor(str(tmp_path / "bundle")), open_predictor(str(folder))
    assert (bundle.name, bundle.kind, bundle.manifest.revision) == ("model", "prediction", model.revision)
    row = {"text": "a", "image": encoded_picture()}
    client = create_app(bundle).test_client()
    answer = client.post("/predict", json={"text": "a", "image": base64.b64encode(row["image"]).decode()})
    told = {one["label"]: one["score"] for one in answer.json["predictions"][0]["labels"]}
    assert told == pytest.approx({one["label"]: one["score"] for one in model.predict([row])[0]}, abs=1e-5)
    refused = client.post("/predict", json={"text": "a", "explain": True})
    assert refused.status_code == 422
    assert "serve the model it was exported from" in refused.json["detail"]
    assert client.get("/info").json["explains"] is False


def test_a_bundle_that_lost_too_much_is_thrown_away(saved, tmp_path):
    folder, rows = saved
    wanted = Thresholds(difference=1e-9)
    with pytest.raises(ParityError, match=r"values differ by up to .*, 1e-09 may be \(--max-difference\)"):
        export_model(str(folder), tmp_path / "bundle", source(rows), thresholds=wanted)
    assert list(tmp_path.iterdir()) == []


def answered(right, values=0.0, decisions=None, metric="accuracy"):
    decisions = np.zeros(len(right)) if decisions is None else decisions
    return {"": Answered(metric, np.full((len(right), 2), values), decisions, np.array(right, float))}


def test_what_the_thresholds_look_at():
    good = answered([1] * 99 + [0])
    check_parity(compare_answers(good, answered([1] * 99 + [0])), Thresholds())
    with pytest.raises(ParityError, match="accuracy lost 1.00, 0.5 may be lost"):
        check_parity(compare_answers(good, answered([1] * 98 + [0, 0])), Thresholds())
    check_parity(compare_answers(good, answered([1] * 98 + [0, 0])), Thresholds(points=2))
    other = answered([1] * 99 + [0], decisions=np.arange(100) % 2)
    with pytest.raises(ParityError, match=r"50.0 % of the answers are the same, 97 % must be"):
        check_parity(compare_answers(good, other), Thresholds())
    with pytest.raises(ParityError, match="values differ by up to nan"):
        check_parity(compare_answers(good, answered([1] * 99 + [0], values=np.nan)), Thresholds())
    with pytest.raises(ParityError, match="Nothing was compared"):
        check_parity([], Thresholds())


def test_the_thresholds_of_values():
    before = answered([-1.0] * 4, values=5e4, metric="mse")
    with pytest.raises(ParityError, match="mse lost 10.00"):
        check_parity(compare_answers(before, answered([-1.1] * 4, metric="mse")), Thresholds())
    near = compare_answers(before, answered([-1.0] * 4, values=5e4 + 1, metric="mse"))
    check_parity(near, Thresholds(difference=1e-3))  # a share of what the model tells
    assert near[0].agreement is None
    with pytest.raises(ParityError, match="values differ by up to 1"):
        check_parity(near, Thresholds(difference=1e-6))
    with pytest.raises(ParityError, match="mse lost nan"):
        check_parity(compare_answers(before, answered([np.nan] * 4, metric="mse")), Thresholds())


def test_weights_that_lie_in_a_file_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "_LARGE", 1000)
    predictor, bundle = bundle_of(tmp_path / "b", tiny_model(num_labels=3), tiny_processor(), precision="fp16")
    assert (tmp_path / "b" / "model.onnx.data").is_file()
    assert_same(predictor, bundle, ROWS[:2], tolerance=0.1)


def test_strips_that_training_reads_are_compared_on(saved):
    folder, _ = saved
    row = {"image": Image.new("RGB", (2000, 4))}
    assert open_predictor(str(folder), limits=OWN_ROWS).open(row)["image"] is not None
    with pytest.raises(InputError, match="2000 x 4"):
        open_predictor(str(folder)).open(row)


def test_bad_input(saved, tmp_path):
    folder, rows = saved
    with pytest.raises(ValueError, match="Unknown runtime 'tflite'. Known: onnx, openvino"):
        export_model(str(folder), tmp_path / "b", source(rows), runtime="tflite")
    with pytest.raises(ValueError, match="Unknown precision 'int4'"):
        export_model(str(folder), tmp_path / "b", source(rows), precision="int4")
    with pytest.raises(ValueError, match="needs labels"):
        export_model(str(folder), tmp_path / "b", RowSource(rows, None, {"text": "t", "image": "p"}))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(ValueError, match="holds something else than a bundle"):
        export_model(str(folder), tmp_path / "other", source(rows))
    bundle = tmp_path / "bundle"
    export_model(str(folder), bundle, source(rows), limit=2)
    with pytest.raises(ValueError, match="holds a bundle already: give --overwrite"):
        export_model(str(folder), bundle, source(rows), limit=2)
    export_model(str(folder), bundle, source(rows), limit=2, overwrite=True)
    with pytest.raises(ValueError, match="is a bundle already"):
        export_model(str(bundle), tmp_path / "again", source(rows))
    (bundle / "model.onnx").write_bytes(b"none")
    with pytest.raises(ValueError, match="cannot be read"):
        open_predictor(str(bundle))
    (bundle / "model.onnx").unlink()
    with pytest.raises(ValueError, match="lacks its graph"):
        open_predictor(str(bundle))
    told = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**told, "format": 99}))
    with pytest.raises(ValueError, match="has format 99, not 2: export again"):
        BundleManifest.load(bundle)
    (bundle / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match="no manifest of a bundle"):
        BundleManifest.load(bundle)


def test_on_the_command_line(saved, tmp_path):
    folder, rows = saved
    data = tmp_path / "rows.jsonl"
    (tmp_path / "pictures").mkdir()
    lines = []
    for number, row in enumerate(rows):
        row["p"].save(tmp_path / "pictures" / f"{number}.png")
        lines.append(json.dumps({"t": row["t"], "p": f"pictures/{number}.png", "l": row["l"]}))
    data.write_text("\n".join(lines))
    columns = [x for pair in ("text=t", "image=p", "label=l") for x in ("--column", pair)]
    common = ["export", str(folder), "--source", str(data), *columns]
    done = CliRunner().invoke(app, [*common, "--output", str(tmp_path / "bundle"), "--fp16", "--max-lost", "50"])
    assert done.exit_code == 0, done.output
    assert "times smaller" in done.output
    both = CliRunner().invoke(app, [*common, "--output", str(tmp_path / "b"), "--fp16", "--int8"])
    assert "not both" in str(both.exception)


def test_bundles_predict_on_the_command_line(saved, tmp_path):
    folder, rows = saved
    export_model(str(folder), tmp_path / "bundle", source(rows), limit=2)
    rows[3]["p"].save(tmp_path / "p.png")
    table = [{"t": None, "p": rows[3]["p"]}, {"t": "a red square", "p": None}, {"t": "blue", "p": rows[5]["p"]}]
    datasets.Dataset.from_list(table).to_parquet(tmp_path / "rows.parquet")
    told, tables = [], []
    for model in (tmp_path / "bundle", folder):
        one = ["predict", str(model), "--text", "a", "--image", str(tmp_path / "p.png"), "--top-k", "2"]
        told.append(json.loads(invoke(*one).output))
        many = ["--source", str(tmp_path / "rows.parquet"), "--column", "text=t", "--column", "image=p"]
        invoke("predict", str(model), *many, "--output", str(tmp_path / f"of_{model.name}"))
        tables.append(pq.read_table(tmp_path / f"of_{model.name}" / "predictions.parquet"))
    assert [x["label"] for x in told[0]] == [x["label"] for x in told[1]]
    assert [x["score"] for x in told[0]] == pytest.approx([x["score"] for x in told[1]], abs=TOLERANCE)
    assert tables[0].schema == tables[1].schema
    assert tables[0]["prediction"].to_pylist() == tables[1]["prediction"].to_pylist()
    np.testing.assert_allclose(*(np.array(x["scores"].to_pylist()) for x in tables), atol=TOLERANCE)


def test_what_bundles_cannot_do_is_told(saved, tmp_path):
    folder, rows = saved
    bundle = tmp_path / "bundle"
    export_model(str(folder), bundle, source(rows), limit=2)
    many = ["--source", "scenes", "--column", "text=statement", "--output", str(tmp_path / "o")]
    for verb in ("evaluate", "embed"):
        options = ["--modality", "text"] if verb == "embed" else ["--column", "label=label"]
        with pytest.raises(ValueError, match="an exported bundle, without weights to load: predict, search, serve"):
            invoke(verb, str(bundle), *many, *options)
    with pytest.raises(ValueError, match="leave --num-samples out"):
        invoke("predict", str(bundle), "--text", "a", "--num-samples", "4")
    with pytest.raises(ValueError, match="The image '.*none.png' cannot be read"):
        invoke("predict", str(bundle), "--image", str(tmp_path / "none.png"))
    with pytest.raises(ValueError, match="Unknown modality of this model 'audio'"):
        invoke("predict", str(bundle), "--audio", str(bundle / MANIFEST))
    table = {"k": ["x", "y"], "t": ["a", None], "p": [None, {"bytes": b"none", "path": None}]}
    datasets.Dataset.from_dict(table).to_parquet(tmp_path / "rows.parquet")
    given = ["--source", str(tmp_path / "rows.parquet"), "--column", "id=k", "--column", "text=t", *many[-2:]]
    with pytest.raises(InputError, match="Row 'y': The row is empty"):
        invoke("predict", str(bundle), *given)
    with pytest.raises(InputError, match="Row 'y', column 'p': "):
        invoke("predict", str(bundle), *given, "--column", "image=p")
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_bundles_write_and_find_on_the_command_line(tmp_path):
    model, processor = tiny_generation()
    bundle_of(tmp_path / "b", model, processor, "generation")
    model.save_pretrained(tmp_path / "m")
    processor.save_pretrained(tmp_path / "m")
    datasets.Dataset.from_list([{"t": "a"}, {"t": "blue circle"}]).to_parquet(tmp_path / "rows.parquet")
    told, tables = [], []
    for name in ("b", "m"):
        told.append(json.loads(invoke("predict", str(tmp_path / name), "--text", "a", "--num-beams", "2").output))
        many = [
            "--source",
            str(tmp_path / "rows.parquet"),
            "--column",
            "text=t",
            "--output",
            str(tmp_path / f"o{name}"),
        ]
        invoke("predict", str(tmp_path / name), *many)
        tables.append(pq.read_table(tmp_path / f"o{name}" / "predictions.parquet"))
        (tmp_path / f"o{name}" / "texts.html").write_text("of earlier ones")
        invoke("predict", str(tmp_path / name), *many, "--overwrite")
        assert [file.name for file in (tmp_path / f"o{name}").iterdir()] == ["predictions.parquet"]
    assert told[0] == told[1]
    assert tables[0] == tables[1]
    retrieval = tiny_model(MultimodalForRetrieval, embedding_size=8)
    bundle_of(tmp_path / "r", retrieval, tiny_processor(), "retrieval")
    with pytest.raises(ValueError, match="is for retrieval, and predicts no labels: search an index with it"):
        invoke("predict", str(tmp_path / "r"), "--text", "a")


def invoke(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.slow
def test_a_bundle_runs_where_the_model_is_gone(saved, tmp_path):
    folder, rows = saved
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    export_model(str(copy), tmp_path / "bundle", source(rows), limit=2)
    shutil.rmtree(copy)
    code = (
        "import sys; from hf_multimodal.prediction.load import open_predictor\n"
        "print(open_predictor(sys.argv[1]).predict([{'text': 'a'}]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "bundle")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "score" in done.stdout
