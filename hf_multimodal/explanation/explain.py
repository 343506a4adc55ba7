# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Explanations of single rows: modality shares, attributions of words, pixels and sounds, relevance of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.explanation.gradients import STEPS, integrated_gradients
from hf_multimodal.explanation.relevance import fusion_relevance
from hf_multimodal.explanation.shapley import modality_shares
from hf_multimodal.explanation.target import Target, choose_target
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor

# what the maps over a row's inputs are made by
METHODS = ("integrated_gradients", "relevance", "attention")


@dataclass(frozen=True)
class Explanation:
    """Why a model decided as it did on one row.

    Attributes:
        row_id: The row.
        target: What is explained.
        shares: Modality -> exact Shapley value, in logits.
        tokens: The text's tokens.
        maps: Method -> modality -> values: of text one per token, of a picture (height, width) as the model reads it,
            of a sound one per token of its tower (`relevance`, `attention`) or as its input.
        incompleteness: By how much integrated gradients miss the difference they explain, as a share of it.
    """

    row_id: str
    target: Target
    shares: dict[str, float]
    tokens: list[str]
    maps: dict[str, dict[str, np.ndarray]]
    incompleteness: float
    picture: np.ndarray | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON; maps of pictures are averaged to at most 16 by 16."""
        total = sum(abs(value) for value in self.shares.values()) or 1.0
        return {
            "row_id": self.row_id,
            "label": self.target.label,
            "task": self.target.task,
            "score": self.target.score,
            "modality_shapley": self.shares,
            "modality_share": {m: abs(value) / total for m, value in self.shares.items()},
            "tokens": self.tokens,
            "maps": {
                method: {modality: _small(values).tolist() for modality, values in found.items()}
                for method, found in self.maps.items()
            },
            "incompleteness": self.incompleteness,
        }


def _small(values: np.ndarray) -> np.ndarray:
    if values.ndim < 2:
        return values
    side = tuple(min(16, x) for x in values.shape)
    return F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(values))[None], side)[0].numpy()


class Explainer:
    """Explains the decisions of a model.

    Args:
        model: One that predicts labels or values. Its attention is set to `eager`, whose weights can be seen.
        processor: Its processor.
    """

    def __init__(self, model: Any, processor: MultimodalProcessor) -> None:  # noqa: ANN401 (a model that predicts)
        self.model, self.processor = model.eval(), processor
        self.model.set_attn_implementation("eager")

    def explain(
        self,
        row: Mapping[str, Any],
        *,
        label: str | None = None,
        task: str | None = None,
        steps: int = STEPS,
        methods: Sequence[str] = METHODS,
    ) -> Explanation:
        """Explains one row.

        Args:
            row: Modality -> value, as the collator reads it.
            label: What to explain; None takes what the model decides on.
            task: Of a model of several tasks the one.
            steps: Of integrated gradients.
            methods: Which maps to make, of `METHODS`.

        Raises:
            ValueError: if the row, label or task is not usable.
        """
        batch = MultimodalCollator(self.processor)([row]).to(self.model.device)
        target = choose_target(self.model, batch, label, task)
        maps: dict[str, dict[str, np.ndarray]] = {}
        missed = 0.0
        if "integrated_gradients" in methods:
            found, missed = integrated_gradients(self.model, batch, target, steps)
            maps["integrated_gradients"] = {m: values.float().cpu().numpy() for m, values in found.items()}
        if {"relevance", "attention"} & set(methods):
            relevance, attention = fusion_relevance(self.model, batch, target)
            if relevance and "relevance" in methods:
                maps["relevance"] = self._over_inputs(relevance, batch)
            if attention and "attention" in methods:
                maps["attention"] = self._over_inputs(attention, batch)
        ids = batch["input_ids"][0].tolist() if "input_ids" in batch else []
        return Explanation(
            row_id=str(row.get("row_id", "")),
            target=target,
            shares=modality_shares(self.model, batch, target),
            tokens=[str(token) for token in self.processor.tokenizer.convert_ids_to_tokens(ids)] if ids else [],
            maps=maps,
            incompleteness=missed,
            picture=self._picture(batch),
        )

    def _over_inputs(
        self, values: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]
    ) -> dict[str, np.ndarray]:
        """Brings values of tokens to what a person sees: those of pictures to their pixels, of what is there."""
        present = dict(zip(self.model.config.modalities, batch["modality_mask"][0].tolist(), strict=True))
        found = {}
        for modality, own in values.items():
            if not present[modality]:
                continue
            own = own.float().cpu()
            if modality == "image":
                height, width = batch["pixel_values"].shape[-2:]
                grid = _grid(own, height / width)
                own = F.interpolate(grid[None, None], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
            found[modality] = own.numpy()
        return found

    def _picture(self, batch: Mapping[str, torch.Tensor]) -> np.ndarray | None:
        """The picture as the model reads it, (height, width, 3) from 0 to 1."""
        modalities = self.model.config.modalities
        if "image" not in modalities or not batch["modality_mask"][0][modalities.index("image")]:
            return None
        return self._unnormalised(batch["pixel_values"][0].float().cpu())

    def region(self, size: tuple[int, int], box: Sequence[float]) -> np.ndarray:
        """Says which of the pixels that the model reads lie inside a box of the picture: (height, width) bool.

        Args:
            size: Width and height of the picture.
            box: `[left, top, right, bottom]` in its pixels.
        """
        drawn = Image.new("RGB", size)
        ImageDraw.Draw(drawn).rectangle((box[0], box[1], max(box[0], box[2] - 1), max(box[1], box[3] - 1)), "white")
        pixels = self.processor.tensors_of({"image": [drawn]}, return_tensors="pt")["pixel_values"][0]
        return self._unnormalised(pixels).mean(-1) > 0.5

    def _unnormalised(self, pixels: torch.Tensor) -> np.ndarray:
        own = self.processor.image_processor
        mean, std = (
            torch.tensor(x or fill).view(-1, 1, 1) for x, fill in ((own.image_mean, [0.0]), (own.image_std, [1.0]))
        )
        return (pixels * std + mean).clamp(0, 1).permute(1, 2, 0).numpy()


def _grid(values: torch.Tensor, ratio: float) -> torch.Tensor:
    """Puts a picture's tokens into their grid; leading ones that belong to no place (a class token) are left out.

    Args:
        values: (L,).
        ratio: Height of the picture over its width.
    """
    for extra in range(min(len(values), 9)):
        count = len(values) - extra
        height = round((count * ratio) ** 0.5)
        if height and count % height == 0 and abs(height / (count // height) - ratio) < 0.2 * ratio:
            return values[extra:].view(height, -1)
    return values.view(1, -1)


def points_into(values: np.ndarray, inside: np.ndarray) -> bool:
    """Says whether a map is highest inside a region (the pointing game, Zhang et al. 2016).

    Args:
        values: (height, width).
        inside: (height, width) bool.
    """
    return bool(inside.ravel()[int(np.argmax(values))])


def mass_inside(values: np.ndarray, inside: np.ndarray) -> float:
    """Share of a map's positive values that lies inside a region.

    Args:
        values: (height, width).
        inside: (height, width) bool.
    """
    positive = np.clip(values, 0, None)
    return float(positive[inside].sum() / positive.sum()) if positive.sum() else 0.0


__all__ = ["METHODS", "Explainer", "Explanation", "mass_inside", "points_into"]
