# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Retrieval metrics as `evaluate` modules: recall@k, mean reciprocal rank, nDCG@k, median rank.

What is relevant to a query is every candidate of its item, so a picture with five captions has five. Similarities are
computed in blocks: of N queries and N candidates, N x N never has to fit into memory.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import evaluate
import numpy as np
import torch

BLOCK = 2048
RECALL_AT = (1, 5, 10)
NDCG_AT = 10
# Vectors of one item that are as close as this are one candidate: the same picture, in rows of its several captions.
SAME = 1e-4


TIE = 1e-5  # similarities this close are equal


class Ranks(NamedTuple):
    """Where the relevant candidates of each query stand.

    Attributes:
        owners: (R,) index of the query that a candidate is relevant to, ascending.
        candidates: (R,) its index among the candidates.
        ranks: (R,) its place, 1 = first. Candidates that score the same (the same name on two products) stand in their
            own order, as a search would return them.
    """

    owners: np.ndarray
    candidates: np.ndarray
    ranks: np.ndarray


def rank_relevant(
    queries: np.ndarray,
    candidates: np.ndarray,
    query_items: Sequence[Any] | np.ndarray,
    candidate_items: Sequence[Any] | np.ndarray,
    block_size: int = BLOCK,
) -> Ranks:
    """Ranks each query's relevant candidates by inner product among all candidates.

    Args:
        queries: (Q, D) vectors.
        candidates: (C, D) vectors.
        query_items: (Q,) the item that each query asks for.
        candidate_items: (C,) the item of each candidate.
        block_size: Queries, and candidates, compared at a time.

    Raises:
        ValueError: if there are no queries, or one for which nothing is relevant.
    """
    everything = np.concatenate([np.asarray(query_items), np.asarray(candidate_items)])
    items, numbers = np.unique(everything, return_inverse=True)
    of_query, of_candidate = numbers[: len(query_items)], numbers[len(query_items) :]
    order = np.argsort(of_candidate, kind="stable")
    starts, ends = (np.searchsorted(of_candidate[order], of_query, side=side) for side in ("left", "right"))
    counts = ends - starts
    if not len(counts):
        raise ValueError("There are no queries: give at least one.")
    if not counts.all():
        query = int(np.flatnonzero(counts == 0)[0])
        raise ValueError(
            f"No candidate is relevant to query {query} (item {str(items[of_query[query]])!r}): leave it out."
        )
    owners = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    relevant = order[np.repeat(starts, counts) + within]
    q, c = torch.as_tensor(queries).float(), torch.as_tensor(candidates).float()
    own, other = torch.as_tensor(of_query), torch.as_tensor(of_candidate)
    scores = _paired_products(q, c, owners, relevant, block_size)
    ranks = np.empty(len(owners), dtype=np.int64)
    for start in range(0, len(q), block_size):
        rows = slice(start, start + block_size)
        chosen = slice(*np.searchsorted(owners, [start, start + block_size]))
        pairs = _Pairs(owners[chosen] - start, relevant[chosen], scores[chosen])
        ranks[chosen] = _rank_block(q[rows], own[rows], c, other, pairs, block_size)
    return Ranks(owners, relevant, ranks)


class _Pairs(NamedTuple):
    """Queries with relevant candidates, and their similarities, (R,) each."""

    owners: np.ndarray
    candidates: np.ndarray
    scores: torch.Tensor


def _paired_products(
    q: torch.Tensor, c: torch.Tensor, owners: np.ndarray, relevant: np.ndarray, block_size: int
) -> torch.Tensor:
    pairs = zip(torch.as_tensor(owners).split(block_size), torch.as_tensor(relevant).split(block_size), strict=True)
    return torch.cat([(q[i] * c[j]).sum(1) for i, j in pairs])


def _rank_block(
    q: torch.Tensor,
    own: torch.Tensor,
    c: torch.Tensor,
    other: torch.Tensor,
    pairs: "_Pairs",
    block_size: int,
) -> np.ndarray:
    """Ranks the relevant candidates of a block of queries."""
    counts = np.bincount(pairs.owners, minlength=len(q))
    places = np.arange(len(pairs.owners)) - (np.cumsum(counts) - counts)[pairs.owners]
    table = torch.full((len(q), int(counts.max())), torch.inf)  # (block, most relevant of any query)
    table[pairs.owners, places] = pairs.scores
    which = torch.zeros(table.shape, dtype=torch.long)  # which candidates these are
    which[pairs.owners, places] = torch.as_tensor(pairs.candidates)
    before = torch.zeros(table.shape, dtype=torch.long)
    for start in range(0, len(c), block_size):
        block = q @ c[start : start + block_size].T
        block = block.masked_fill(own[:, None] == other[None, start : start + block_size], -torch.inf)
        # how many irrelevant ones score more, and as much (equal pairs differ by rounding)
        ordered = block.sort(dim=1).values
        above = block.shape[1] - torch.searchsorted(ordered, table + TIE, right=True)
        equal = block.shape[1] - torch.searchsorted(ordered, table - TIE) - above
        before += above
        row, place = equal.nonzero(as_tuple=True)
        near = (block[row] - table[row, place][:, None]).abs() <= TIE
        earlier = torch.arange(start, start + block.shape[1])[None, :] < which[row, place][:, None]
        before[row, place] += (near & earlier).sum(1)
    among = (-table.masked_fill(torch.isinf(table), -torch.inf)).argsort(dim=1, stable=True).argsort(dim=1)
    return (before + among + 1)[pairs.owners, places].numpy()


def reorder(ranks: Ranks, orders: np.ndarray) -> Ranks:
    """Returns the ranks after the best candidates of each query were put into another order.

    Args:
        ranks: The ranks before.
        orders: (Q, K) each query's best K candidates in their new order.
    """
    is_it = orders[ranks.owners] == ranks.candidates[:, None]  # (R, K)
    return ranks._replace(ranks=np.where(is_it.any(1), is_it.argmax(1) + 1, ranks.ranks))


def best_ranks(ranks: Ranks) -> np.ndarray:
    """The place of each query's first relevant candidate: (Q,)."""
    return np.minimum.reduceat(ranks.ranks, _starts(ranks))


def _starts(ranks: Ranks) -> np.ndarray:
    return np.flatnonzero(np.diff(ranks.owners, prepend=-1))


def recall_at(ranks: Ranks, k: int) -> float:
    """Share of the queries with something relevant among the first k."""
    return float((best_ranks(ranks) <= k).mean())


def mean_reciprocal_rank(ranks: Ranks) -> float:
    """Mean of 1 / the place of the first relevant candidate."""
    return float((1 / best_ranks(ranks)).mean())


def ndcg_at(ranks: Ranks, k: int) -> float:
    """Normalised discounted cumulative gain of the first k (Järvelin and Kekäläinen 2002), relevance 0 or 1."""
    gains = np.where(ranks.ranks <= k, 1 / np.log2(ranks.ranks + 1), 0.0)
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    starts = _starts(ranks)
    counts = np.diff(np.append(starts, len(ranks.owners)))
    return float((np.add.reduceat(gains, starts) / ideal[np.minimum(counts, k) - 1]).mean())


def median_rank(ranks: Ranks) -> float:
    """Median place of the first relevant candidate."""
    return float(np.median(best_ranks(ranks)))


def ranking_scores(ranks: Ranks) -> dict[str, float]:
    """All of these metrics, named as everywhere."""
    return {
        **{f"recall@{k}": recall_at(ranks, k) for k in RECALL_AT},
        "median_rank": median_rank(ranks),
        "mrr": mean_reciprocal_rank(ranks),
        f"ndcg@{NDCG_AT}": ndcg_at(ranks, NDCG_AT),
    }


def distinct(vectors: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Indices of the rows that are not the same vector of the same item as an earlier row; absent rows are left out.

    Args:
        vectors: (N, D) unit vectors, or zeros where a row has not the modality.
        items: (N,).
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    present = np.flatnonzero(np.abs(vectors).max(axis=1, initial=0) > 0)
    groups: dict[Any, list[int]] = {}
    for row in present.tolist():
        group = groups.setdefault(items[row], [])
        if not group or np.abs(vectors[group] - vectors[row]).max(axis=1).min() > SAME:
            group.append(row)
    return np.sort(np.concatenate([np.asarray(group) for group in groups.values()])) if groups else present


def directions(modalities: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The two directions of search between two modalities, as (query, candidates)."""
    first, second = modalities
    return ((first, second), (second, first))


def paired_rows(embeds: Mapping[str, np.ndarray], items: np.ndarray) -> dict[str, np.ndarray]:
    """Chooses the rows to search by and among: each modality's distinct ones, of items that have both modalities.

    Args:
        embeds: modality -> (N, D) unit vectors, zeros where a row has not the modality; of two modalities.
        items: (N,) each row's item.

    Returns:
        modality -> indices of its rows.

    Raises:
        ValueError: if no item has both.
    """
    kept = {m: distinct(vectors, items) for m, vectors in embeds.items()}
    there = set.intersection(*[set(items[rows].tolist()) for rows in kept.values()])
    if not there:
        raise ValueError("No row has both modalities: there is nothing to find.")
    return {m: rows[[item in there for item in items[rows].tolist()]] for m, rows in kept.items()}


def embedding_scores(embeds: Mapping[str, np.ndarray], items: np.ndarray) -> dict[str, float]:
    """Scores the search in both directions; `mean_recall` is the mean of the recalls.

    Args:
        embeds: modality -> (N, D) unit vectors, zeros where a row has not the modality; of two modalities.
        items: (N,) each row's item.

    Raises:
        ValueError: if no row has both.
    """
    items, scores = np.asarray(items), {}
    rows = paired_rows(embeds, items)
    for query, other in directions(tuple(embeds)):
        asked, given = rows[query], rows[other]
        vectors = np.asarray(embeds[query])[asked], np.asarray(embeds[other])[given]
        ranks = rank_relevant(*vectors, items[asked], items[given])
        scores.update({f"{query}_to_{other}_{name}": value for name, value in ranking_scores(ranks).items()})
    return {"mean_recall": mean_recall(scores), **scores}


def mean_recall(scores: Mapping[str, float]) -> float:
    """Mean of all recalls among these scores, in both directions."""
    return float(np.mean([value for name, value in scores.items() if "_recall@" in name]))


def score_names(modalities: Sequence[str]) -> tuple[str, ...]:
    """Names of what `embedding_scores` computes."""
    own = (*(f"recall@{k}" for k in RECALL_AT), "median_rank", "mrr", f"ndcg@{NDCG_AT}")
    return ("mean_recall", *(f"{a}_to_{b}_{name}" for a, b in directions(modalities) for name in own))


class _RetrievalMetric(evaluate.Metric):
    """An `evaluate.Metric` whose predictions are query vectors and whose references are the items they ask for.

    `compute(predictions=…, references=…, candidates=…, candidate_items=…)`; of those "at k" also `k`.
    """

    score_name = ""
    default_k: int | None = None

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 (evaluate.Metric's own)
        super().__init__(keep_in_memory=True, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        vector: Any = datasets.Sequence(datasets.Value("float32"))
        features: Any = {"predictions": vector, "references": datasets.Value("string")}
        return evaluate.MetricInfo(description=self.__doc__, citation="", features=datasets.Features(features))

    def _compute(
        self,
        predictions: list,
        references: list,
        candidates: Any = None,  # noqa: ANN401 ((C, D) numbers)
        candidate_items: Sequence[Any] = (),
        k: int | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, float]:
        items = [str(item) for item in candidate_items]
        ranks = rank_relevant(np.asarray(predictions), np.asarray(candidates), references, items)
        k = k or self.default_k
        return {f"{self.score_name}@{k}" if k else self.score_name: self.score(ranks, k)}

    def score(self, ranks: Ranks, k: int | None) -> float:
        """Computes the metric from the ranks."""
        raise NotImplementedError


class RecallAtK(_RetrievalMetric):
    """Share of the queries with something relevant among the first k."""

    score_name, default_k = "recall", 1

    def score(self, ranks: Ranks, k: int | None) -> float:
        """Computes recall@k."""
        return recall_at(ranks, k or 1)


class NDCG(_RetrievalMetric):
    """Normalised discounted cumulative gain of the first k (Järvelin and Kekäläinen 2002)."""

    score_name, default_k = "ndcg", NDCG_AT

    def score(self, ranks: Ranks, k: int | None) -> float:
        """Computes nDCG@k."""
        return ndcg_at(ranks, k or NDCG_AT)


class MeanReciprocalRank(_RetrievalMetric):
    """Mean of 1 / the place of the first relevant candidate."""

    score_name = "mrr"

    def score(self, ranks: Ranks, k: int | None) -> float:
        """Computes the mean reciprocal rank."""
        return mean_reciprocal_rank(ranks)


class MedianRank(_RetrievalMetric):
    """Median place of the first relevant candidate."""

    score_name = "median_rank"

    def score(self, ranks: Ranks, k: int | None) -> float:
        """Computes the median rank."""
        return median_rank(ranks)
