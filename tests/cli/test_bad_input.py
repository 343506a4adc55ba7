# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a user can get wrong, through the command line: one line says what, where and what to do; nothing is written."""

import struct
import sys
import zlib

import pytest
import yaml
from PIL import Image
from transformers import BertConfig

from hf_multimodal.cli.main import app, run_verb
from tests.training.tiny_run import tiny_run

COLUMNS = {"text": "title", "image": "photo", "label": "kind"}


def png_header(width, height):
    """A picture that says it is large, in a few bytes."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(99))]
    packed = (struct.pack(">I", len(x) - 4) + x + struct.pack(">I", zlib.crc32(x)) for x in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / f"{name}.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[:-30])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    (tmp_path / "bare").mkdir()
    (tmp_path / "towers").mkdir()
    BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(tmp_path / "towers")
    return tmp_path


def run(folder, capsys, monkeypatch, rows, overrides=(), **changes):
    """Trains on rows, (title, photo, kind) each; returns what was printed to standard error."""
    lines = ["title,photo,kind", *(",".join(row) for row in rows)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    data = {"source": str(folder / "rows.csv"), "columns": dict(COLUMNS), "splits": {"train": "train"}}
    data.update(changes.pop("data", {}))
    (folder / "run.yaml").write_text(yaml.safe_dump(tiny_run(folder / "out", data=data, **changes)))
    monkeypatch.setattr(sys, "argv", ["hf-multimodal", "train", str(folder / "run.yaml"), *overrides])
    with pytest.raises(SystemExit) as stopped:
        run_verb(app)
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert "Saved" not in captured.out
    assert not (folder / "out").exists()
    errors = [line for line in captured.err.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, captured.err
    return errors[0]


GOOD = ("a red one", "a.png", "x")


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        (("b", "truncated.png", "y"), ["Row 1, column 'photo'", "truncated", "drop the row"]),
        (("b", "empty.png", "y"), ["Row 1, column 'photo'", "no bytes", "drop the row"]),
        (("b", "bomb.png", "y"), ["Row 1, column 'photo'", "bomb.png", "too large to decode", "Resize it"]),
        (("b", "absent.png", "y"), ["Row 1, column 'photo'", "absent.png"]),
        (("b", "rows.csv", "y"), ["Row 1, column 'photo'", "rows.csv"]),
        (("b", "../b.png", "y"), ["Row 1, column 'photo'", "leads out of"]),
        (("", "", "y"), ["Row 1", "'title'", "'photo'", "at least one modality", "drop the row"]),
        (("b", "b.png", ""), ["Row 1, column 'kind'", "missing", "drop the row"]),
    ],
)
def test_a_bad_row(folder, capsys, monkeypatch, row, parts):
    error = run(folder, capsys, monkeypatch, [GOOD, row, ("c", "b.png", "y")])
    assert [part for part in parts if part not in error] == [], error


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["data.columns.text=titel"], ["no column 'titel'", "Did you mean 'title'"]),
        (["data.problem_type=regression"], ["Row 0, column 'kind'", "'x'", "needs a number"]),
        (["data.problem_type=multi_label_classification"], ["Row 0, column 'kind'", "needs a list of labels"]),
        (["data.splits.train=trian"], ["no split 'trian'", "train"]),
        (["data.options.seperator=;"], ["seperator"]),
        (["data.sorce=x"], ["Unknown key data.sorce", "Did you mean 'source'"]),
        (["traning.seed=1"], ["Unknown key traning", "Did you mean 'training'"]),
        (["card.licence=mit"], ["Unknown key card.licence", "Did you mean 'license'"]),
        (["model.fusion=cross_atention"], ["Unknown fusion 'cross_atention'", "cross_attention"]),
        (["towers.image.architecture=resnet81"], ["resnet81", "resnet18"]),
        (["towers.text.config.vocab_size=3"], ["tokens", "embedding only 3", "resize_token_embeddings"]),
        (["towers.image={path: BARE, architecture: resnet18}"], ["image tower's folder", "bare", "no weights"]),
        (["towers.image={path: BARE}"], ["image tower's folder", "no config.json", "architecture"]),
        (["towers.text={path: TOWERS}"], ["towers"]),
        (["towers.text={path: TOWERS, tokenizer: from_rows}"], ["from_rows makes a new vocabulary"]),
    ],
)
def test_a_bad_configuration(folder, capsys, monkeypatch, overrides, parts):
    folders = {"BARE": folder / "bare", "TOWERS": folder / "towers"}
    for name, path in folders.items():
        overrides = [text.replace(name, str(path)) for text in overrides]
    error = run(folder, capsys, monkeypatch, [GOOD, ("b", "b.png", "y")], overrides)
    assert [part for part in parts if part not in error] == [], error


def test_a_label_only_validation_has(folder, capsys, monkeypatch):
    (folder / "train.csv").write_text("title,photo,kind\na,a.png,x\nb,b.png,y\n")
    (folder / "validation.csv").write_text("title,photo,kind\na,a.png,z\n")
    data = {"source": str(folder), "splits": {"train": "train", "validation": "validation"}}
    (folder / "rows.csv").unlink(missing_ok=True)
    error = run(folder, capsys, monkeypatch, [GOOD], data=data)
    assert [x for x in ["Row 0, column 'kind'", "'z' is not one of the labels", "'x', 'y'"] if x not in error] == []


def test_an_output_folder_with_another_run(folder, capsys, monkeypatch):
    (folder / "run").mkdir()
    (folder / "run" / "run_config.yaml").write_text("{}")
    error = run(folder, capsys, monkeypatch, [GOOD, ("b", "b.png", "y")], [f"output_dir={folder / 'run'}"])
    assert "holds another run" in error
    assert [x.name for x in (folder / "run").iterdir()] == ["run_config.yaml"]


def test_unusual_rows_are_fine(folder, capsys, monkeypatch):
    """Grey, palette and transparent pictures are converted; an empty text, and one modality of two, are rows."""
    for mode in ("L", "P", "RGBA", "CMYK", "I;16"):
        Image.new(mode, (5, 7)).save(folder / ("cmyk.jpg" if mode == "CMYK" else f"{mode.replace(';', '')}.png"))
    names = ["L.png", "P.png", "RGBA.png", "cmyk.jpg", "I16.png", ""]
    rows = "".join(f"{'' if i == 0 else 'text'},{name},{'xy'[i % 2]}\n" for i, name in enumerate(names))
    (folder / "rows.csv").write_text("title,photo,kind\n" + rows)
    data = {"source": str(folder / "rows.csv"), "columns": COLUMNS, "splits": {"train": "train"}}
    (folder / "run.yaml").write_text(yaml.safe_dump(tiny_run(folder / "out", data=data)))
    monkeypatch.setattr(sys, "argv", ["hf-multimodal", "train", str(folder / "run.yaml")])
    with pytest.raises(SystemExit) as stopped:
        run_verb(app)
    assert not stopped.value.code, capsys.readouterr().err
    assert (folder / "out" / "model.safetensors").is_file()
