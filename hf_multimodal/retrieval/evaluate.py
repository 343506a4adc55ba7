# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""How well a retrieval model finds what belongs together, before and after reranking, in both directions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate.utils import gather_object
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hf_multimodal.data.captions import spread_captions
from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.columns import ROW_ID
from hf_multimodal.data.labels import ItemSchema, check_labels
from hf_multimodal.data.whole_files import whole_file, write_whole
from hf_multimodal.evaluation.predictions import METRICS, metrics_json
from hf_multimodal.evaluation.retrieval_metrics import (
    Ranks,
    best_ranks,
    directions,
    mean_recall,
    paired_rows,
    rank_relevant,
    ranking_scores,
    reorder,
)
from hf_multimodal.modeling.modeling_outputs import TowerOutput
from hf_multimodal.prediction.predictor import MultimodalPredictor
from hf_multimodal.retrieval.models import open_retriever
from hf_multimodal.retrieval.search import check_match_head, combined_scores, score_against
from hf_multimodal.training.inference import process_state
from hf_multimodal.training.row_source import RowSource

RANKINGS = "rankings.parquet"
RERANKED = "reranked_"
_NO_TOKENS = np.zeros((0, 0), np.float16)


@dataclass(frozen=True)
class _Side:
    """One modality's distinct rows.

    Attributes:
        ids: (N,) ids of the rows.
        items: (N,) their items.
        vectors: (N, D).
        tokens: Each row's tokens, (L, H).
    """

    ids: list[str]
    items: np.ndarray
    vectors: np.ndarray
    tokens: list[np.ndarray]

    def select(self, chosen: np.ndarray) -> "_Side":
        """Takes some of the rows."""
        ids, tokens = [self.ids[i] for i in chosen], [self.tokens[i] for i in chosen]
        return _Side(ids, self.items[chosen], self.vectors[chosen], tokens)


def evaluate_retrieval(
    model: str, rows: RowSource, *, rerank: int = 0, output: Path | None = None, batch_size: int = 64
) -> dict[str, float]:
    """Computes recall@k, median rank, MRR and nDCG of a saved model on pairs, in both directions.

    Rows of one item are relevant to each other, and the same picture in several rows counts once. With several
    processes each reranks its share of the queries.

    Args:
        model: Folder or Hub id; a bundle's folder will do.
        rows: The pairs.
        rerank: How many candidates of each query the match head puts into a new order; 0 reranks none. Metrics after
            it are named `reranked_...`.
        output: Folder for `metrics.json` and `rankings.parquet` (each query's rank and its first answers), or None.
        batch_size: Rows encoded at a time.

    Raises:
        ValueError: if the model is none for retrieval, or a row is not usable.
    """
    state = process_state()
    predictor = open_retriever(model)
    if rerank:
        check_match_head(predictor)
    dataset = rows.load(with_labels=False, text_lists=True)
    check_labels(dataset, ItemSchema(), columns=rows.columns)
    collator = MultimodalCollator(predictor.processor, ItemSchema(), rows.columns)
    quiet = not state.is_main_process
    sides = _encode(predictor, spread_captions(dataset), collator, batch_size, with_tokens=bool(rerank), quiet=quiet)
    scores: dict[str, float] = {}
    tables = []
    for query, other in directions(tuple(sides)):
        asked, candidates = sides[query], sides[other]
        ranks = rank_relevant(asked.vectors, candidates.vectors, asked.items, candidates.items)
        found = _first(asked.vectors, candidates.vectors, max(rerank, 10))
        results = {"": ranks}
        if rerank:
            found = _rerank(predictor, query, asked, candidates, found, rerank, quiet)
            results[RERANKED] = reorder(ranks, found[:, :rerank])
        for prefix, ranked in results.items():
            named = ranking_scores(ranked).items()
            scores.update({f"{prefix}{query}_to_{other}_{name}": value for name, value in named})
        tables.append(_ranking_table(f"{query}_to_{other}", asked, candidates, results, found))
    metrics = _with_means(scores)
    if output is not None and state.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        with whole_file(output / RANKINGS) as partial:
            pq.write_table(pa.concat_tables(tables, promote_options="default"), partial)
        write_whole(output / METRICS, metrics_json(metrics))
    return metrics


def _with_means(scores: Mapping[str, float]) -> dict[str, float]:
    plain = {name: value for name, value in scores.items() if not name.startswith(RERANKED)}
    again = {name: value for name, value in scores.items() if name.startswith(RERANKED)}
    means = {"mean_recall": mean_recall(plain), **({f"{RERANKED}mean_recall": mean_recall(again)} if again else {})}
    return {**means, **plain, **again}


@torch.inference_mode()
def _encode(
    predictor: MultimodalPredictor,
    rows: Any,  # noqa: ANN401 (a map-style dataset)
    collator: MultimodalCollator,
    batch_size: int,
    *,
    with_tokens: bool,
    quiet: bool,
) -> dict[str, _Side]:
    modalities = predictor.modalities
    vectors: dict[str, list[np.ndarray]] = {m: [] for m in modalities}
    tokens: dict[str, list[np.ndarray]] = {m: [] for m in modalities}  # half precision, as in an index
    items, ids = [], []
    loader: Any = DataLoader(rows, batch_size, collate_fn=lambda part: (part, collator(part)))
    for part, batch in tqdm(loader, desc="Encoding", leave=False, disable=quiet):
        items.append(batch.pop("labels").numpy())
        ids += [str(row.get(ROW_ID)) for row in part]
        encoded = predictor.encode(batch)
        for m in modalities:
            if m in encoded:
                vectors[m].append(encoded[m].vectors)
            else:
                vectors[m].append(np.zeros((len(part), predictor.config.embedding_size), np.float32))
            there = with_tokens and m in encoded
            tokens[m] += list(_real_tokens(encoded[m].tower)) if there else [_NO_TOKENS] * len(part)
    known, embedded = np.concatenate(items), {m: np.concatenate(vectors[m]) for m in modalities}
    chosen = paired_rows(embedded, known)
    return {m: _Side(ids, known, embedded[m], tokens[m]).select(chosen[m]) for m in modalities}


def _real_tokens(tower: TowerOutput) -> Iterator[np.ndarray]:
    for row, real in zip(tower.tokens.to(torch.float16).cpu(), tower.mask.cpu(), strict=True):
        yield row[real].numpy()


def _first(queries: np.ndarray, candidates: np.ndarray, count: int, block_size: int = 1024) -> np.ndarray:
    """Indices of each query's nearest candidates, best first: (Q, count), or all of them if there are fewer."""
    q, c = torch.from_numpy(queries), torch.from_numpy(candidates)
    count = min(count, len(c))
    return torch.cat([(part @ c.T).topk(count, dim=1).indices for part in q.split(block_size)]).numpy()


@torch.inference_mode()
def _rerank(
    predictor: MultimodalPredictor,
    modality: str,
    asked: _Side,
    candidates: _Side,
    found: np.ndarray,
    count: int,
    quiet: bool,
) -> np.ndarray:
    """Puts each query's first candidates into the order of match head and embeddings together."""
    state = process_state()
    mine = range(state.process_index, len(asked.ids), state.num_processes)
    orders: list[tuple[int, list[int]]] = []
    for row in tqdm(mine, desc=f"Reranking for {modality}", leave=False, disable=quiet):
        first = found[row, :count]
        tokens = torch.from_numpy(asked.tokens[row])[None].to(predictor.device, predictor.dtype)
        query = TowerOutput(tokens=tokens, mask=torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))
        logits = score_against(predictor, modality, query, [candidates.tokens[i] for i in first])
        totals = combined_scores(predictor, logits, candidates.vectors[first] @ asked.vectors[row])
        orders.append((row, first[np.argsort(-totals, kind="stable")].tolist()))
    gathered = gather_object(orders) if state.num_processes > 1 else orders
    found = found.copy()
    for row, order in gathered:
        found[row, : len(order)] = order
    return found


def _ranking_table(
    direction: str, asked: _Side, candidates: _Side, results: Mapping[str, Ranks], found: np.ndarray
) -> pa.Table:
    return pa.table(
        {
            "direction": [direction] * len(asked.ids),
            "query": asked.ids,
            **{f"{prefix}rank": best_ranks(ranks) for prefix, ranks in results.items()},
            "found": [[candidates.ids[i] for i in row[:10]] for row in found],
        }
    )


__all__ = ["RANKINGS", "evaluate_retrieval"]
