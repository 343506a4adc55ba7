# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The retrieval model: an embedding per modality for search, and a match head over the fusion for reranking.

Shapes: B rows of this process, G rows of all processes, P pairs, L tokens of one modality, H width, D embedding width.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)
from transformers import initialization as init
from transformers.utils import ModelOutput
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_multimodal import MultimodalConfig
from .modeling_attention import GatedMLP, masked_mean
from .modeling_contrastive import CONTRASTIVE_LOSSES, draw_negatives, match_loss
from .modeling_gather import gather_rows, gather_tower, num_processes, process_index, shared_seed
from .modeling_gradient_cache import cached
from .modeling_heads import ClassificationHead
from .modeling_multimodal import MultimodalModel, MultimodalWithHead
from .modeling_outputs import MultimodalRetrievalOutput, TowerOutput
from .modeling_pooled_fusion import presence

MAX_LOGIT_SCALE = math.log(100)  # a temperature of 0.01 at least, as in CLIP (Radford et al. 2021)
INITIAL_TEMPERATURE = {"infonce": 0.07, "sigmoid": 0.1}  # as in CLIP and SigLIP
INITIAL_BIAS = -10.0  # SigLIP's: most pairs of a batch do not match


class EmbeddingHead(nn.Module):
    """One unit vector from a tower's tokens: their mean, a linear and a gated branch: (B, L, H) -> (B, D)."""

    def __init__(self, config: MultimodalConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.projection = nn.Linear(config.hidden_size, config.embedding_size)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size, config.embedding_size, config.hidden_act)

    def forward(self, tower: TowerOutput) -> torch.Tensor:
        """Embeds the rows; those without the modality get a zero vector."""
        pooled = self.dropout(self.norm(masked_mean(tower.tokens, tower.mask)))
        embeds = F.normalize((self.projection(pooled) + self.mlp(pooled)).float(), dim=-1)
        return embeds if tower.present is None else embeds * tower.present.unsqueeze(1)


class MultimodalForRetrieval(MultimodalWithHead):
    """Contrastive embeddings of two modalities, and a match head over their fusion, in one checkpoint.

    The loss is the contrastive one of `config.contrastive_objective` plus `config.match_weight` times the match head's:
    each row's own pair against pairs with hard negatives, drawn by the contrastive similarities from all processes'
    rows and never from the same item.

    `labels` are item ids, (B,) long: rows that share one (several captions of one picture) match each other.
    """

    output_class: type[ModelOutput] = MultimodalRetrievalOutput
    matches_items = True
    # of the forward without labels; with them, of the matched and unmatched pairs together
    _can_record_outputs = MultimodalModel._can_record_outputs

    def __init__(self, config: MultimodalConfig) -> None:
        self.check_modalities(config)
        super().__init__(config)
        self.chunk_size: int | None = None
        self.freeze()

    def check_modalities(self, config: MultimodalConfig) -> None:
        """Refuses anything but two modalities."""
        if len(config.modalities) != 2:
            raise ValueError(
                f"{type(self).__name__} matches two modalities, but the configuration has "
                f"{len(config.modalities)} ({', '.join(config.modalities)}): give two towers."
            )

    def build_head(self, config: MultimodalConfig, dropout: float) -> nn.Module:
        """Builds the match head, and what embeds."""
        self.build_embedding_heads(config)
        return self.per_modality(config, lambda: ClassificationHead(config.hidden_size, 1, dropout))

    def build_embedding_heads(self, config: MultimodalConfig) -> None:
        """Builds the embedding heads, the temperature and, of the sigmoid objective, the bias."""
        self.embedding_heads = nn.ModuleDict({m: EmbeddingHead(config) for m in config.modalities})
        self.logit_scale = nn.Parameter(torch.zeros(1))  # shape (1,): FSDP2 refuses scalars
        if config.contrastive_objective == "sigmoid":
            self.logit_bias = nn.Parameter(torch.zeros(1))

    @property
    def match_head(self) -> nn.Module:
        """The head that tells a pair from a near miss."""
        return self.head

    @property
    def trains_fusion(self) -> bool:
        """Whether the objective reaches fusion and match head."""
        return bool(self.config.match_weight)

    def freeze(self) -> None:
        """Also leaves out of training what no objective reaches: it would cost a step's time, and only decay."""
        super().freeze()
        if not self.trains_fusion:
            self.model.fusion.requires_grad_(False)
            self.head.requires_grad_(False)

    def init_own_parameters(self, std: float) -> None:
        """Sets temperature and bias to where their objective starts."""
        init.constant_(self.logit_scale, -math.log(INITIAL_TEMPERATURE[self.config.contrastive_objective]))
        if self.config.contrastive_objective == "sigmoid":
            init.constant_(self.logit_bias, INITIAL_BIAS)

    def set_chunk_size(self, chunk_size: int | None) -> None:
        """Bounds the memory of a training step: that many rows' activations at a time (gradient caching); None = all.

        Raises:
            ValueError: if it is not positive.
        """
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size={chunk_size}: give at least 1, or None to keep the batch whole.")
        self.chunk_size = self.model.chunk_size = chunk_size

    def encode(self, modality_mask: torch.Tensor | None = None, **inputs: torch.Tensor) -> dict[str, TowerOutput]:
        """Runs the towers of the modalities given.

        Args:
            modality_mask: (B, M) bool in the order of `config.modalities`; None = whatever is given is present.
            **inputs: As `forward` takes them.

        Returns:
            modality -> tokens (B, L, H) and their mask; of those whose inputs are given.
        """
        return self.model.encode(inputs, modality_mask, only_given=True)

    def embed(self, towers: Mapping[str, TowerOutput]) -> dict[str, torch.Tensor]:
        """Embeds encoded rows: modality -> (B, D) unit vectors; zero where a row has not the modality."""
        return {m: self.embedding_heads[m](tower) for m, tower in towers.items()}

    def match(
        self,
        towers: Mapping[str, TowerOutput],
        first: torch.Tensor | None = None,
        second: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scores pairs of encoded rows by the match head: (P,) logits.

        Args:
            towers: Both modalities' outputs.
            first: (P,) rows of the first modality's; None takes all in order.
            second: (P,) rows of the second modality's.
        """
        pairs = {m: _select(tower, rows) for (m, tower), rows in zip(towers.items(), (first, second), strict=True)}
        return self.score(self.match_head, self.model.fuse(pairs)).squeeze(1)

    def scaled(self, similarity: torch.Tensor) -> torch.Tensor:
        """Turns similarities into the logits of the contrastive objective."""
        logits = similarity * self.logit_scale.exp()
        return logits + self.logit_bias if self.config.contrastive_objective == "sigmoid" else logits

    @merge_with_config_defaults
    @capture_outputs
    def run(
        self,
        inputs: dict[str, Any],
        labels: torch.Tensor | None = None,
        **kwargs: Any,  # noqa: ANN401 (output_* flags, read by the decorators)
    ) -> ModelOutput:
        """Embeds and matches a batch; with labels (item ids) it computes the loss as well."""
        towers = self.model.encode(inputs, inputs.get("modality_mask"))
        embeds = self.embed(towers)
        if labels is None:
            return MultimodalRetrievalOutput(embeds=embeds, match_logits=self.match(towers))
        return MultimodalRetrievalOutput(**self._losses(towers, embeds, labels), embeds=embeds)

    def _losses(
        self, towers: dict[str, TowerOutput], embeds: dict[str, torch.Tensor], items: torch.Tensor
    ) -> dict[str, Any]:
        contrastive, match = self.pair_losses(towers, embeds, items, self.trains_fusion)
        outputs = {"loss": contrastive, "contrastive_loss": contrastive.detach()}
        if match is not None:
            outputs.update(loss=contrastive + self.config.match_weight * match, match_loss=match.detach())
        return outputs

    def pair_losses(
        self, towers: dict[str, TowerOutput], embeds: dict[str, torch.Tensor], items: torch.Tensor, matching: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Computes the contrastive loss, and the match head's where it is asked for.

        Args:
            towers: Both modalities' outputs.
            embeds: Their embeddings.
            items: (B,) ids; rows that share one match each other.
            matching: Whether to compute the match head's loss.
        """
        if self.training:
            with torch.no_grad():
                self.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        # without training every process may have its own number of batches
        everyone = gather_rows if self.training else lambda x: x
        shares = num_processes() if self.training else 1
        known = presence(towers).all(dim=1)  # (B,)
        known_all, items_all = everyone(known.long()).bool(), everyone(items)
        count = known_all.sum().clamp(min=1) / shares
        same = items[:, None] == items_all[None, :]  # (B, G)
        usable = known[:, None] & known_all[None, :]
        positives, negatives = same & usable, ~same & usable
        first, second = embeds.values()
        with torch.autocast(first.device.type, enabled=False):  # half precision would make neighbours equal
            # (B, G) each: this process's rows of one modality against everybody's of the other
            logits = [self.scaled(first @ everyone(second).T), self.scaled(second @ everyone(first).T)]
        loss_of = CONTRASTIVE_LOSSES[self.config.contrastive_objective]
        contrastive = sum(loss_of(x, positives, negatives).sum() for x in logits) / (2 * count)
        if not matching:
            return contrastive, None
        every = {m: gather_tower(x) for m, x in towers.items()} if self.training else towers
        return contrastive, self._match_loss(every, logits, negatives, known) / count

    def _match_loss(
        self, towers: dict[str, TowerOutput], logits: list[torch.Tensor], negatives: torch.Tensor, known: torch.Tensor
    ) -> torch.Tensor:
        """The match head's loss, summed over this process's anchors: half of it of matching pairs."""
        device, (rows, everyone) = known.device, negatives.shape
        own = torch.arange(rows, device=device) + (process_index() * rows if self.training else 0)
        # noise of its own for each row, so that the draw does not depend on which process has it
        seed = shared_seed(device) if self.training else 0
        generators = [torch.Generator().manual_seed(seed + row) for row in own.tolist()]
        noise = torch.stack([torch.rand(2, everyone, generator=x) for x in generators], dim=1).to(device)
        first, second, targets, weights = [own], [own], [torch.ones(rows, device=device)], [known.float() / 2]
        for side, scores in enumerate(logits):
            chosen, is_there = draw_negatives(scores, negatives, noise[side], self.config.match_negatives)
            anchors = own[:, None].expand_as(chosen).flatten()
            (first if side == 0 else second).append(anchors)
            (second if side == 0 else first).append(chosen.flatten())
            targets.append(torch.zeros(chosen.numel(), device=device))
            weights.append((is_there / (4 * is_there.sum(1, keepdim=True).clamp(min=1))).flatten())
        pairs = torch.stack([torch.cat(first), torch.cat(second)], dim=1)
        scores = torch.cat([self._match_chunk(towers, part) for part in pairs.split(self._pairs_at_once(len(pairs)))])
        return match_loss(scores, torch.cat(targets), torch.cat(weights))

    def _pairs_at_once(self, count: int) -> int:
        return self.chunk_size if self.training and self.chunk_size else count

    def _match_chunk(self, towers: dict[str, TowerOutput], pairs: torch.Tensor) -> torch.Tensor:
        if not (self.training and self.chunk_size):
            return self.match(towers, *pairs.unbind(1))
        return cached(self, lambda chunk: self.match(towers, *chunk.unbind(1)), pairs)


def _select(tower: TowerOutput, rows: torch.Tensor | None) -> TowerOutput:
    if rows is None:
        return tower
    return TowerOutput(**{name: tensor[rows] for name, tensor in tower.items()})


__all__ = ["MultimodalForRetrieval"]
