# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Loading a retrieval model, and telling which weights it holds."""

import hashlib
from pathlib import Path
from typing import cast

from huggingface_hub import snapshot_download

from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.training.inference import load_model

_FILES = ("*.safetensors", "config.json", "processor_config.json", "tokenizer*.json", "vocab*", "merges.txt", "*.model")
_CHUNK = 1 << 20


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


def model_revision(model: str) -> str:
    """Fingerprint of a model's weights, configuration and preprocessing: the same wherever its files lie.

    Args:
        model: Folder or Hub id.
    """
    folder = Path(model)
    if not folder.is_dir():
        folder = Path(snapshot_download(model, allow_patterns=list(_FILES)))
    digest = hashlib.sha256()
    for pattern in _FILES:
        for file in sorted(folder.glob(pattern)):
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()[:16]


__all__ = ["load_retrieval_model", "model_revision"]
