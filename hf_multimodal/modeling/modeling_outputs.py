# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Output classes. Shapes: B rows, M modalities, L tokens (of one modality or of all), H fusion width, C labels."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class TowerOutput(ModelOutput):
    """What every tower returns, whatever its backbone.

    Attributes:
        tokens: (B, L, H) token features. Where the modality is absent, the first token is the learned absent-modality
            token and the rest are zero.
        mask: (B, L) bool, True = real token. At least one token per row is real.
        present: (B,) bool, True = the row has this modality; None = every row has.
    """

    # always there; ModelOutput wants a default of None
    tokens: torch.Tensor = None  # type: ignore[assignment]
    mask: torch.Tensor = None  # type: ignore[assignment]
    present: torch.Tensor | None = None


@dataclass
class FusionOutput(ModelOutput):
    """What every fusion returns.

    Attributes:
        tokens: modality -> (B, L, H) fused tokens.
        modality_embeds: (B, M, H) one fused vector per modality, in the configuration's order.
        pooled: (B, H) one vector per row.
        modality_weights: (B, M) weights of the modalities, zero where absent; None if the fusion gives none.
    """

    tokens: dict[str, torch.Tensor] = None  # type: ignore[assignment]
    modality_embeds: torch.Tensor = None  # type: ignore[assignment]
    pooled: torch.Tensor = None  # type: ignore[assignment]
    modality_weights: torch.Tensor | None = None


@dataclass
class MultimodalModelOutput(ModelOutput):
    """Output of `MultimodalModel`.

    Attributes:
        last_hidden_state: (B, L, H) fused tokens, the modalities one after another in the configuration's order.
        pooler_output: (B, H) one vector per row.
        modality_embeds: (B, M, H) one fused vector per modality.
        token_mask: (B, L) long, 1 = a real token of `last_hidden_state`.
        modality_weights: (B, M) each modality's weight, of the fusions that have any (`weighted`, `decision`).
        hidden_states: tuple of (B, L, H), before each fusion layer and after the last.
        attentions: tuple of (B, heads, L_m, L_m), self-attention per fusion layer and modality.
        cross_attentions: tuple of (B, heads, L_m, L_rest), attention of modality m over all the others, likewise.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    modality_embeds: torch.Tensor | None = None
    token_mask: torch.Tensor | None = None  # before what may be missing, so that a tuple has it in its place
    modality_weights: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class MultimodalClassifierOutput(ModelOutput):
    """Output of the classification and question-answering models.

    Attributes:
        loss: (1,) or scalar, when labels were given.
        logits: (B, C) scores before softmax or sigmoid; the predicted values for regression.
        modality_embeds: (B, M, H) one fused vector per modality.
        modality_weights: as in `MultimodalModelOutput`.
        hidden_states: as in `MultimodalModelOutput`.
        attentions: as in `MultimodalModelOutput`.
        cross_attentions: as in `MultimodalModelOutput`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    modality_embeds: torch.Tensor | None = None
    modality_weights: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class MultimodalMultiTaskOutput(ModelOutput):
    """Output of the model of several tasks.

    Attributes:
        loss: (1,) or scalar, the weighted sum, when labels were given.
        logits: task -> (B, C) as in `MultimodalClassifierOutput`.
        task_losses: task -> scalar, each task's own loss over the rows that have its label.
        modality_embeds: (B, M, H) one fused vector per modality.
        modality_weights: as in `MultimodalModelOutput`.
        hidden_states: as in `MultimodalModelOutput`.
        attentions: as in `MultimodalModelOutput`.
        cross_attentions: as in `MultimodalModelOutput`.
    """

    loss: torch.Tensor | None = None
    logits: dict[str, torch.Tensor] | None = None
    task_losses: dict[str, torch.Tensor] | None = None
    modality_embeds: torch.Tensor | None = None
    modality_weights: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class MultimodalRetrievalOutput(ModelOutput):
    """Output of the retrieval model.

    Attributes:
        loss: (1,) or scalar, contrastive plus weighted match loss, when item ids were given.
        embeds: modality -> (B, D) unit vectors; zero where a row has not the modality.
        match_logits: (B,) whether each row's two modalities match; without labels only.
        contrastive_loss: scalar, when item ids were given.
        match_loss: likewise, of the match head.
        hidden_states: as in `MultimodalModelOutput`; with labels, of all pairs that were matched.
        attentions: likewise.
        cross_attentions: likewise.
    """

    loss: torch.Tensor | None = None
    embeds: dict[str, torch.Tensor] | None = None
    match_logits: torch.Tensor | None = None
    contrastive_loss: torch.Tensor | None = None
    match_loss: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class MultimodalPreTrainingOutput(ModelOutput):
    """Output of the model for pretraining.

    Attributes:
        loss: scalar, the weighted sum, when labels were given.
        objective_losses: objective -> scalar, each objective's own loss.
        embeds: modality -> (B, D) unit vectors, with an objective of pairs.
        reconstructions: modality -> (B, P, C * S * S) patches; without labels only.
        hidden_states: as in `MultimodalModelOutput`; of the objective `matching` those of all pairs follow.
        attentions: likewise.
        cross_attentions: likewise.
    """

    loss: torch.Tensor | None = None
    objective_losses: dict[str, torch.Tensor] | None = None
    embeds: dict[str, torch.Tensor] | None = None
    reconstructions: dict[str, torch.Tensor] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None


__all__ = [
    "FusionOutput",
    "MultimodalClassifierOutput",
    "MultimodalModelOutput",
    "MultimodalMultiTaskOutput",
    "MultimodalPreTrainingOutput",
    "MultimodalRetrievalOutput",
    "TowerOutput",
]
