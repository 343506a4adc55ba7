# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Search in a collection, and reranking of what is found by the same model's match head."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS, check_known
from hf_multimodal.modeling.modeling_outputs import TowerOutput
from hf_multimodal.prediction.predictor import Encoded, MultimodalPredictor
from hf_multimodal.retrieval.collection import Collection
from hf_multimodal.retrieval.models import open_retriever
from hf_multimodal.retrieval.token_store import to_tower
from hf_multimodal.retrieval.vector_index import Found, Where, check_k

PAIRS_AT_ONCE = 256


@dataclass(frozen=True)
class Hit:
    """One item found.

    Attributes:
        id: Its id.
        similarity: Cosine of its and the query's embeddings.
        match_score: Logit of the match head; None where it was not asked.
        score: What the hits are ordered by: the similarity, or after reranking `combined_scores`.
        metadata: What was stored with it.
    """

    id: str
    similarity: float
    match_score: float | None
    score: float
    metadata: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Returns it as a mapping, for JSON."""
        return asdict(self)


class Searcher:
    """Answers queries over a collection.

    Args:
        predictor: The model that the collection was embedded with, or a bundle of it.
        collection: The collection.
    """

    def __init__(self, predictor: MultimodalPredictor, collection: Collection) -> None:
        self.predictor, self.collection = predictor, collection

    @classmethod
    def open(
        cls,
        index: str | Path,
        *,
        model: str | MultimodalPredictor | None = None,
        device: str | torch.device | None = None,
        **options: Any,  # noqa: ANN401 (described below)
    ) -> "Searcher":
        """Opens a collection and its model.

        Args:
            index: Folder of the collection.
            model: Where its model, or a bundle exported from it, is now, or what was opened there; None takes where the
                model was when the rows were embedded.
            device: Where a model that is opened here runs; None takes an accelerator if there is one.
            **options: Of the backend (Milvus: `token`).

        Raises:
            ValueError: if there is no index, or the model is not the one that made it.
        """
        collection = Collection.open(index, **options)
        manifest = collection.manifest
        predictor = (
            open_retriever(model or manifest.model, device) if model is None or isinstance(model, str) else model
        )
        if (found := predictor.model_revision) != manifest.revision:
            named = model if isinstance(model, str) else predictor.name
            raise ValueError(
                f"The index in {str(index)!r} was made with revision {manifest.revision} of {manifest.model!r}, but "
                f"{named!r} is {found}: their vectors do not compare. Give the same model, or embed and index again."
            )
        return cls(predictor, collection)

    def search(
        self,
        k: int = 10,
        *,
        rerank: int = 0,
        where: Where | None = None,
        **query: Any,  # noqa: ANN401 (modality -> a value)
    ) -> list[Hit]:
        """Answers one query, given as `text=…`, `image=…` and so on: `search(text="a red shirt")`.

        Args:
            k: How many items; all where there are fewer.
            rerank: How many of the first the match head puts into a new order; 0 leaves the order of similarity.
            where: Only items with these values of the stored columns; see `VectorIndex.search`.
            **query: One modality and its value.

        Raises:
            ValueError: if the query is empty or not one, or the collection cannot be reranked.
        """
        if len(query) != 1:
            raise ValueError(f"Give one query, of {' or '.join(self.predictor.modalities)}; got {sorted(query)}.")
        modality, value = next(iter(query.items()))
        return self.search_many(modality, [value], k, rerank=rerank, where=where)[0]

    @torch.inference_mode()
    def search_many(
        self, modality: str, values: Sequence[Any], k: int = 10, *, rerank: int = 0, where: Where | None = None
    ) -> list[list[Hit]]:
        """Answers several queries of one modality; see `search`."""
        check_known("modality of this model", modality, self.predictor.modalities)
        check_k(k)
        if rerank < 0:
            raise ValueError(f"rerank={rerank}: it cannot be negative.")
        if rerank:
            check_match_head(self.predictor)
        if rerank and modality == self.collection.manifest.modality:
            raise ValueError(
                f"The match head compares two modalities, but query and collection are both {modality}: leave rerank "
                "out."
            )
        if not values:
            return []
        vectors, encoded = self.encode(modality, values)
        found = self.collection.index.search(vectors, max(k, rerank), where)
        if not rerank:
            return [[Hit(x.id, x.similarity, None, x.similarity, x.metadata) for x in hits[:k]] for hits in found]
        return [
            self._rerank(modality, TowerOutput(**{n: t[i : i + 1] for n, t in encoded.items()}), hits, rerank)[:k]
            for i, hits in enumerate(found)
        ]

    def encode(self, modality: str, values: Sequence[Any]) -> Encoded:
        """Encodes queries.

        Raises:
            ValueError: if one is empty.
        """
        for number, value in enumerate(values):
            if value is None or (isinstance(value, str) and not value.strip()):
                raise ValueError(f"Query {number} is empty: give a {modality}.")
        batch = MultimodalCollator(self.predictor.processor)([{modality: value} for value in values])
        return self.predictor.encode({name: batch[name] for name in TOWER_INPUTS[modality] if name in batch})[modality]

    def _rerank(self, modality: str, query: TowerOutput, found: Sequence[Found], count: int) -> list[Hit]:
        """Puts the first hits into the order of the match head; those behind them stay behind."""
        first = list(found[:count])
        stored = self.collection.tokens.get([hit.id for hit in first])
        logits = score_against(self.predictor, modality, query, stored)
        totals = combined_scores(self.predictor, logits, np.array([hit.similarity for hit in first]))
        hits = [
            Hit(x.id, x.similarity, float(match), float(total), x.metadata)
            for x, match, total in zip(first, logits, totals, strict=True)
        ]
        hits.sort(key=lambda hit: -hit.score)
        return hits + [Hit(x.id, x.similarity, None, x.similarity, x.metadata) for x in found[count:]]


def combined_scores(predictor: MultimodalPredictor, match_logits: np.ndarray, similarities: np.ndarray) -> np.ndarray:
    """Scores to rerank by: the match head's logit plus the contrastive one.

    The match head learns to tell matches from negatives drawn in proportion to the exponential of the contrastive
    logit, so the sum is its estimate of how likely a match is (noise-contrastive estimation of a residual model, Deng
    et al. 2020).

    Args:
        predictor: The model.
        match_logits: (N,).
        similarities: (N,) cosines.
    """
    contrastive = predictor.contrastive()
    return match_logits + contrastive["scale"] * similarities + contrastive["bias"]


def check_match_head(predictor: MultimodalPredictor) -> None:
    """Refuses to rerank by a match head that was not trained.

    Raises:
        ValueError: if the model was trained without one.
    """
    if not predictor.config.match_weight:
        raise ValueError("This model was trained with match_weight=0, without a match head: leave rerank out.")


@torch.inference_mode()
def score_against(
    predictor: MultimodalPredictor, modality: str, query: TowerOutput, candidates: Sequence[np.ndarray]
) -> np.ndarray:
    """Scores one encoded query against candidates by the match head.

    Args:
        predictor: The model.
        modality: The query's.
        query: Its tokens (1, L, H).
        candidates: Each candidate's tokens (L, H), of the model's other modality.

    Returns:
        (N,) logits.
    """
    logits = []
    for start in range(0, len(candidates), PAIRS_AT_ONCE):
        items = to_tower(candidates[start : start + PAIRS_AT_ONCE], predictor.device, query.tokens.dtype)
        count = len(items.tokens)
        repeated = TowerOutput(tokens=query.tokens.expand(count, -1, -1), mask=query.mask.expand(count, -1))
        towers = {m: repeated if m == modality else items for m in predictor.modalities}
        logits.append(predictor.match(towers))
    return np.concatenate(logits) if logits else np.zeros(0, dtype=np.float32)


__all__ = ["Hit", "Searcher", "check_match_head", "combined_scores", "score_against"]
