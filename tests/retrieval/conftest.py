# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved tiny retrieval model and rows to search among."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_multimodal import MultimodalForRetrieval
from hf_multimodal.data.scene_pictures import COLOURS
from hf_multimodal.data.scenes import make_scenes
from hf_multimodal.training.row_source import RowSource
from tests.tiny import tiny_model, tiny_processor

NUM_ITEMS = 12


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model(MultimodalForRetrieval, embedding_size=8).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


def make_items(count=NUM_ITEMS, prefix="item"):
    """Rows of photo, title, colour and price."""
    scenes = make_scenes(num_rows=-(-count // 2) * 4, image_size=32, seed=5)  # two pictures in four rows
    photos = list({row["picture"]: row["image"] for row in scenes}.values())
    return [
        {
            "key": f"{prefix} {i}",
            "photo": photos[i],
            "title": f"a {COLOURS[i % 3]} square",
            "colour": COLOURS[i % 3],
            "price": float(i),
        }
        for i in range(count)
    ]


def write_items(file, items):
    stored = []
    for item in items:
        photo = item["photo"]
        if photo is not None and not isinstance(photo, dict):
            buffer = io.BytesIO()
            photo.save(buffer, "PNG")
            photo = {"bytes": buffer.getvalue(), "path": None}
        stored.append({**item, "photo": photo})
    pq.write_table(pa.Table.from_pylist(stored), file)
    return file


@pytest.fixture(scope="session")
def items_file(tmp_path_factory):
    return write_items(tmp_path_factory.mktemp("rows") / "items.parquet", make_items())


def row_source(file, **columns):
    return RowSource(source=str(file), split=None, columns={"image": "photo", "text": "title", "id": "key", **columns})


@pytest.fixture(scope="session")
def rows(items_file):
    return row_source(items_file)
