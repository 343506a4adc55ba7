# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Opening sources: every kind, its splits, its options, and every refusal."""

import json

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_multimodal.data.loading import load_rows
from hf_multimodal.modeling.image_opening import ImageError, open_image

TEXT = {"text": "title"}
BOTH = {"text": "title", "image": "picture"}


def load(source, split="train", columns=BOTH, **arguments):
    return load_rows(source, split=split, columns=columns, **arguments)


def write_images(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (index, 0, 0)).save(folder / name)


def write_parquet(path, titles):
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [{"bytes": b"blob", "path": f"{title}.png"} for title in titles]
    features = datasets.Features({"title": datasets.Value("string"), "picture": datasets.Image()})
    datasets.Dataset.from_dict({"title": titles, "picture": pictures}, features=features).to_parquet(path)


def reds(rows):
    return [None if row["image"] is None else open_image(row["image"]).getpixel((0, 0))[0] for row in rows]


@pytest.fixture
def csv_file(tmp_path):
    write_images(tmp_path / "pictures", ["0.png", "1.png"])
    path = tmp_path / "rows.csv"
    path.write_text("title,picture\nfirst,pictures/0.png\nsecond,\nthird,pictures/1.png\n")
    return path


def test_scenes():
    columns = {"text": "statement", "image": "image", "label": "label", "id": "id"}
    rows = load("scenes", "test", columns, num_rows=8, seed=1)
    assert len(rows) == 8
    assert rows["row_id"][0] == "test-000000"
    assert open_image(rows[0]["image"]).size == (64, 64)


def test_scenes_refusals():
    with pytest.raises(ValueError, match=r"no split 'dev' of 'scenes'.*train, validation, test"):
        load("scenes", "dev")
    with pytest.raises(ValueError, match=r"Say which split to read of 'scenes'"):
        load("scenes", None)
    with pytest.raises(ValueError, match=r"Unknown option of the scenes dataset 'rows'.*Known: num_rows, seed"):
        load("scenes", rows=4)
    with pytest.raises(ValueError, match=r"The scenes dataset takes no option, but got revision"):
        load("scenes", revision="main", num_rows=4)


@pytest.mark.parametrize("streaming", [False, True])
def test_csv(csv_file, streaming):
    rows = list(load(csv_file, streaming=streaming))
    assert [row["text"] for row in rows] == ["first", "second", "third"]
    assert reds(rows) == [0, None, 1]
    assert sorted(path.name for path in csv_file.parent.iterdir()) == ["pictures", "rows.csv"]


def test_table_formats(tmp_path, csv_file):
    records = [{"title": "a", "picture": "pictures/0.png"}, {"title": "b", "picture": None}]
    (tmp_path / "rows.tsv").write_text(csv_file.read_text().replace(",", "\t"))
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    (tmp_path / "rows.json").write_text(json.dumps(records))
    write_parquet(tmp_path / "rows.parquet", ["a", "b"])
    assert reds(load(tmp_path / "rows.tsv")) == [0, None, 1]
    assert reds(load(tmp_path / "rows.jsonl")) == [0, None]
    assert reds(load(str(tmp_path / "rows.json"))) == [0, None]
    assert load(tmp_path / "rows.parquet")["image"][1] == {"bytes": b"blob", "path": "b.png"}


def test_options_reach_the_reader(csv_file):
    csv_file.write_text("title;picture\na;pictures/0.png\n")
    assert load(csv_file, sep=";")["text"][:] == ["a"]


def test_split_of_a_file_is_in_its_name(tmp_path):
    for name in ("rows.parquet", "valid.parquet", "test-00000-of-00001.parquet"):
        write_parquet(tmp_path / name, [name])
    assert len(load(tmp_path / "rows.parquet", "train")) == 1
    assert len(load(tmp_path / "valid.parquet", "validation")) == 1
    assert len(load(tmp_path / "test-00000-of-00001.parquet", None)) == 1
    with pytest.raises(ValueError, match=r"no split 'test' of '.*rows.parquet'. Splits there are: train"):
        load(tmp_path / "rows.parquet", "test")


@pytest.mark.parametrize("inside", [".", "data"])
@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_folder(tmp_path, inside, streaming):
    write_parquet(tmp_path / inside / "train-00000-of-00002.parquet", ["a", "b"])
    write_parquet(tmp_path / inside / "train-00001-of-00002.parquet", ["c"])
    write_parquet(tmp_path / inside / "test-00000-of-00001.parquet", ["d"])
    assert [row["text"] for row in load(tmp_path, streaming=streaming)] == ["a", "b", "c"]
    assert [row["text"] for row in load(tmp_path, "test", streaming=streaming)] == ["d"]
    with pytest.raises(ValueError, match=r"no split 'validation' of .*Splits there are: test, train"):
        load(tmp_path, "validation")


def test_split_slice(tmp_path):
    write_parquet(tmp_path / "train.parquet", ["a", "b", "c"])
    assert load(tmp_path, "train[1:]")["text"][:] == ["b", "c"]


def test_csv_folder(tmp_path):
    (tmp_path / "train.csv").write_text("title\na\n")
    (tmp_path / "val.csv").write_text("title\nb\n")
    assert load(tmp_path, "validation", TEXT)["text"][:] == ["b"]


@pytest.mark.parametrize("streaming", [False, True])
def test_image_folder_with_labels(tmp_path, streaming):
    write_images(tmp_path, ["train/cat/0.png", "train/dog/1.png", "test/cat/2.png", "test/dog/3.png"])
    rows = load(tmp_path, "test", {"image": "image", "label": "label"}, streaming=streaming)
    assert rows.features["label"].names == ["cat", "dog"]
    assert reds(rows) == [2, 3]
    with pytest.raises(ValueError, match=r"no split 'validation' of .*Splits there are: train, test"):
        load(tmp_path, "validation", {"image": "image"})


def test_image_folder_with_metadata(tmp_path):
    write_images(tmp_path, ["0.png", "1.png"])
    (tmp_path / "metadata.csv").write_text("file_name,caption\n1.png,one\n0.png,nought\n")
    rows = load(tmp_path, None, {"image": "image", "text": "caption"})
    assert rows["text"][:] == ["one", "nought"]
    assert reds(rows) == [1, 0]


def test_rows_in_memory():
    picture = Image.new("RGB", (2, 2), (9, 0, 0))
    rows = [
        {"title": "a", "picture": picture},
        {"title": None, "picture": np.full((2, 2), 7, np.uint8)},
        {"title": "c"},
    ]
    assert reds(load(rows)) == [9, 7, None]
    assert load(rows)["text"][:] == ["a", None, "c"]
    assert reds(load(rows, streaming=True)) == [9, 7, None]


def test_encoded_rows_are_not_opened():
    rows = [{"title": "a", "picture": b"blob"}, {"title": "b", "picture": {"bytes": b"blob"}}]
    stored = [{"bytes": b"blob", "path": None}] * 2
    assert load(rows)["image"][:] == stored
    assert load([{"title": "a", "picture": "/far/away.png"}])["image"][0] == {"bytes": None, "path": "/far/away.png"}


def test_datasets_and_dictionaries():
    features = datasets.Features({"title": datasets.Value("string"), "picture": datasets.Image()})
    rows = datasets.Dataset.from_dict({"title": ["a", "b"], "picture": [{"bytes": b"x", "path": None}, None]}, features)
    assert load(rows.select([1, 0]))["image"][:] == [None, {"bytes": b"x", "path": None}]
    assert next(iter(load(rows, streaming=True)))["image"]["bytes"] == b"x"
    assert next(iter(load(rows.to_iterable_dataset())))["image"]["bytes"] == b"x"
    both = datasets.DatasetDict(train=rows, test=rows)
    assert len(load(both, "test")) == 2
    with pytest.raises(ValueError, match=r"no split 'dev'.*Splits there are: train, test"):
        load(both, "dev")


def test_rows_in_memory_refusals():
    with pytest.raises(ValueError, match=r"Rows in memory takes no option, but got num_proc"):
        load([{"title": "a"}], columns=TEXT, num_proc=2)
    with pytest.raises(ValueError, match="The list of rows is empty"):
        load([])
    with pytest.raises(TypeError, match=r"Row 1 is a str; each row must be a dict"):
        load([{"title": "a"}, "b"])
    with pytest.raises(
        ValueError, match=r"Column 'title' holds values of different or unsupported types.*Convert them"
    ):
        load([{"title": "a"}, {"title": 5}], columns=TEXT)
    with pytest.raises(ImageError, match=r"Row 1, column 'picture': a value of type int is not an image"):
        load([{"title": "a", "picture": None}, {"title": "b", "picture": 5}])
    with pytest.raises(TypeError, match=r"Rows cannot be read from a int. Give 'scenes', a local file"):
        load(5)


def test_paths_may_not_leave_the_folder(tmp_path, csv_file):
    write_images(tmp_path, ["outside.png"])
    inner = tmp_path / "inner"
    inner.mkdir()
    table = inner / "rows.csv"
    for path in ("../outside.png", str(tmp_path / "outside.png"), "sub/../../outside.png"):
        table.write_text(f"title,picture\nfirst,\nsecond,{path}\n")
        for streaming in (False, True):
            with pytest.raises(ValueError, match=r"Row 1, column 'picture': '.*outside.png' leads out of"):
                list(load(table, streaming=streaming))
    (inner / "link.png").symlink_to(tmp_path / "outside.png")
    table.write_text("title,picture\nfirst,link.png\n")
    with pytest.raises(ValueError, match=r"Row 0, column 'picture': 'link.png' leads out of"):
        load(table)


def test_urls_are_refused(csv_file):
    csv_file.write_text("title,picture\nfirst,https://example.com/a.png\n")
    with pytest.raises(ValueError, match=r"Row 0, column 'picture': 'https.*' is a URL, and URLs are not read"):
        load(csv_file)


@pytest.mark.parametrize(
    ("name", "content"), [("rows.parquet", b"nothing"), ("rows.csv", b""), ("rows.json", b'[{"a"')]
)
def test_damaged_tables(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"'.*{name}' cannot be read as \w+: .*Check that the file is whole"):
        load(tmp_path / name)


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_files_of_no_rows(tmp_path, streaming):
    rows = pa.table({"title": ["a", "b"], "picture": [None, None]})
    pq.write_table(rows.slice(0, 0), tmp_path / "train-0.parquet")
    with pytest.raises(ValueError, match=r"train-0.parquet: there are no rows"):
        load(tmp_path, columns={"text": "title"}, streaming=streaming)
    pq.write_table(rows, tmp_path / "train-1.parquet")
    loaded = load(tmp_path, columns={"text": "title"}, streaming=streaming)
    assert [row["text"] for row in loaded] == ["a", "b"]


def test_folder_without_rows(tmp_path):
    (tmp_path / "notes.txt").write_text("no rows")
    with pytest.raises(
        ValueError, match=r"holds neither tables named after their splits .* nor images. Put the images"
    ):
        load(tmp_path)


def test_file_of_another_kind(tmp_path):
    (tmp_path / "rows.xlsx").write_text("")
    with pytest.raises(ValueError, match=r"rows.xlsx' is not a table that is read: .parquet, .csv"):
        load(tmp_path / "rows.xlsx")


@pytest.mark.parametrize("name", ["./gone", "gone.csv", "/gone/data", "a/b/c"])
def test_missing_path(name):
    with pytest.raises(ValueError, match=rf"There is no file or folder '{name}'.*Correct the path"):
        load(name)


def test_hub_out_of_reach():
    with pytest.raises(
        ValueError, match=r"'someone/gone' is neither 'scenes', nor a local file or folder, nor a dataset"
    ):
        load("someone/gone")


def test_words_for_nothing_are_words(tmp_path):
    (tmp_path / "rows.csv").write_text("title,kind\nNone,NA\nnull,N/A\n,NA\n")
    rows = load_rows(str(tmp_path / "rows.csv"), split=None, columns={"text": "title", "label": "kind"})
    assert rows["text"] == ["None", "null", None]
    assert rows["label"] == ["NA", "N/A", "NA"]
