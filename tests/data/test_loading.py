# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Mapping columns: canonical names, row ids, kept columns, and every refusal."""

import datasets
import pytest

from hf_multimodal.data.loading import load_rows

ROWS = [
    {"title": "a", "picture": b"x", "answer": "yes", "key": "k0", "shop": "north", "price": 5},
    {"title": None, "picture": None, "answer": "no", "key": "k1", "shop": "south", "price": 6},
]
COLUMNS = {"text": "title", "image": "picture", "label": "answer"}


def load(columns=COLUMNS, rows=ROWS, **arguments):
    return load_rows(rows, split="train", columns=columns, **arguments)


@pytest.mark.parametrize("streaming", [False, True])
def test_canonical_columns(streaming):
    rows = load(streaming=streaming)
    assert isinstance(rows, datasets.IterableDataset if streaming else datasets.Dataset)
    assert set(rows.column_names) == {"text", "image", "label", "row_id"}
    assert rows.features["image"] == datasets.Image(decode=False)
    first, second = rows
    assert first == {"text": "a", "image": {"bytes": b"x", "path": None}, "label": "yes", "row_id": 0}
    assert second == {"text": None, "image": None, "label": "no", "row_id": 1}


@pytest.mark.parametrize("streaming", [False, True])
def test_id_and_kept_columns(streaming):
    rows = list(load({**COLUMNS, "id": "key"}, keep=["shop", "price"], streaming=streaming))
    assert [row["row_id"] for row in rows] == ["k0", "k1"]
    assert [(row["shop"], row["price"]) for row in rows] == [("north", 5), ("south", 6)]
    assert "key" not in rows[0]


@pytest.mark.parametrize("streaming", [False, True])
def test_columns_may_swap_names(streaming):
    rows = [{"text": "cat", "label": "a photo of a cat"}]
    assert list(load({"text": "label", "label": "text"}, rows, streaming=streaming)) == [
        {"text": "a photo of a cat", "label": "cat", "row_id": 0}
    ]


def test_streamed_rows_of_unknown_columns():
    def generate():
        yield from ROWS

    streamed = datasets.IterableDataset.from_generator(generate)
    assert next(iter(load(rows=streamed)))["image"] == {"bytes": b"x", "path": None}
    with pytest.raises(ValueError, match=r"no column 'titel'. Did you mean 'title'\?"):
        load({"text": "titel"}, rows=streamed)


def test_streamed_rows_are_read_lazily():
    def generate():
        yield ROWS[0]
        yield ROWS[1]
        pytest.fail("read further than asked for")

    rows = load(rows=datasets.IterableDataset.from_generator(generate))
    assert next(iter(rows))["text"] == "a"


def test_unset_columns_are_passed_over():
    assert set(load({**COLUMNS, "label": None}).column_names) == {"text", "image", "row_id"}


def test_images_stay_undecoded():
    features = datasets.Features({"picture": datasets.Image()})
    rows = datasets.Dataset.from_dict({"picture": [{"bytes": b"no image", "path": None}]}, features=features)
    assert load({"image": "picture"}, rows)[0]["image"] == {"bytes": b"no image", "path": None}


@pytest.mark.parametrize(
    ("columns", "keep", "message"),
    [
        ({"txt": "title"}, (), r"Unknown column name 'txt'. Did you mean 'text'\? Known: text, image.*label, id"),
        ({"label": "answer"}, (), r"columns maps no modality. Map at least one of text, image"),
        ({"text": "titel"}, (), r"no column 'titel'. Did you mean 'title'\? Columns there are: title, picture, answer"),
        ({"text": "zzz"}, (), r"no column 'zzz'. Columns there are: title"),
        ({"text": "title"}, ["shp"], r"no column 'shp'. Did you mean 'shop'\?"),
        ({"text": "title", "label": "title"}, (), r"Column 'title' is named more than once"),
        ({"text": "title"}, ["title"], r"Column 'title' is named more than once"),
        ({"text": "price"}, (), r"Column 'price' holds Value\('int64'\), which cannot be text. Convert it to strings"),
        ({"image": "price"}, (), r"Row 0, column 'price': a value of type int is not an image"),
        ({"text": "title", "id": "picture"}, (), r"Column 'picture' holds .*cannot be ids. Convert it to strings"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_refusals(columns, keep, message, streaming):
    with pytest.raises(ValueError, match=message):
        load(columns, keep=keep, streaming=streaming)


def test_column_that_cannot_hold_images():
    rows = datasets.Dataset.from_list([{"title": "a", "price": 5}])
    with pytest.raises(ValueError, match=r"Column 'price' holds .*cannot be images. Map a column of images"):
        load({"image": "price"}, rows)


@pytest.mark.parametrize("name", ["label", "row_id"])
def test_kept_columns_may_not_take_canonical_names(name):
    with pytest.raises(ValueError, match=rf"keep cannot hold '{name}', which is one of the package's own names"):
        load({"text": "title"}, [{"title": "a", name: "x"}], keep=[name])


@pytest.mark.parametrize("streaming", [False, True])
def test_no_rows(streaming):
    empty = datasets.Dataset.from_dict({"title": []}, features=datasets.Features({"title": datasets.Value("string")}))
    with pytest.raises(ValueError, match="The source has no rows"):
        list(load({"text": "title"}, empty, streaming=streaming))
