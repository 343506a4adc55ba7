# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The missing-rate curve: how a metric falls as more rows lack a modality."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from torch.utils.data import Dataset

from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.evaluation.predictions import metrics_json

RATES = (0.0, 0.25, 0.5, 0.75, 1.0)
CURVES = "missing_rates.json"
PLOT = "missing_rates.png"


class RowsWithout(Dataset):
    """Rows of which some have lost a modality; a row that has nothing else keeps it.

    Args:
        rows: Rows as `load_rows` returns them.
        modality: What is taken away.
        rate: Share of the rows that lose it, chosen by the seed; a higher rate takes the same rows and more.
        modalities: All modalities that the model reads.
        seed: Seed of the choice.
    """

    def __init__(
        self, rows: datasets.Dataset, modality: str, rate: float, modalities: Sequence[str], seed: int = 0
    ) -> None:
        self.rows = rows
        self.modality = modality
        self.others = [m for m in modalities if m != modality]
        order = np.random.default_rng(seed).permutation(len(rows))
        self.chosen = frozenset(order[: round(rate * len(rows))].tolist())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        if index in self.chosen and any(row.get(other) is not None for other in self.others):
            return {**row, self.modality: None}
        return row


def write_missing_rates(folder: Path, curves: Mapping[str, Mapping[float, Mapping[str, float]]], metric: str) -> None:
    """Writes the curves as JSON, and one metric of them as a picture.

    Args:
        folder: Where `missing_rates.json` and `missing_rates.png` go.
        curves: Modality -> rate -> metric -> value.
        metric: The metric to draw.
    """
    from matplotlib.figure import Figure  # slow to import, and needed here alone

    folder.mkdir(parents=True, exist_ok=True)
    listed = {m: [{"rate": rate, **metrics} for rate, metrics in curve.items()] for m, curve in curves.items()}
    write_whole(folder / CURVES, metrics_json(listed))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for modality, curve in curves.items():
        axes.plot([100 * rate for rate in curve], [x[metric] for x in curve.values()], marker="o", label=modality)
    axes.set_xlabel("rows without the modality (%)")
    axes.set_ylabel(metric)
    axes.grid(alpha=0.3)
    axes.legend(title="removed")
    figure.savefig(folder / PLOT, dpi=120)


__all__ = ["CURVES", "PLOT", "RATES", "RowsWithout", "write_missing_rates"]
