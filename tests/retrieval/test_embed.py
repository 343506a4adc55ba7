# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Embedding a collection: what is written, what is refused, and what happens after a kill."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hf_multimodal import MultimodalForRetrieval
from hf_multimodal.data.collator import RowError
from hf_multimodal.prediction.revision import model_revision
from hf_multimodal.retrieval import embed as embed_module
from hf_multimodal.retrieval.embed import embed_rows
from hf_multimodal.retrieval.embeddings import MANIFEST, EmbeddingManifest, read_parts
from hf_multimodal.retrieval.models import load_retrieval_model
from hf_multimodal.training import feature_cache
from hf_multimodal.training.row_source import RowSource
from tests.retrieval.conftest import NUM_ITEMS, make_items, row_source, write_items
from tests.tiny import tiny_model, tiny_processor

ROOT = Path(__file__).parents[2]


def embed(model_folder, rows, output, **options):
    return embed_rows(str(model_folder), rows, output, **{"modality": "image", "part_rows": 5, **options})


def vectors_of(folder):
    return {
        one: np.asarray(vector)
        for table in read_parts(folder)
        for one, vector in zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True)
    }


def test_files_hold_ids_vectors_and_kept_columns(model_folder, rows, tmp_path):
    count = embed(model_folder, rows, tmp_path / "out", keep=("colour", "price"), with_tokens=True)
    assert count == NUM_ITEMS
    tables = list(read_parts(tmp_path / "out"))
    assert [len(table) for table in tables] == [5, 5, 2]
    row = tables[0].slice(0, 1).to_pylist()[0]
    assert (row["id"], row["price"]) == ("item 0", 0.0)
    assert len(row["tokens"]) % (2 * 16) == 0  # float16, of the fusion's width
    model, processor = load_retrieval_model(str(model_folder))
    picture = make_items()[0]["photo"]
    batch = processor(text=[None], images=[picture], return_tensors="pt")
    with torch.inference_mode():
        expected = model.embed(model.encode(pixel_values=batch["pixel_values"]))["image"][0]
    assert row["vector"] == pytest.approx(expected.tolist(), abs=1e-5)
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["rows"] == NUM_ITEMS
    assert manifest["revision"] == model_revision(str(model_folder))


def test_frozen_towers_features_are_kept(rows, tmp_path, monkeypatch):
    model = tiny_model(MultimodalForRetrieval, embedding_size=8, frozen_towers=["image"])
    model.save_pretrained(tmp_path / "model")
    tiny_processor().save_pretrained(tmp_path / "model")
    embed(tmp_path / "model", rows, tmp_path / "plain", with_tokens=True)
    store = tmp_path / "features"
    embed(tmp_path / "model", rows, tmp_path / "kept", with_tokens=True, feature_cache=store)
    monkeypatch.setattr(feature_cache, "_features", lambda *args: pytest.fail("computed again"))
    embed(tmp_path / "model", rows, tmp_path / "again", with_tokens=True, feature_cache=store)
    plain = vectors_of(tmp_path / "plain")
    for folder in ("kept", "again"):
        assert vectors_of(tmp_path / folder).keys() == plain.keys()
        for one, vector in vectors_of(tmp_path / folder).items():
            np.testing.assert_allclose(vector, plain[one], atol=1e-5)
    with pytest.raises(ValueError, match="of text none is: set towers.text.frozen"):
        embed(tmp_path / "model", rows, tmp_path / "text", modality="text", feature_cache=store)
    assert not (tmp_path / "text").exists()


def test_continues_where_it_was_killed(model_folder, rows, tmp_path, monkeypatch):
    embed(model_folder, rows, tmp_path / "whole")
    written, write = [], embed_module._write_part

    def killed(file, *arguments):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(file.name)
        write(file, *arguments)

    monkeypatch.setattr(embed_module, "_write_part", killed)
    with pytest.raises(KeyboardInterrupt):
        embed(model_folder, rows, tmp_path / "out")
    with pytest.raises(ValueError, match="are not finished: run `embed` again"):
        list(read_parts(tmp_path / "out"))
    monkeypatch.setattr(
        embed_module, "_write_part", lambda file, *rest: (written.append(file.name), write(file, *rest))
    )
    before = (tmp_path / "out" / "part-000000.parquet").stat().st_mtime_ns
    assert embed(model_folder, rows, tmp_path / "out") == NUM_ITEMS
    assert written == ["part-000000.parquet", "part-000001.parquet", "part-000002.parquet"]  # each once
    assert (tmp_path / "out" / "part-000000.parquet").stat().st_mtime_ns == before
    whole, found = vectors_of(tmp_path / "whole"), vectors_of(tmp_path / "out")
    assert list(found) == list(whole)
    assert all(np.array_equal(found[one], whole[one]) for one in whole)
    assert embed(model_folder, rows, tmp_path / "out") == NUM_ITEMS  # all is done already
    assert len(written) == 3


def test_a_manifest_of_another_version_is_refused(model_folder, rows, tmp_path):
    embed(model_folder, rows, tmp_path / "out")
    manifest = tmp_path / "out" / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "pooling": "mean"}))
    with pytest.raises(ValueError, match=r"written by another version of this package \(.*'pooling'\): embed the rows"):
        list(read_parts(tmp_path / "out"))


def test_captions_are_embedded_one_by_one(model_folder, tmp_path):
    listed = [{**item, "title": [item["title"], "one square"]} for item in make_items(3)]
    source = row_source(write_items(tmp_path / "listed.parquet", listed))
    assert embed(model_folder, source, tmp_path / "out", modality="text") == 6
    table = next(iter(read_parts(tmp_path / "out"))).to_pydict()
    assert table["id"][:3] == ["item 0#0", "item 0#1", "item 1#0"]
    assert table["item"][:3] == ["item 0", "item 0", "item 1"]


def test_each_item_once(model_folder, tmp_path):
    repeated = [{**item, "shown": f"photo {i // 2}"} for i, item in enumerate(make_items(4))]
    source = row_source(write_items(tmp_path / "repeated.parquet", repeated), item="shown")
    assert embed(model_folder, source, tmp_path / "out", unique_items=True) == 2
    assert list(vectors_of(tmp_path / "out")) == ["photo 0", "photo 1"]
    with pytest.raises(ValueError, match="--column item=COLUMN"):
        embed(model_folder, row_source(source.source), tmp_path / "other", unique_items=True)


def bad_rows(tmp_path, number, **changes):
    items = make_items(4)
    items[number].update(changes)
    return row_source(write_items(tmp_path / "bad.parquet", items))


def test_bad_rows_are_named(model_folder, tmp_path):
    source = bad_rows(tmp_path, 2, photo=None)
    with pytest.raises(RowError, match="Row 'item 2', column 'photo': there is no image to embed"):
        embed(model_folder, source, tmp_path / "out")
    source = bad_rows(tmp_path, 2, title="  ")
    with pytest.raises(RowError, match="Row 'item 2', column 'title': there is no text to embed"):
        embed(model_folder, source, tmp_path / "out2", modality="text")
    source = bad_rows(tmp_path, 3, photo={"bytes": b"no picture", "path": None})
    with pytest.raises(RowError, match="Row 'item 3', column 'photo'"):
        embed(model_folder, source, tmp_path / "out3")
    source = bad_rows(tmp_path, 3, key=None)
    with pytest.raises(RowError, match="A row after 3 others has no id"):
        embed(model_folder, source, tmp_path / "out5")
    source = bad_rows(tmp_path, 3, key="item 1")
    with pytest.raises(RowError, match="Two rows have the id 'item 1': ids must be distinct"):
        embed(model_folder, source, tmp_path / "out4")


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
def test_an_empty_collection_is_refused(model_folder, tmp_path, ending):
    file = tmp_path / f"none.{ending}"
    if ending == "parquet":
        schema = pa.schema([("key", pa.string()), ("title", pa.string())])
        pq.write_table(schema.empty_table(), file)
    else:
        file.write_text("key,title\n" if ending == "csv" else "")
    source = RowSource(str(file), None, {"text": "title", "id": "key"})
    with pytest.raises(ValueError, match=r"empty|no rows|cannot be read"):
        embed(model_folder, source, tmp_path / "out", modality="text")
    assert not (tmp_path / "out").exists()


def test_mistakes_leave_no_folder_behind(model_folder, items_file, tmp_path):
    for source, options in (
        (row_source(items_file, image="foto"), {}),
        (row_source(items_file), {"keep": ["color"]}),
    ):
        with pytest.raises(ValueError, match="There is no column"):
            embed(model_folder, source, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()


def test_other_rows_than_those_before_are_not_mixed_in(model_folder, items_file, rows, tmp_path, monkeypatch):
    embed(model_folder, dataclasses.replace(rows, limit=3), tmp_path / "out")
    with pytest.raises(ValueError, match="limit was 3, is None"):
        embed(model_folder, rows, tmp_path / "out")
    # killed, and then the source has changed
    items = make_items()
    changing = row_source(write_items(tmp_path / "changing.parquet", items))
    monkeypatch.setattr(EmbeddingManifest, "save", only_once(EmbeddingManifest.save))
    with pytest.raises(KeyboardInterrupt):
        embed(model_folder, changing, tmp_path / "two")
    monkeypatch.undo()
    write_items(tmp_path / "changing.parquet", items[1:])
    with pytest.raises(ValueError, match=r"part-000000.parquet' holds other rows.*the source has changed"):
        embed(model_folder, changing, tmp_path / "two")
    # a file is lost after all were done
    embed(model_folder, rows, tmp_path / "three")
    (tmp_path / "three" / "part-000001.parquet").unlink()
    with pytest.raises(ValueError, match="should hold 12 rows, but has 7"):
        list(read_parts(tmp_path / "three"))


def only_once(function):
    """Calls a function the first time, and is killed the second."""
    calls = []

    def call(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return function(*arguments)

    return call


def test_a_model_may_move_between_two_calls(model_folder, rows, tmp_path, monkeypatch):
    embed(model_folder, rows, tmp_path / "out")
    monkeypatch.chdir(model_folder.parent)
    assert embed(model_folder.name, rows, tmp_path / "out") == NUM_ITEMS
    assert Path(EmbeddingManifest.load(tmp_path / "out").model).is_absolute()


def test_slices_of_a_split(model_folder, rows, tmp_path):
    assert embed(model_folder, dataclasses.replace(rows, split="train[:3]"), tmp_path / "out") == 3


def test_columns_of_the_run_may_be_missing_and_those_asked_for_not(model_folder, items_file, tmp_path):
    inherited = row_source(items_file, item="shown")  # of a run whose rows name their items
    assert list(vectors_of_rows(model_folder, inherited, tmp_path / "a"))[0] == "item 0"  # ids stay
    with pytest.raises(RowError, match="A row after 0 others has no item"):
        embed(model_folder, inherited, tmp_path / "b", unique_items=True)
    numbered = row_source(items_file, id="number")
    assert list(vectors_of_rows(model_folder, numbered, tmp_path / "c"))[0] == "0"
    asked = dataclasses.replace(numbered, asked=frozenset({"id"}))
    with pytest.raises(ValueError, match="There is no column 'number'"):
        embed(model_folder, asked, tmp_path / "d")


def vectors_of_rows(model_folder, source, folder):
    embed(model_folder, source, folder)
    return vectors_of(folder)


def test_titles_can_be_kept_beside_photos(model_folder, tmp_path):
    items = [{**item, "text": item["title"]} for item in make_items(4)]
    source = RowSource(str(write_items(tmp_path / "x.parquet", items)), None, {"image": "photo", "id": "key"})
    embed(model_folder, source, tmp_path / "out", keep=["text"])
    assert next(iter(read_parts(tmp_path / "out")))["text"].to_pylist() == [item["text"] for item in items]


def test_a_folder_of_something_else_is_left_alone(model_folder, rows, items_file, tmp_path):
    embed(model_folder, rows, tmp_path / "out")
    with pytest.raises(ValueError, match=r"embeddings of something else \(modality was 'image', is 'text'\)"):
        embed(model_folder, rows, tmp_path / "out", modality="text")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(ValueError, match="holds no embeddings, so it is left alone"):
        embed(model_folder, rows, tmp_path / "mine")
    with pytest.raises(ValueError, match="Unknown modality of this model 'audio'"):
        embed(model_folder, rows, tmp_path / "other", modality="audio")
    photos_only = type(rows)(str(items_file), None, {"image": "photo"})
    with pytest.raises(ValueError, match="No column is mapped to text: say which, --column text=COLUMN"):
        embed(model_folder, photos_only, tmp_path / "other", modality="text")
    with pytest.raises(ValueError, match="keep names 'vector', which the files need themselves"):
        embed(model_folder, rows, tmp_path / "other", keep=["vector"])


def test_a_model_of_another_kind_is_refused(rows, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="MultimodalForClassification, which gives no embeddings"):
        load_retrieval_model(str(tmp_path))


def test_the_revision_follows_the_weights_not_the_place(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "moved")
    assert model_revision(str(tmp_path / "moved")) == model_revision(str(model_folder))
    file = tmp_path / "moved" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert model_revision(str(tmp_path / "moved")) != model_revision(str(model_folder))


@pytest.mark.distributed
def test_two_processes_share_the_parts(model_folder, items_file, rows, tmp_path):
    embed(model_folder, rows, tmp_path / "one")
    code = f"""
from pathlib import Path
from hf_multimodal.retrieval.embed import embed_rows
from hf_multimodal.training.inference import process_state
from tests.retrieval.conftest import row_source
assert process_state().num_processes == 2
embed_rows({str(model_folder)!r}, row_source({str(items_file)!r}), Path({str(tmp_path / "two")!r}), modality="image",
           part_rows=5)
"""
    (tmp_path / "two.py").write_text(code)
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *launch, str(tmp_path / "two.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = vectors_of(tmp_path / "one"), vectors_of(tmp_path / "two")
    assert list(one) == list(two)
    for name, vector in one.items():
        np.testing.assert_allclose(two[name], vector, atol=1e-6)
    assert len(pq.read_table(tmp_path / "two" / "part-000001.parquet")) == 5


def test_pictures_are_not_changed_by_their_batch(model_folder, rows, tmp_path):
    embed(model_folder, rows, tmp_path / "a", batch_size=1)
    embed(model_folder, rows, tmp_path / "b", batch_size=5)
    one, other = vectors_of(tmp_path / "a"), vectors_of(tmp_path / "b")
    for name, vector in one.items():
        np.testing.assert_allclose(other[name], vector, atol=1e-5)
