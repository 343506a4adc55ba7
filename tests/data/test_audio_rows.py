# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows with sounds, from any source to a batch; what is wrong is named by row and column."""

import io

import datasets
import numpy as np
import pytest
import soundfile

from hf_multimodal.data.collator import MultimodalCollator, RowError, check_rows
from hf_multimodal.data.loading import load_rows
from tests.tiny import tiny_processor, tiny_sounds

RATE = 8000


def wav(samples):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


SOUNDS = tiny_sounds(RATE)
COLUMNS = {"audio": "clip", "label": "kind"}


def sources(folder):
    """The same three rows in every form; the last one has no sound."""
    for index, sound in enumerate(SOUNDS[:2]):
        (folder / f"{index}.wav").write_bytes(wav(sound))
    (folder / "rows.csv").write_text("clip,kind\n0.wav,x\n1.wav,y\n,x\n")
    undecoded = [{"bytes": wav(x), "path": None} for x in SOUNDS[:2]] + [None]
    kinds = {"kind": ["x", "y", "x"]}
    dataset = datasets.Dataset.from_dict({"clip": undecoded, **kinds})
    dataset = dataset.cast_column("clip", datasets.Audio(decode=False))
    (folder / "table").mkdir()
    dataset.to_parquet(folder / "table" / "train.parquet")
    given = [{"array": x, "sampling_rate": RATE} for x in SOUNDS[:2]] + [None]
    return {
        "csv": str(folder / "rows.csv"),
        "dataset": dataset,
        "parquet": str(folder / "table"),
        "samples": [{"clip": x, "kind": k} for x, k in zip(given, kinds["kind"], strict=True)],
        "bytes": [{"clip": x and x["bytes"], "kind": k} for x, k in zip(undecoded, kinds["kind"], strict=True)],
    }


@pytest.mark.parametrize("kind", ["csv", "dataset", "parquet", "samples", "bytes"])
@pytest.mark.parametrize("streaming", [False, True])
def test_sounds_from_any_source(tmp_path, kind, streaming):
    rows = list(load_rows(sources(tmp_path)[kind], split=None, columns=COLUMNS, streaming=streaming))
    collator = MultimodalCollator(tiny_processor(text=False, image=False, audio="timm resnet"), None, COLUMNS)
    opened = [collator.read_row(row, row["row_id"])["audio"] for row in rows[:2]]
    for found, expected in zip(opened, SOUNDS, strict=False):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert collator(rows[:2])["audio_values"].shape[0] == 2
    with pytest.raises(RowError, match=r"Row 2 has nothing in any of its columns 'clip'"):
        collator(rows)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (b"no sound", r"Row 0, column 'clip': this is not a sound that can be read"),
        (wav(np.zeros(0, np.float32)), r"Row 0, column 'clip': the sound has no samples"),
        (b"", r"Row 0, column 'clip': the sound holds no bytes"),
    ],
    ids=["no sound", "no samples", "no bytes"],  # the bytes hold the time of day: each process would name its own
)
def test_bad_sounds_are_named(clip, message):
    rows = load_rows([{"clip": clip, "kind": "x"}], split=None, columns=COLUMNS)
    collator = MultimodalCollator(tiny_processor(text=False, image=False, audio="timm resnet"), None, COLUMNS)
    with pytest.raises(RowError, match=message):
        check_rows(rows, collator)


def test_samples_without_a_rate_are_named():
    with pytest.raises(ValueError, match=r"Row 0, column 'clip': .*sampling_rate=None"):
        load_rows([{"clip": {"array": SOUNDS[0], "sampling_rate": None}, "kind": "x"}], split=None, columns=COLUMNS)
