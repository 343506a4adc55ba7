# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Opens whatever was saved, a model or a bundle, as a predictor."""

from pathlib import Path

import torch

from hf_multimodal.prediction.graph_predictor import GraphPredictor
from hf_multimodal.prediction.predictor import Limits, MultimodalPredictor, TorchPredictor
from hf_multimodal.prediction.revision import model_revision
from hf_multimodal.training.inference import kind_of_model, load_model
from hf_multimodal.training.output_folder import is_bundle


def open_predictor(
    model: str, *, limits: Limits | None = None, device: str | torch.device | None = None
) -> MultimodalPredictor:
    """Opens a saved model, or a bundle.

    Args:
        model: Folder or Hub id.
        limits: What is read of a row.
        device: Where a model runs; None takes an accelerator if there is one. A bundle runs where its runtime can.

    Raises:
        ValueError: if it holds no model of this package that answers rows.
    """
    if is_bundle(model):
        return GraphPredictor(Path(model), limits)
    kind = kind_of_model(model)
    if kind == "pretraining":
        raise ValueError(f"{model!r} is pretrained and answers nothing yet: go on to a task by start_from.")
    loaded, processor = load_model(model)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    name = Path(model).resolve().name if Path(model).is_dir() else model
    return TorchPredictor(
        loaded.to(device),  # type: ignore[arg-type]  # typed as if it took a string only
        processor,
        kind=kind,
        name=name,
        revision=model_revision(model),
        limits=limits,
    )


__all__ = ["open_predictor"]
