# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows with clips, from any source to a batch; what is wrong is named by row and column."""

import datasets
import numpy as np
import pytest

from hf_multimodal.data.collator import MultimodalCollator, RowError, check_rows
from hf_multimodal.data.loading import load_rows
from hf_multimodal.modeling.video_opening import encode_video, sample_frames
from tests.tiny import NUM_FRAMES, SIDE, tiny_clips, tiny_processor

CLIPS = tiny_clips((4, 2))
COLUMNS = {"video": "film", "label": "kind"}


def collator():
    return MultimodalCollator(tiny_processor(text=False, image=False, video=True), None, COLUMNS)


def sources(folder):
    """The same three rows in every form; the last one has no clip."""
    encoded = [encode_video(clip) for clip in CLIPS]
    for index, clip in enumerate(encoded):
        (folder / f"{index}.png").write_bytes(clip)
    (folder / "rows.csv").write_text("film,kind\n0.png,x\n1.png,y\n,x\n")
    undecoded = [{"bytes": x, "path": None} for x in encoded] + [None]
    kinds = ["x", "y", "x"]
    dataset = datasets.Dataset.from_dict({"film": undecoded, "kind": kinds})
    (folder / "table").mkdir()
    dataset.to_parquet(folder / "table" / "train.parquet")
    return {
        "csv": str(folder / "rows.csv"),
        "dataset": dataset.cast_column("film", datasets.Video(decode=False)),
        "parquet": str(folder / "table"),
        "arrays": [{"film": x, "kind": k} for x, k in zip([*CLIPS, None], kinds, strict=True)],
        "frames": [{"film": x and list(x), "kind": k} for x, k in zip([*map(list, CLIPS), None], kinds, strict=True)],
        "bytes": [{"film": x, "kind": k} for x, k in zip([*encoded, None], kinds, strict=True)],
    }


@pytest.mark.parametrize("kind", ["csv", "dataset", "parquet", "arrays", "frames", "bytes"])
@pytest.mark.parametrize("streaming", [False, True])
def test_clips_from_any_source(tmp_path, kind, streaming):
    rows = list(load_rows(sources(tmp_path)[kind], split=None, columns=COLUMNS, streaming=streaming))
    opened = [collator().read_row(row, row["row_id"])["video"] for row in rows[:2]]
    for found, clip in zip(opened, CLIPS, strict=True):
        np.testing.assert_array_equal(found, clip[sample_frames(len(clip), NUM_FRAMES)])
    assert collator()(rows[:2])["pixel_values_videos"].shape == (2, NUM_FRAMES, 3, SIDE, SIDE)
    with pytest.raises(RowError, match=r"Row 2 has nothing in any of its columns 'film'"):
        collator()(rows)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (b"no clip", r"Row 0, column 'film': this is not a clip that can be read"),
        (b"", r"Row 0, column 'film': the clip holds no bytes"),
        ("nowhere.mp4", r"Row 0, column 'film': there is no file 'nowhere.mp4'"),
    ],
)
def test_bad_clips_are_named(clip, message):
    rows = load_rows([{"film": clip, "kind": "x"}], split=None, columns=COLUMNS)
    with pytest.raises(RowError, match=message):
        check_rows(rows, collator())


def test_clips_may_not_lie_elsewhere(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "rows.csv").write_text("film,kind\n../secret.mp4,x\n")
    with pytest.raises(ValueError, match=r"Row 0, column 'film': '../secret.mp4' leads out of"):
        load_rows(tmp_path / "inner" / "rows.csv", split=None, columns=COLUMNS)


def test_what_cannot_be_a_clip():
    with pytest.raises(ValueError, match="which cannot be clips. Map a column of clips"):
        load_rows(datasets.Dataset.from_dict({"film": [3.0]}), split=None, columns={"video": "film"})
    with pytest.raises(ValueError, match=r"Row 0, column 'film': an array of dtype int64"):
        load_rows([{"film": np.zeros((1, 2, 2, 3), int), "kind": "x"}], split=None, columns=COLUMNS)
