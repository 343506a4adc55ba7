# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Loading a retrieval model, or opening one or a bundle of it."""

from typing import cast

import torch

from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.prediction.load import open_predictor
from hf_multimodal.prediction.predictor import MultimodalPredictor
from hf_multimodal.training.inference import load_model, process_state


def load_retrieval_model(model: str) -> tuple[MultimodalForRetrieval, MultimodalProcessor]:
    """Loads a saved retrieval model, ready to encode, and its processor.

    Raises:
        ValueError: if the folder or repository holds another kind of model.
    """
    loaded, processor = load_model(model)
    if not isinstance(loaded, MultimodalForRetrieval):
        raise ValueError(
            f"{model!r} holds {type(loaded).__name__}, which gives no embeddings: train one with task: retrieval."
        )
    return cast(MultimodalForRetrieval, loaded.eval()), processor


def open_retriever(model: str, device: str | torch.device | None = None) -> MultimodalPredictor:
    """Opens a saved retrieval model, or a bundle of one.

    Args:
        model: Folder or Hub id.
        device: Where a model runs; None takes an accelerator if there is one.

    Raises:
        ValueError: if the folder or repository holds another kind of model.
    """
    predictor = open_predictor(model, device=process_state().device if device is None else device)
    if predictor.kind != "retrieval":
        raise ValueError(
            f"{model!r} is a model for {predictor.kind}, which gives no embeddings: train one with task: retrieval."
        )
    return predictor


__all__ = ["load_retrieval_model", "open_retriever"]
