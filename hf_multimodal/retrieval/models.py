# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Loading a retrieval model."""

from typing import cast

from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.training.inference import load_model


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


__all__ = ["load_retrieval_model"]
