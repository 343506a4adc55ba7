# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What of a row is hidden from a model that learns without labels: tokens of its text, patches of its pictures."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS
from hf_multimodal.modeling.modeling_losses import NO_LABEL
from hf_multimodal.modeling.modeling_reconstruction import patch_grid

if TYPE_CHECKING:
    from transformers import BatchFeature, PreTrainedConfig

DEFAULT_RATIOS = {"text": 0.15, "image": 0.6, "audio": 0.6}  # as in BERT; between SimMIM and MAE
MASKED_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the hidden tokens: BERT's (Devlin et al. 2019)


@dataclass(frozen=True)
class MaskingSchema:
    """What stands in the place of labels in pretraining: which parts of the row are hidden.

    In training the draw follows the seed, the epoch and the row's id, however many processes there are and wherever a
    run was interrupted; without an epoch it follows torch's random numbers and the rank. In evaluation it follows the
    row's id alone.

    Args:
        objectives: Those of `MultimodalConfig.pretraining_objectives`.
        ratios: Modality -> share of its tokens or patches that is hidden; 0 hides none, as an autoencoder wants it.
        patch_size: Side of a patch in pixels.
        drawn: The modalities that are drawn again.
        whole_words: Whether all tokens of a word are hidden together.
        rank: The process's number.
        seed: Of the training.
        epoch: A number in memory that worker processes share, as the Trainer sets it; None where rows have no ids.
        by_row: Whether the draw follows the rows' ids.
    """

    objectives: tuple[str, ...]
    ratios: dict[str, float] = field(default_factory=DEFAULT_RATIOS.copy)
    patch_size: int = 8
    drawn: tuple[str, ...] = ("image", "audio")
    whole_words: bool = False
    rank: int = 0
    seed: int = 0
    epoch: torch.Tensor | None = None
    by_row: bool = False
    problem_type = "pretraining"

    def __post_init__(self) -> None:
        """Checks the ratios."""
        for modality, ratio in self.ratios.items():
            if not isinstance(ratio, (int, float)) or isinstance(ratio, bool):
                raise ValueError(f"The share of {modality} to hide is {ratio!r}: it is a number.")
            if modality not in DEFAULT_RATIOS:
                raise ValueError(f"Nothing of {modality!r} can be hidden. Known: {', '.join(DEFAULT_RATIOS)}.")
            if not 0 <= ratio < 1:
                raise ValueError(f"The share of {modality} to hide is {ratio}: it is at least 0 and below 1.")

    @classmethod
    def from_config(cls, config: "PreTrainedConfig", **options: Any) -> "MaskingSchema":  # noqa: ANN401 (of this class)
        """Returns what a model's objectives need."""
        from hf_multimodal.modeling.modeling_pretraining import is_drawn

        known: Any = config
        drawn = tuple(m for m in known.modalities if is_drawn(known, m))
        size = known.reconstruction_patch_size
        return cls(tuple(known.pretraining_objectives), patch_size=size, drawn=drawn, **options)

    def for_evaluation(self) -> "MaskingSchema":
        """Returns the same, drawn by the rows' ids."""
        return replace(self, by_row=True)

    def ratio(self, modality: str) -> float:
        """The share of a modality that is hidden."""
        return self.ratios.get(modality, DEFAULT_RATIOS[modality])

    def check_tokenizer(self, tokenizer: Any) -> None:  # noqa: ANN401 (any tokenizer)
        """Sees that tokens can be hidden.

        Raises:
            ValueError: if the tokenizer has no token to hide others behind.
        """
        if "masked_language" in self.objectives and getattr(tokenizer, "mask_token_id", None) is None:
            raise ValueError(
                "The objective masked_language hides tokens behind the tokenizer's mask token, and this one has none: "
                "add it (tokenizer.add_special_tokens({'mask_token': '[MASK]'})), or leave the objective out."
            )

    def hide(
        self,
        batch: "BatchFeature",
        tokenizer: Any,  # noqa: ANN401 (any tokenizer)
        row_ids: Sequence[Any],
        items: Sequence[int],
    ) -> dict[str, torch.Tensor]:
        """Hides tokens in a batch, says which patches are to be hidden, and returns all of it as labels.

        Args:
            batch: The processor's tensors; `input_ids` are replaced, patches are left to the model, which draws them.
            tokenizer: The text's.
            row_ids: A row each.
            items: Which item each row belongs to, as `ItemSchema` numbers them, for the objectives of pairs.
        """
        generators = self._generators(row_ids)
        labels: dict[str, torch.Tensor] = {}
        if "masked_language" in self.objectives and "input_ids" in batch:
            batch["input_ids"], labels["masked_language"] = self._hide_tokens(batch, tokenizer, generators)
        if "reconstruction" in self.objectives:
            for modality in self.drawn:
                pixels = batch.get(TOWER_INPUTS[modality][0])
                if pixels is not None:
                    rows, columns = patch_grid(pixels, self.patch_size)
                    labels[modality] = self._choose_patches(rows * columns, self.ratio(modality), generators)
        if {"contrastive", "matching"} & set(self.objectives):
            labels["items"] = torch.tensor(items)
        return labels

    def _generators(self, row_ids: Sequence[Any]) -> list[torch.Generator]:
        if self.by_row or self.epoch is not None:
            drawn_again = "" if self.epoch is None or self.by_row else f"{self.seed} {self.epoch.item()} "
            names = [f"{drawn_again}{row_id}" for row_id in row_ids]
            digests = [hashlib.blake2b(name.encode(), digest_size=7).digest() for name in names]
            seeds = [int.from_bytes(digest, "big") for digest in digests]
        else:
            drawn: list[int] = torch.randint(2**40, (len(row_ids),)).tolist()
            seeds = [seed * 1009 + self.rank for seed in drawn]
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    @staticmethod
    def _choose_patches(count: int, ratio: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Chooses the same number of patches in every row: (B, P) bool."""
        hidden = torch.zeros(len(generators), count, dtype=torch.bool)
        number = min(round(count * ratio), count - 1)
        for row, generator in enumerate(generators):
            hidden[row, torch.randperm(count, generator=generator)[:number]] = True
        return hidden

    def _hide_tokens(
        self,
        batch: "BatchFeature",
        tokenizer: Any,  # noqa: ANN401 (any tokenizer)
        generators: Sequence[torch.Generator],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the token ids (B, L) as the model sees them, and those it is to guess, -100 elsewhere."""
        ids = batch["input_ids"]
        special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
        usable = ~special & batch["attention_mask"].bool()
        words = _word_numbers(ids, tokenizer) if self.whole_words else torch.arange(ids.shape[1]).expand_as(ids)
        seen, labels = ids.clone(), torch.full_like(ids, NO_LABEL)
        for row, generator in enumerate(generators):
            candidates = words[row][usable[row]].unique()
            if not len(candidates) or not self.ratio("text"):
                continue
            number = max(1, round(len(candidates) * self.ratio("text")))
            chosen = candidates[torch.randperm(len(candidates), generator=generator)[:number]]
            for word in chosen.tolist():
                places = usable[row] & (words[row] == word)
                labels[row, places] = ids[row, places]
                chance = torch.rand(1, generator=generator).item()
                if chance < MASKED_SHARE:
                    seen[row, places] = tokenizer.mask_token_id
                elif chance < MASKED_SHARE + RANDOM_SHARE:
                    count = int(places.sum())
                    seen[row, places] = torch.randint(len(tokenizer), (count,), generator=generator)
        return seen, labels


def masking_options(section: Mapping[str, Any]) -> dict[str, Any]:
    """Turns `data.masking` of a run, shares by modality and `whole_words`, into arguments of `MaskingSchema`."""
    ratios = {name: value for name, value in section.items() if name != "whole_words"}
    return {"ratios": ratios, "whole_words": section.get("whole_words", False)}


def _word_numbers(ids: torch.Tensor, tokenizer: Any) -> torch.Tensor:  # noqa: ANN401 (any tokenizer)
    """Numbers the words that tokens belong to: (B, L)."""
    return (~_goes_on(tokenizer)[ids]).long().cumsum(1)


@lru_cache(maxsize=8)
def _goes_on(tokenizer: Any) -> torch.Tensor:  # noqa: ANN401 (any tokenizer)
    """Says of each token whether it goes on a word: of BERT's kind by its ##, of others by the space it lacks."""
    tokens = [str(token) for token in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]
    if any(token.startswith("##") for token in tokens):
        return torch.tensor([token.startswith("##") for token in tokens])
    begins = [token.startswith(("\u0120", "\u2581")) for token in tokens]  # of byte pairs, of SentencePiece
    special = set(tokenizer.all_special_tokens)
    return torch.tensor(
        [any(begins) and not x and token not in special for x, token in zip(begins, tokens, strict=True)]
    )


__all__ = ["DEFAULT_RATIOS", "MaskingSchema", "masking_options"]
