# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Collections and searches in them, from embeddings on disk to reranked hits."""

import json
import shutil

import numpy as np
import pytest
import torch

from hf_multimodal.export.run import export_model
from hf_multimodal.prediction.bundle import MANIFEST
from hf_multimodal.prediction.graph_predictor import GraphPredictor
from hf_multimodal.prediction.load import open_predictor
from hf_multimodal.retrieval import collection as collection_module
from hf_multimodal.retrieval.collection import Collection
from hf_multimodal.retrieval.embed import embed_rows
from hf_multimodal.retrieval.models import load_retrieval_model
from hf_multimodal.retrieval.search import Searcher
from tests.retrieval.conftest import NUM_ITEMS, make_items, row_source, write_items
from tests.tiny import needs_dynamo

KEEP = ("colour", "price")


@pytest.fixture(scope="module")
def embeddings(model_folder, rows, tmp_path_factory):
    """Modality -> folder of embeddings."""
    folder = tmp_path_factory.mktemp("embeddings")
    for modality in ("image", "text"):
        embed_rows(str(model_folder), rows, folder / modality, modality=modality, keep=KEEP, with_tokens=True)
    return {modality: folder / modality for modality in ("image", "text")}


@pytest.fixture
def searcher(embeddings, tmp_path):
    Collection.create(tmp_path / "index", embeddings["image"])
    return Searcher.open(tmp_path / "index")


@pytest.fixture(scope="module")
def items():
    return make_items()


@pytest.fixture(scope="module")
def everything(model_folder, items):
    """Embeddings and match logits of every title with every photo, from raw."""
    model, processor = load_retrieval_model(str(model_folder))
    titles, photos = [x["title"] for x in items], [x["photo"] for x in items]
    with torch.inference_mode():
        towers = model.encode(**processor(text=titles, images=photos, padding=True, return_tensors="pt"))
        embeds = model.embed(towers)
        pairs = torch.cartesian_prod(torch.arange(NUM_ITEMS), torch.arange(NUM_ITEMS))
        logits = model.match(towers, pairs[:, 0], pairs[:, 1]).view(NUM_ITEMS, NUM_ITEMS)
        similarity = embeds["text"] @ embeds["image"].T
        totals = logits + model.scaled(similarity)
    return {"similarity": similarity, "logits": logits, "totals": totals, "embeds": embeds}


def test_text_finds_images_in_order_of_similarity(searcher, items, everything):
    hits = searcher.search(5, text=items[4]["title"])
    order = everything["similarity"][4].argsort(descending=True)[:5].tolist()
    assert [hit.id for hit in hits] == [f"item {i}" for i in order]
    assert hits[0].similarity == hits[0].score == pytest.approx(everything["similarity"][4, order[0]].item(), abs=1e-5)
    assert hits[0].match_score is None
    assert hits[0].metadata == {"colour": items[order[0]]["colour"], "price": items[order[0]]["price"]}


def test_reranking_gives_the_scores_of_encoding_each_pair(searcher, items, everything):
    """The tokens are kept in half precision, so up to that."""
    hits = searcher.search(NUM_ITEMS, rerank=NUM_ITEMS, text=items[4]["title"])
    expected = everything["totals"][4]
    assert [hit.id for hit in hits] == [f"item {i}" for i in expected.argsort(descending=True).tolist()]
    for hit in hits:
        number = int(hit.id.split()[1])
        assert hit.match_score == pytest.approx(everything["logits"][4, number].item(), abs=5e-3)
        assert hit.score == pytest.approx(expected[number].item(), abs=5e-3)


def test_reranking_leaves_those_behind_where_they_are(searcher, items, everything):
    first, plain = searcher.search(8, rerank=3, text=items[0]["title"]), searcher.search(8, text=items[0]["title"])
    assert {hit.id for hit in first[:3]} == {hit.id for hit in plain[:3]}
    assert [hit.id for hit in first[3:]] == [hit.id for hit in plain[3:]]
    assert [hit.match_score is None for hit in first] == [False] * 3 + [True] * 5
    # asked for fewer than are reranked, the best of these
    assert [hit.id for hit in searcher.search(1, rerank=3, text=items[0]["title"])] == [first[0].id]


def test_images_find_images_and_texts(searcher, embeddings, items, everything, tmp_path):
    assert searcher.search(1, image=items[7]["photo"])[0].id == "item 7"
    with pytest.raises(ValueError, match="query and collection are both image: leave rerank out"):
        searcher.search(1, rerank=5, image=items[7]["photo"])
    Collection.create(tmp_path / "texts", embeddings["text"])
    hits = Searcher.open(tmp_path / "texts").search(NUM_ITEMS, rerank=NUM_ITEMS, image=items[7]["photo"])
    expected = everything["totals"][:, 7]
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=5e-3)


@needs_dynamo
def test_a_bundle_searches_as_its_model_does(searcher, items, model_folder, rows, tmp_path):
    pytest.importorskip("onnxruntime")
    export_model(str(model_folder), tmp_path / "bundle", rows)
    by_bundle = Searcher.open(tmp_path / "index", model=str(tmp_path / "bundle"))
    assert isinstance(by_bundle.predictor, GraphPredictor)
    for query in ({"text": items[4]["title"]}, {"image": items[7]["photo"]}):
        rerank = NUM_ITEMS if "text" in query else 0
        expected = searcher.search(NUM_ITEMS, rerank=rerank, **query)
        hits = by_bundle.search(NUM_ITEMS, rerank=rerank, **query)
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-4)
        assert [hit.similarity for hit in hits] == pytest.approx([hit.similarity for hit in expected], abs=1e-4)
    opened = open_predictor(str(tmp_path / "bundle"))
    assert Searcher.open(tmp_path / "index", model=opened).predictor is opened  # loaded once, as the service does
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    (tmp_path / "bundle" / MANIFEST).write_text(json.dumps({**manifest, "revision": "another"}))
    with pytest.raises(ValueError, match="is another: their vectors do not compare"):
        Searcher.open(tmp_path / "index", model=str(tmp_path / "bundle"))


def test_several_queries_at_once(searcher, items):
    titles = ["a red square", "a blue square left of a green circle"]
    together = searcher.search_many("text", titles, 4, rerank=4)
    for title, hits in zip(titles, together, strict=True):
        alone = searcher.search(4, rerank=4, text=title)
        assert [hit.id for hit in alone] == [hit.id for hit in hits]
        assert [hit.score for hit in alone] == pytest.approx([hit.score for hit in hits], abs=1e-4)


def test_conditions_and_sizes(searcher):
    hits = searcher.search(100, text="a red square", where={"colour": "blue"})
    assert {hit.metadata["colour"] for hit in hits} == {"blue"}
    assert len(hits) == 4
    assert len(searcher.search(100, rerank=100, text="a red square")) == NUM_ITEMS
    with pytest.raises(ValueError, match="Unknown column of the index's metadata 'size'"):
        searcher.search(3, text="a", where={"size": 1})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"text": ""}, "Query 0 is empty: give a text"),
        ({"text": " \n"}, "Query 0 is empty: give a text"),
        ({"image": None}, "Query 0 is empty: give a image"),
        ({}, r"Give one query, of text or image; got \[\]"),
        ({"text": "a", "image": "b"}, "Give one query"),
        ({"audio": b"a"}, "Unknown modality of this model 'audio'"),
        ({"text": "a", "k": 0}, "k=0: ask for at least 1"),
        ({"text": "a", "rerank": -1}, "rerank=-1: it cannot be negative"),
    ],
)
def test_bad_queries(searcher, query, message):
    with pytest.raises(ValueError, match=message):
        searcher.search(**query)


def test_an_index_of_another_model_is_refused(embeddings, model_folder, tmp_path):
    Collection.create(tmp_path / "index", embeddings["image"])
    shutil.copytree(model_folder, tmp_path / "moved")
    assert len(Searcher.open(tmp_path / "index", model=str(tmp_path / "moved")).collection) == NUM_ITEMS
    file = tmp_path / "moved" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="their vectors do not compare. Give the same model, or embed and index again"):
        Searcher.open(tmp_path / "index", model=str(tmp_path / "moved"))


def test_adding_and_deleting(embeddings, model_folder, tmp_path):
    made = Collection.create(tmp_path / "index", embeddings["image"])
    more = row_source(write_items(tmp_path / "more.parquet", make_items(4, prefix="new")))
    embed_rows(str(model_folder), more, tmp_path / "more", modality="image", keep=KEEP, with_tokens=True)
    assert made.add(tmp_path / "more") == 4
    made.delete(["item 0"])
    searcher = Searcher.open(tmp_path / "index")
    assert len(searcher.collection) == NUM_ITEMS + 3
    hits = searcher.search(50, rerank=50, text="a red square")
    assert {hit.id for hit in hits} == {f"item {i}" for i in range(1, NUM_ITEMS)} | {f"new {i}" for i in range(4)}
    with pytest.raises(ValueError, match="'new 0' is in the index already"):
        searcher.collection.add(tmp_path / "more")
    with pytest.raises(ValueError, match="There is no id 'item 0' in the index"):
        searcher.collection.delete(["item 0"])
    files = {file.name for file in (tmp_path / "index").iterdir()}
    assert files - {".lock"} == {  # which some releases of filelock leave there
        "index.json",
        "vectors-000003",
        *(f"tokens-{n:06d}{ending}" for n in (1, 2) for ending in (".bin", ".places.parquet")),
    }


def test_a_query_runs_its_own_tower_only(searcher, monkeypatch):
    monkeypatch.setattr(searcher.predictor.model.model.towers["image"], "forward", None)
    assert len(searcher.search(2, text="a red square")) == 2
    assert searcher.search_many("text", []) == []


def test_reranking_needs_a_trained_match_head(searcher, rows, tmp_path):
    searcher.predictor.config.match_weight = 0.0
    with pytest.raises(ValueError, match="trained with match_weight=0, without a match head"):
        searcher.search(2, rerank=2, text="a red square")


def test_tokens_that_are_not_stored_are_named(searcher):
    with pytest.raises(ValueError, match="The tokens of 'item 99' are not stored"):
        searcher.collection.tokens.get(["item 99"])


def test_a_failure_while_adding_leaves_nothing_in_milvus(embeddings, model_folder, tmp_path, monkeypatch):
    uri = str(tmp_path / "vectors.db")
    monkeypatch.setattr(collection_module.json, "dumps", killed)
    with pytest.raises(KeyboardInterrupt):
        Collection.create(tmp_path / "index", embeddings["image"], backend="milvus", uri=uri)
    monkeypatch.undo()
    assert not (tmp_path / "index").exists()
    assert len(Collection.create(tmp_path / "index", embeddings["image"], backend="milvus", uri=uri)) == NUM_ITEMS


def killed(*arguments, **options):
    raise KeyboardInterrupt


def test_a_kill_while_saving_leaves_the_collection_as_it_was(embeddings, model_folder, tmp_path, monkeypatch):
    Collection.create(tmp_path / "index", embeddings["image"])
    before = Searcher.open(tmp_path / "index").search(3, text="a red square")

    made = Collection.open(tmp_path / "index")
    monkeypatch.setattr(collection_module.json, "dumps", killed)
    with pytest.raises(KeyboardInterrupt):
        made.delete([before[0].id])
    monkeypatch.undo()
    again = Searcher.open(tmp_path / "index")
    assert again.search(3, text="a red square") == before
    again.collection.delete(["item 3"])
    assert len(list((tmp_path / "index").glob("vectors-*"))) == 1  # what the killed one left is swept up


def test_two_that_change_a_collection_do_not_mix(embeddings, tmp_path):
    Collection.create(tmp_path / "index", embeddings["image"])
    one, other = (Collection.open(tmp_path / "index") for _ in range(2))
    one.delete(["item 1"])
    with pytest.raises(ValueError, match="changed by another process since it was opened: open it again"):
        other.delete(["item 2"])
    assert len(Collection.open(tmp_path / "index")) == NUM_ITEMS - 1


def test_what_a_killed_process_left_is_no_hindrance(embeddings, tmp_path, monkeypatch):
    (tmp_path / "index").mkdir()
    monkeypatch.setattr(collection_module.json, "dumps", killed)
    with pytest.raises(KeyboardInterrupt):
        Collection.create(tmp_path / "index", embeddings["image"])
    monkeypatch.undo()
    assert (tmp_path / "index" / "vectors-000001").exists()
    assert len(Collection.create(tmp_path / "index", embeddings["image"])) == NUM_ITEMS


def test_what_does_not_fit_an_index_is_refused(embeddings, model_folder, rows, tmp_path):
    made = Collection.create(tmp_path / "index", embeddings["image"])
    with pytest.raises(ValueError, match="their modality is 'text', the index's is 'image'"):
        made.add(embeddings["text"])
    embed_rows(str(model_folder), rows, tmp_path / "plain", modality="image")
    with pytest.raises(ValueError, match="their token_width is None"):
        made.add(tmp_path / "plain")
    without = Collection.create(tmp_path / "plain_index", tmp_path / "plain")
    with pytest.raises(ValueError, match=r"holds no tokens, which reranking needs.*--tokens"):
        Searcher.open(without.folder).search(3, rerank=3, text="a red square")
    with pytest.raises(ValueError, match="exists: give another folder"):
        Collection.create(tmp_path / "index", embeddings["image"])
    with pytest.raises(ValueError, match=r"holds no index \(index.json is missing\)"):
        Collection.open(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Unknown backend of an index 'fais'"):
        Collection.create(tmp_path / "third", embeddings["image"], backend="fais")
    with pytest.raises(ValueError, match=r"holds no embeddings \(embeddings.json is missing\)"):
        Collection.create(tmp_path / "third", tmp_path)
    assert not (tmp_path / "third").exists()


def test_a_vector_of_nan_is_refused_by_its_id_and_leaves_no_index(embeddings, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    shutil.copytree(embeddings["image"], tmp_path / "broken")
    file = tmp_path / "broken" / "part-000000.parquet"
    table = pq.read_table(file)
    values = np.array(table["vector"].to_pylist(), dtype=np.float32)
    values[5, 1] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    pq.write_table(table.set_column(table.column_names.index("vector"), "vector", column), file)
    with pytest.raises(ValueError, match="hold NaN or infinite numbers, ids 'item 5'"):
        Collection.create(tmp_path / "index", tmp_path / "broken")
    assert not (tmp_path / "index").exists()


def test_the_same_answers_from_milvus(embeddings, searcher, tmp_path):
    uri = str(tmp_path / "vectors.db")
    with pytest.raises(ValueError, match="An index in Milvus needs its address"):
        Collection.create(tmp_path / "milvus", embeddings["image"], backend="milvus")
    Collection.create(tmp_path / "milvus", embeddings["image"], backend="milvus", uri=uri, collection="photos")
    settings = next((tmp_path / "milvus").glob("vectors-*")) / "milvus.json"
    assert "token" not in json.loads(settings.read_text())
    with pytest.raises(ValueError, match="There are 12 vectors in that place already"):
        Collection.create(tmp_path / "other", embeddings["image"], backend="milvus", uri=uri, collection="photos")
    ours, theirs = (
        one.search(4, rerank=6, text="a red square", where={"colour": ["red", "blue"]})
        for one in (searcher, Searcher.open(tmp_path / "milvus"))
    )
    assert [hit.id for hit in ours] == [hit.id for hit in theirs]
    assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], abs=1e-4)
