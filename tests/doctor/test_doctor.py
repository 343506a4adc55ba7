# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The doctor finds every planted fault, says nothing untrue of clean rows, and leaves the source alone."""

import io
import json
import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from hf_multimodal.cli.main import app
from hf_multimodal.doctor.checkup import examine, write_cleaned
from hf_multimodal.doctor.findings import KINDS
from hf_multimodal.doctor.scan import normalised
from hf_multimodal.modeling.audio_opening import encode_wav
from hf_multimodal.training.run_config import RunConfig

REAL = Path(os.environ.get("HF_MULTIMODAL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fashion_products"
ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
WORDS = "red green blue round square long short soft hard warm cold new old plain fine".split()


def encoded(picture, kind="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return {"bytes": buffer.getvalue(), "path": None}


def drawn(rng, size=(48, 48)):
    picture = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        corners = sorted(rng.randrange(size[0]) for _ in range(2)), sorted(rng.randrange(size[1]) for _ in range(2))
        (left, right), (top, bottom) = corners
        draw.rectangle((left, top, right, bottom), fill=tuple(rng.randrange(256) for _ in range(3)))
    return picture


def tone(rng, rate=16_000):
    samples = 0.3 * np.sin(np.arange(rate // 10) * rng.uniform(0.05, 0.6)).astype(np.float32)
    return {"bytes": encode_wav((samples, rate)), "path": None}


def clean_rows(split, count, seed):
    rng = random.Random(seed)
    return [
        {
            "key": f"{split} {i}",
            "title": " ".join(rng.sample(WORDS, 5)) + f" {split} {i}",
            "photo": encoded(drawn(rng)),
            "sound": tone(rng),
            "price": rng.uniform(1, 9),
            "kind": rng.choice(["cap", "shoe", "belt"]),
        }
        for i in range(count)
    ]


def write_set(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in rows.items():
        pq.write_table(pa.Table.from_pylist(part), folder / f"{split}.parquet")
    return folder


def clean_set():
    return {split: clean_rows(split, count, seed) for seed, (split, count) in enumerate(COUNTS.items())}


COUNTS = {"train": 90, "validation": 30, "test": 30}


def run_of(source, **changes):
    audio = {"num_mel_bins": 16, "sampling_rate": 16_000, "max_seconds": 0.2}
    timm = {"architecture": "resnet18", "model_args": {"channels": [8, 8, 8, 8]}}
    values = {
        "output_dir": "run",
        "data": {
            "source": str(source),
            "columns": {
                "id": "key",
                "text": "title",
                "image": "photo",
                "audio": "sound",
                "series": ["price"],
                "label": "kind",
            },
            "max_length": 12,
        },
        "towers": {
            "text": {"tokenizer": "from_rows", "config": {"model_type": "bert", **ENCODER}},
            "image": {**timm, "image_size": 32},
            "audio": {**timm, "preprocessing": audio},
            "series": {"config": {"model_type": "patch_series", "d_model": 16}},
        },
        "model": dict(ENCODER),
    }
    for name, value in changes.items():
        values["data"][name] = value
    return values


def found(values):
    examination = examine(RunConfig.from_dict(values))
    kinds: dict = {}
    for finding in examination.findings:
        kinds.setdefault(finding.kind, []).append(finding)
    assert set(kinds) <= set(KINDS)
    return kinds, examination


def rows_of(findings):
    return {f"{split}/{row}" for finding in findings for split, row, _ in finding.places}


def test_nothing_untrue_of_clean_rows(tmp_path):
    kinds, examination = found(run_of(write_set(tmp_path / "clean", clean_set())))
    assert set(kinds) == {"versions", "given_away", "memory"}
    assert {x.severity for x in examination.findings} == {"note"}
    assert not examination.dropped
    assert "activations" in kinds["memory"][0].message


def planted(rows):
    """Plants faults, and returns kind -> the rows that it should be found in."""
    train, validation, test = rows["train"], rows["validation"], rows["test"]
    train[0]["photo"] = {"bytes": train[0]["photo"]["bytes"][:60], "path": None}  # cut off
    train[1]["sound"] = {"bytes": b"RIFFnothing", "path": None}
    train[2].update(title=None, photo=None, sound=None, price=None)
    train[3]["photo"] = None
    train[4]["title"] = "  "
    train[5]["title"] = " ".join(WORDS) + " and more words than it takes"
    train[6]["key"] = "train 7"
    train[9].update({**train[8], "key": "train 9"})
    test[0].update({**train[10], "key": "test 0"})
    picture = drawn(random.Random(7))
    train[11].update(photo=encoded(picture, "PNG"), title="the same words", sound=None)
    alike = {"title": "The same words!", "sound": None, "price": train[11]["price"]}
    test[1].update(alike, photo=encoded(picture.resize((96, 96)).resize((48, 48)), "PNG"))
    validation[1]["sound"] = train[12]["sound"]
    train[14].update(photo=train[13]["photo"])
    same = {name: train[15][name] for name in ("title", "photo", "sound", "price")}
    train[16].update(same, kind="cap")
    train[15]["kind"] = "belt"
    train[17]["kind"] = None
    validation[2]["kind"] = "hat"
    train[18]["kind"] = "scarf"
    train[19]["photo"] = encoded(drawn(random.Random(8), (12, 12)))
    train[20]["photo"] = encoded(drawn(random.Random(9), (200, 40)))
    train[21]["photo"] = encoded(Image.new("RGB", (48, 48), (10, 20, 30)))
    train[22]["sound"] = {"bytes": encode_wav((np.zeros(2000, dtype=np.float32), 16_000)), "path": None}
    train[23]["sound"] = tone(random.Random(10), rate=8000)
    train[24]["price"] = float("inf")
    return {
        "unreadable": {"train/train 0", "train/train 1"},
        "nothing_there": {"train/train 2"},
        "modality_missing": {"train/train 3"},
        "empty_text": {"train/train 4"},
        "long_text": {"train/train 5"},
        "duplicate_id": {"train/train 7"},
        "duplicate_row": {"train/train 9"},
        "leaked_row": {"train/train 10"},
        "near_duplicate": {"train/train 11"},
        "shared_media": {"train/train 12"},
        "many_texts": {"train/train 13", "train/train 14"},
        "conflicting_label": {"train/train 15", "train/train 16"},
        "bad_label": {"train/train 17"},
        "unseen_label": {"validation/validation 2"},
        "imbalance": {"train/train 18"},
        "small_picture": {"train/train 19"},
        "odd_shape": {"train/train 20"},
        "blank_picture": {"train/train 21"},
        "silence": {"train/train 22"},
        "low_rate": {"train/train 23"},
        "broken_series": {"train/train 24"},
    }


def test_every_planted_fault_is_found(tmp_path):
    rows = clean_set()
    expected = planted(rows)
    source = write_set(tmp_path / "bad", rows)
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    values = run_of(source)
    kinds, examination = found(values)
    missed = {kind: places for kind, places in expected.items() if not places <= rows_of(kinds.get(kind, []))}
    assert not missed
    exact = set(expected) - {"modality_missing", "many_texts"}  # copies of rows share pictures, too
    for kind in exact:
        assert rows_of(kinds[kind]) == expected[kind], kind
    assert len(expected) >= 12
    assert examination.has_errors

    config = RunConfig.from_dict(values)
    counts = write_cleaned(config, examination, tmp_path / "good")
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before
    # left out: two that cannot be opened, an empty one, a doubled id, a doubled row, a leaked one, a missing label, an
    # infinite number; and in validation a label that training lacks
    assert counts == {"train": 90 - 8, "validation": 29, "test": 30}
    with pytest.raises(ValueError, match="is there already: give a new folder"):
        write_cleaned(config, examination, tmp_path / "good")
    again, cleaned = found(run_of(tmp_path / "good"))
    assert not cleaned.has_errors
    errors = {"unreadable", "nothing_there", "duplicate_id", "leaked_row", "bad_label", "unseen_label", "broken_series"}
    assert not errors & set(again)
    first = pq.read_table(tmp_path / "good" / "train.parquet").to_pylist()[0]
    assert first == {name: rows["train"][3][name] for name in first}  # the first that is left, as it was
    assert set(first) == set(rows["train"][0])


def test_a_label_that_the_words_give_away(tmp_path):
    rows = clean_set()
    for part in rows.values():
        for row in part:
            row["title"] += f" {row['kind']}"
    kinds, _ = found(run_of(write_set(tmp_path / "told", rows)))
    (told,) = [finding for finding in kinds["given_away"] if finding.severity == "warning"]
    assert "text alone gets 100.0%" in told.message


def test_constant_channels_and_small_memory(tmp_path, monkeypatch):
    rows = clean_set()
    for part in rows.values():
        for row in part:
            row["price"] = 3.0
    monkeypatch.setattr("hf_multimodal.doctor.environment_checks.free_memory", lambda: 1000)
    kinds, _ = found(run_of(write_set(tmp_path / "same", rows)))
    assert "channels price have the same number" in kinds["constant_series"][0].message
    assert kinds["memory"][0].severity == "warning"


def test_versions_that_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_multimodal.doctor.environment_checks.requires", lambda name: ["torch<1", "nosuch"])
    kinds, _ = found(run_of(write_set(tmp_path / "clean", clean_set())))
    assert kinds["versions"][0].severity == "error"
    assert "nosuch is missing" in kinds["versions"][0].message


def test_a_tower_that_cannot_be_built(tmp_path):
    values = run_of(write_set(tmp_path / "clean", clean_set()))
    values["towers"]["image"]["architecture"] = "resnet81"
    kinds, examination = found(values)
    assert "resnet81" in kinds["configuration"][0].message
    assert examination.has_errors


def test_rows_that_cannot_be_read(tmp_path):
    kinds, examination = found(run_of(tmp_path / "nowhere"))
    assert "nowhere" in kinds["configuration"][0].message
    with pytest.raises(ValueError, match="nothing to clean"):
        write_cleaned(RunConfig.from_dict(run_of(tmp_path)), examination, tmp_path / "x")


def test_captions_of_one_picture_are_no_repetition(tmp_path):
    rows = {
        split: [{**row, "caption": f"{row['key']} {i}"} for row in part for i in range(2)]
        for split, part in clean_set().items()
    }
    columns = {"image": "photo", "label": "caption"}
    values = run_of(write_set(tmp_path / "captions", rows), columns=columns)
    values.update(task="generation", towers={"image": values["towers"]["image"]}, decoder={"tokenizer": "from_rows"})
    kinds, examination = found(values)
    assert not {"duplicate_row", "conflicting_label", "unseen_label"} & set(kinds)
    assert not examination.has_errors


def test_lists_of_captions(tmp_path):
    rows = {
        split: [{**row, "captions": [row["title"], "short"]} for row in part] for split, part in clean_set().items()
    }
    values = run_of(write_set(tmp_path / "lists", rows), columns={"image": "photo", "text": "captions", "id": "key"})
    values.update(task="retrieval", towers={name: values["towers"][name] for name in ("text", "image")})
    kinds, _ = found(values)
    assert not {"configuration", "long_text"} & set(kinds)
    assert "memory" in kinds


@pytest.mark.parametrize("kind", ["values", "answers"])
def test_labels_that_training_need_not_have(kind, tmp_path):
    rng = random.Random(1)
    rows = clean_set()
    for part in rows.values():
        for row in part:
            row["kind"] = [rng.random(), rng.random()] if kind == "values" else ["yes", f"perhaps {row['key']}", "no"]
    values = run_of(write_set(tmp_path / kind, rows))
    values["task"] = "classification" if kind == "values" else "question_answering"
    kinds, _ = found(values)
    assert not {"unseen_label", "bad_label"} & set(kinds)
    assert ("imbalance" in kinds) is (kind == "answers")  # that some answers are rare is true


def test_texts_that_differ_in_signs_are_others():
    for one, other in (("3 + 4", "3 - 4"), ("C++", "C#"), ("😀", "😡"), ("का", "की")):
        assert normalised(one) != normalised(other)
    assert normalised("The  same words!") == normalised("the same words")


def test_series_that_are_none(tmp_path):
    rows = clean_set()
    for part in rows.values():
        for row in part:
            row["steps"] = [1.0, 2.0]
    rows["train"][0]["steps"] = []
    columns = {"id": "key", "text": "title", "series": "steps", "label": "kind"}
    values = run_of(write_set(tmp_path / "series", rows), columns=columns)
    values["towers"] = {name: values["towers"][name] for name in ("text", "series")}
    kinds, _ = found(values)
    assert rows_of(kinds["unreadable"]) == {"train/train 0"}


def test_the_command(tmp_path):
    rows = clean_set()
    rows["train"][0]["kind"] = None
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run_of(write_set(tmp_path / "bad", rows))))
    arguments = ["doctor", str(tmp_path / "run.yaml"), "--output", str(tmp_path / "found.json"), "--fix"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "good")])
    assert result.exit_code == 1
    assert "error    bad_label" in result.output
    assert "rows: train/train 0" in result.output
    assert "1 errors" in result.output
    listed = json.loads((tmp_path / "found.json").read_text())
    assert [x["places"] for x in listed if x["kind"] == "bad_label"] == [[{"split": "train", "row": "train 0"}]]
    result = CliRunner().invoke(app, [*arguments[:2], f"data.source={tmp_path / 'good'}"])
    assert result.exit_code == 0
    assert "0 errors" in result.output


@pytest.mark.skipif(not REAL.is_dir(), reason="no fashion products: HF_MULTIMODAL_DATA names the folder")
def test_faults_planted_in_real_products(tmp_path):
    columns = {"text": "text", "image": "image", "label": "gender", "id": "id"}
    parts = {}
    for split, count in {"train": 300, "validation": 60, "test": 60}.items():
        (file,) = REAL.glob(f"data/{split}-*.parquet")
        parts[split] = pq.read_table(file, columns=list(columns.values())).slice(0, count).to_pylist()
    train, test = parts["train"], parts["test"]
    train[0]["image"]["bytes"] = train[0]["image"]["bytes"][:900]
    train[1]["image"] = {"bytes": b"<svg/>", "path": None}
    train[2].update(image=None, text=None)
    train[3]["text"] = "\n"
    train[4]["text"] = train[4]["text"] * 20
    train[5]["id"] = train[6]["id"]
    train[8].update(image=train[7]["image"], text=train[7]["text"].upper(), gender=train[7]["gender"])
    test[0].update(image=train[9]["image"], text=train[9]["text"], gender=train[9]["gender"])
    photo = Image.open(io.BytesIO(train[10]["image"]["bytes"]))
    test[1].update(image=encoded(photo, "JPEG"), text=train[10]["text"])
    test[2]["image"] = train[11]["image"]
    train[12].update(image=train[13]["image"], text=train[13]["text"], gender="Robot")
    train[14]["gender"] = None
    parts["validation"][0]["gender"] = "Nobody"
    train[15]["image"] = encoded(photo.resize((300, 40)))
    train[16]["image"] = encoded(Image.new("RGB", (224, 224), "white"))
    train[17]["image"] = encoded(photo.resize((20, 20)))
    values = run_of(write_set(tmp_path / "real", parts), columns=columns)
    values["towers"] = {name: values["towers"][name] for name in ("text", "image")}
    kinds, _ = found(values)
    ids = [f"train/{row['id']}" for row in train]
    for kind, places in {
        "unreadable": {ids[0], ids[1]},
        "nothing_there": {ids[2]},
        "empty_text": {ids[3]},
        "long_text": {ids[4]},
        "duplicate_id": {ids[5]},
        "duplicate_row": {ids[8]},
        "leaked_row": {ids[9]},
        "near_duplicate": {ids[10]},
        "shared_media": {ids[11]},
        "conflicting_label": {ids[12], ids[13]},
        "bad_label": {ids[14]},
        "odd_shape": {ids[15]},
        "blank_picture": {ids[16]},
        "small_picture": {ids[17]},
        "imbalance": {ids[12]},
    }.items():
        assert places <= rows_of(kinds.get(kind, [])), kind
    assert "'Nobody'" in kinds["unseen_label"][0].message
