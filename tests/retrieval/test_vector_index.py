# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""One conformance suite for every index of vectors, and what is particular to each."""

import itertools

import numpy as np
import pytest

from hf_multimodal.retrieval import faiss_index
from hf_multimodal.retrieval.faiss_index import FaissIndex
from hf_multimodal.retrieval.milvus_index import MilvusIndex

WIDTH = 6
COLOURS = ["red", "blue", "green"]
_names = itertools.count()


def clustered(count, seed=0, width=WIDTH):
    """Unit vectors around a few centres: what embeddings look like."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(8, width))
    vectors = centres[rng.integers(0, 8, count)] + 0.3 * rng.normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=["faiss flat", "faiss hnsw", "milvus"])
def backend(request, tmp_path):
    """A function that makes an empty index, and one that opens a saved one."""
    if request.param.startswith("faiss"):
        kind = request.param.split()[1]
        return (lambda: FaissIndex(WIDTH, kind=kind)), FaissIndex.load
    uri = str(tmp_path / "vectors.db")
    return (lambda: MilvusIndex(WIDTH, uri=uri, collection=f"made_{next(_names)}")), MilvusIndex.load


@pytest.fixture
def filled(backend):
    index = backend[0]()
    index.add(ids(60), clustered(60), metadata(60))
    return index


def ids(count, start=0):
    return [f"id {i}" for i in range(start, start + count)]


def metadata(count):
    return [{"colour": COLOURS[i % 3], "price": i, 'odd "name"': i % 2 == 0} for i in range(count)]


def exact(queries, k, chosen=None):
    """The nearest by a full comparison; of some of the vectors."""
    scores = queries @ clustered(60).T
    if chosen is not None:
        scores[:, ~chosen] = -np.inf
    return [[f"id {i}" for i in row[:k]] for row in np.argsort(-scores, axis=1)]


def found_ids(answers):
    return [[hit.id for hit in answer] for answer in answers]


def test_finds_what_a_full_comparison_finds(filled):
    queries = clustered(9, seed=1)
    answers = filled.search(queries, 5)
    assert found_ids(answers) == exact(queries, 5)
    best = answers[0][0]
    number = int(best.id.split()[1])
    assert best.similarity == pytest.approx(float(queries[0] @ clustered(60)[number]), abs=1e-5)
    assert best.metadata == metadata(60)[number]


def test_conditions_are_met_exactly(filled):
    queries, numbers = clustered(4, seed=2), np.arange(60)
    red = numbers % 3 == 0
    assert found_ids(filled.search(queries, 7, {"colour": "red"})) == exact(queries, 7, red)
    either = filled.search(queries, 7, {"colour": ["red", "blue"], "price": [0, 1, 2, 3, 4]})
    assert found_ids(either) == [row[:4] for row in exact(queries, 7, (numbers < 5) & (numbers % 3 < 2))]
    assert found_ids(filled.search(queries, 70, {'odd "name"': True})) == exact(queries, 30, numbers % 2 == 0)
    assert filled.search(queries, 3, {"colour": "violet"}) == [[]] * 4
    assert filled.search(queries, 3, {"colour": 'größe "quoted"'}) == [[]] * 4
    for nothing in ([], None, ["red", None]):
        with pytest.raises(ValueError, match="name at least one value, and not None"):
            filled.search(queries, 3, {"colour": nothing})
    with pytest.raises(ValueError, match=r"Unknown column of the index's metadata 'colours'\. Did you mean 'colour'"):
        filled.search(queries, 3, {"colours": "red"})


def test_more_than_there_are_gives_all(filled):
    answers = filled.search(clustered(2, seed=3), 1000)
    assert [len(answer) for answer in answers] == [60, 60]
    with pytest.raises(ValueError, match="k=0: ask for at least 1"):
        filled.search(clustered(1), 0)


def test_deleting_and_adding_again(filled):
    queries = clustered(5, seed=4)
    first = found_ids(filled.search(queries, 1))[0][0]
    filled.delete([first, "id 59"])
    assert len(filled) == 58
    gone = np.array([name not in (first, "id 59") for name in ids(60)])
    assert found_ids(filled.search(queries, 10)) == exact(queries, 10, gone)
    number = int(first.split()[1])
    filled.add([first, "id 59"], clustered(60)[[number, 59]], [metadata(60)[i] for i in (number, 59)])
    assert len(filled) == 60
    assert found_ids(filled.search(queries, 10)) == exact(queries, 10)


def test_deleting_everything_leaves_nothing_to_find(filled):
    filled.delete(ids(50))  # most of them: what is left is copied together
    chosen = np.arange(60) >= 50
    assert found_ids(filled.search(clustered(2, seed=5), 20)) == exact(clustered(2, seed=5), 10, chosen)
    filled.delete(ids(10, 50))
    assert len(filled) == 0
    assert filled.search(clustered(2), 3) == [[], []]


def test_what_cannot_be_added_is_named_and_nothing_is(filled):
    vectors = clustered(3, seed=6)
    broken = vectors.copy()
    broken[1, 2] = np.nan
    cases = [
        (["a", "b", "c"], broken, r"1 vector\(s\) hold NaN or infinite numbers, ids 'b'.*Nothing was added"),
        (["a", "b", "a"], vectors, "The id 'a' stands twice"),
        (["a", "id 3", "c"], vectors, "The id 'id 3' is in the index already: delete it first"),
        (["a", "b"], vectors, "2 ids, 3 vectors"),
        (["a", "b", "c"], vectors[:, :4], r"Vectors of shape \(3, 4\), but the index is of dimension 6"),
    ]
    for names, rows, message in cases:
        with pytest.raises(ValueError, match=message):
            filled.add(names, rows, metadata(3))
    with pytest.raises(ValueError, match="There is no id 'x' in the index. Nothing was deleted"):
        filled.delete(["id 1", "x"])
    with pytest.raises(ValueError, match="of dimension 6"):
        filled.search(vectors[:, :4], 1)
    with pytest.raises(ValueError, match="A query's vector holds NaN"):
        filled.search(broken, 1)
    with pytest.raises(ValueError, match="Nothing was added"):
        filled.add(["a", "b"], vectors[:2], [{"price": 1}, {"price": {1, 2}}])
    assert len(filled) == 60


def test_the_same_after_reopening(backend, filled, tmp_path):
    filled.delete(["id 7"])
    queries = clustered(5, seed=8)
    before = filled.search(queries, 6, {"colour": "blue"})
    filled.save(tmp_path / "saved")
    again = backend[1](tmp_path / "saved")
    assert len(again) == 59
    after = again.search(queries, 6, {"colour": "blue"})
    assert found_ids(after) == found_ids(before)
    assert after[0][0].metadata == before[0][0].metadata
    again.add(["id 7"], clustered(60)[7:8], metadata(1))
    with pytest.raises(ValueError, match="'id 8' is in the index already"):
        again.add(["id 8"], clustered(60)[8:9], metadata(1))


def test_a_folder_without_an_index_is_refused(backend, tmp_path):
    with pytest.raises(ValueError, match="holds no index"):
        backend[1](tmp_path)


def test_metadata_need_not_have_the_same_keys(backend):
    index = backend[0]()
    index.add(ids(2), clustered(2), [{"colour": "red"}, {"price": 5}])
    found = {
        hit.id: {k: v for k, v in hit.metadata.items() if v is not None} for hit in index.search(clustered(1), 2)[0]
    }
    assert found == {"id 0": {"colour": "red"}, "id 1": {"price": 5}}


def test_hnsw_is_near_to_exact_on_clusters():
    vectors, queries = clustered(3000, width=32), clustered(50, seed=9, width=32)
    indexes = []
    for kind in ("flat", "hnsw"):
        index = FaissIndex(32, kind=kind)
        index.add(ids(3000), vectors, [{}] * 3000)
        index.delete(ids(5))
        indexes.append(index)
    flat, graph = (found_ids(index.search(queries, 10)) for index in indexes)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(flat, graph, strict=True)])
    assert recall >= 0.95
    flat, graph = (found_ids(index.search(queries[:3], 400)) for index in indexes)  # more than a walk usually keeps
    assert np.mean([len(set(a) & set(b)) / 400 for a, b in zip(flat, graph, strict=True)]) >= 0.95


def test_faiss_particulars(monkeypatch):
    with pytest.raises(ValueError, match=r"Unknown kind of index 'hnws'\. Did you mean 'hnsw'"):
        FaissIndex(4, kind="hnws")
    index = FaissIndex(2)
    index.add(["a"], np.eye(2)[:1], [{"price": 1.5}])
    with pytest.raises(ValueError, match="The metadata does not fit that of the index.*Nothing was added"):
        index.add(["b"], np.eye(2)[1:], [{"price": "dear"}])
    assert len(index) == 1
    with pytest.raises(ValueError, match="Column 'price' holds double, and .*'dear'.* is of another type"):
        index.search(np.eye(2), 1, {"price": "dear"})
    assert [hit.id for hit in index.search(np.eye(2)[:1], 1, {"price": ["dear", 1.5]})[0]] == ["a"]
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ImportError, match=r'pip install "hf_multimodal\[index\]"'):
        faiss_index.FaissIndex(4)


def test_milvus_particulars(tmp_path, monkeypatch):
    uri = str(tmp_path / "vectors.db")
    with pytest.raises(ValueError, match="'my-vectors' is no name of a collection"):
        MilvusIndex(4, uri=uri, collection="my-vectors")
    MilvusIndex(4, uri=uri, collection="mine")
    with pytest.raises(ValueError, match="holds vectors of dimension"):
        MilvusIndex(5, uri=uri, collection="mine")
    mine = MilvusIndex(4, uri=uri, collection="mine")
    mine.add(["a"], np.eye(4)[:1], [{}])
    mine.save(tmp_path / "saved")
    monkeypatch.chdir(tmp_path.parent)
    assert len(MilvusIndex.load(tmp_path / "saved")) == 1
    mine._milvus.drop_collection("mine")
    with pytest.raises(ValueError, match="The collection 'mine' at .* is gone: index the embeddings again"):
        MilvusIndex.load(tmp_path / "saved")
    with pytest.raises(ValueError, match="longer than 512 bytes"):
        MilvusIndex(4, uri=uri, collection="mine").add(["x" * 600], np.eye(4)[:1], [{}])
    monkeypatch.setitem(__import__("sys").modules, "pymilvus", None)
    with pytest.raises(ImportError, match=r'pip install "hf_multimodal\[milvus\]"'):
        MilvusIndex(4, uri=uri)
