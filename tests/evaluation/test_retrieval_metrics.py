# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Retrieval metrics on rankings worked out by hand, and in blocks."""

import math

import numpy as np
import pytest

from hf_multimodal.evaluation.retrieval_metrics import (
    NDCG,
    MeanReciprocalRank,
    MedianRank,
    RecallAtK,
    best_ranks,
    distinct,
    embedding_scores,
    mean_recall,
    rank_relevant,
    ranking_scores,
    reorder,
    score_names,
)

# One-hot candidates, so that a query's vector lists its scores. Items of the candidates: a, a, b, c.
CANDIDATES = np.eye(4, dtype=np.float32)
CANDIDATE_ITEMS = ["a", "a", "b", "c"]
QUERIES = np.array([[0.1, 0.9, 0.5, 0.3], [0.9, 0.8, 0.7, 0.1], [0.4, 0.3, 0.2, 0.1]], dtype=np.float32)
QUERY_ITEMS = ["a", "b", "c"]
# a: its two candidates come first and fourth; b: third; c: fourth
RANKS = [[1, 4], [3], [4]]


def ranks(**options):
    return rank_relevant(QUERIES, CANDIDATES, QUERY_ITEMS, CANDIDATE_ITEMS, **options)


@pytest.mark.parametrize("block_size", [1, 2, 3, 100])
def test_ranks_by_hand_whatever_the_block(block_size):
    found = ranks(block_size=block_size)
    assert [sorted(found.ranks[found.owners == query].tolist()) for query in range(3)] == RANKS
    assert best_ranks(found).tolist() == [1, 3, 4]
    assert found.candidates[found.owners == 0].tolist() == [0, 1]


def test_scores_by_hand():
    scores = ranking_scores(ranks())
    assert scores["recall@1"] == pytest.approx(1 / 3)
    assert scores["recall@5"] == scores["recall@10"] == 1.0
    assert scores["median_rank"] == 3
    assert scores["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 4) / 3)
    ideal = 1 + 1 / math.log2(3)
    gains = [(1 + 1 / math.log2(5)) / ideal, 1 / math.log2(4), 1 / math.log2(5)]
    assert scores["ndcg@10"] == pytest.approx(sum(gains) / 3)


@pytest.mark.parametrize("block_size", [64, 1000])
def test_equal_scores_stand_in_the_order_of_the_candidates(block_size):
    """A model that gives everything the same vector is as good as chance, however the products are rounded."""
    rng = np.random.default_rng(0)
    for width in (3, 192, 256):
        one, other = rng.normal(size=(2, width))
        same, given = (np.tile(x / np.linalg.norm(x), (300, 1)).astype(np.float32) for x in (one, other))
        found = rank_relevant(same, given, range(300), range(300), block_size=block_size)
        assert found.ranks.tolist() == list(range(1, 301))
        assert ranking_scores(found)["recall@1"] == 1 / 300


def test_blocks_agree_with_a_full_sort():
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(70, 8)), rng.normal(size=(90, 8))
    asked, given = rng.integers(0, 20, 70), np.concatenate([np.arange(20), rng.integers(0, 20, 70)])
    found = rank_relevant(queries, candidates, asked, given, block_size=16)
    order = np.argsort(-(queries.astype(np.float32) @ candidates.astype(np.float32).T), axis=1)
    place = np.argsort(order, axis=1) + 1
    assert found.ranks.tolist() == place[found.owners, found.candidates].tolist()


def test_what_reranking_does_to_the_ranks():
    """The first two candidates of each query change places: the second of a's is behind them and stays."""
    first = np.argsort(-QUERIES, axis=1)[:, [1, 0]]
    found = reorder(ranks(), first)
    assert [sorted(found.ranks[found.owners == query].tolist()) for query in range(3)] == [[2, 4], [3], [4]]


def test_a_query_without_anything_relevant_is_named():
    with pytest.raises(ValueError, match=r"No candidate is relevant to query 1 \(item 'x'\)"):
        rank_relevant(QUERIES[:2], CANDIDATES, ["a", "x"], CANDIDATE_ITEMS)
    with pytest.raises(ValueError, match="There are no queries"):
        rank_relevant(QUERIES[:0], CANDIDATES, [], CANDIDATE_ITEMS)


@pytest.mark.parametrize(
    ("metric", "options", "expected"),
    [
        (RecallAtK, {}, {"recall@1": 1 / 3}),
        (RecallAtK, {"k": 3}, {"recall@3": 2 / 3}),
        (NDCG, {}, {"ndcg@10": ranking_scores(ranks())["ndcg@10"]}),
        (MeanReciprocalRank, {}, {"mrr": 19 / 36}),
        (MedianRank, {}, {"median_rank": 3.0}),
    ],
)
def test_modules_of_evaluate(metric, options, expected):
    found = metric().compute(
        predictions=QUERIES,
        references=QUERY_ITEMS,
        candidates=CANDIDATES,
        candidate_items=CANDIDATE_ITEMS,
        **options,
    )
    assert found == pytest.approx(expected)


def test_a_picture_in_the_rows_of_its_captions_counts_once():
    """Pictures 0 and 1 with two captions each; a picture is one candidate, a caption that is there twice one query."""
    pictures = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)
    texts = np.array([[1, 0], [0.6, 0.8], [0, 1], [0.8, 0.6], [0, 1]], dtype=np.float32)
    items = np.array([7, 7, 9, 9, 9])
    assert distinct(pictures, items).tolist() == [0, 2]
    assert distinct(texts, items).tolist() == [0, 1, 2, 3]
    scores = embedding_scores({"text": texts, "image": pictures}, items)
    assert scores["text_to_image_recall@1"] == 0.5  # the second caption of each picture is nearer to the other
    assert scores["image_to_text_recall@1"] == 1.0
    assert scores["text_to_image_median_rank"] == 1.5
    assert scores["mean_recall"] == mean_recall(scores) == pytest.approx((0.5 + 5) / 6)
    assert tuple(scores) == score_names(("text", "image"))


def test_items_that_lack_a_modality_are_left_out():
    texts = np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32)
    pictures = np.array([[1, 0], [0, 0], [0, 1]], dtype=np.float32)
    scores = embedding_scores({"text": texts, "image": pictures}, np.array([1, 2, 3]))
    assert scores["text_to_image_median_rank"] == 1
    assert scores["mean_recall"] == 1.0
    with pytest.raises(ValueError, match="No row has both modalities"):
        embedding_scores({"text": texts[:1], "image": 0 * pictures[:1]}, np.array([1]))
