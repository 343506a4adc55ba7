# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Tells which weights a saved model or a bundle holds."""

import hashlib
from pathlib import Path

from huggingface_hub import snapshot_download

_FILES = ("*.safetensors", "config.json", "processor_config.json", "tokenizer*.json", "vocab*", "merges.txt", "*.model")
_CHUNK = 1 << 20


def fetch_model(model: str) -> Path:
    """Returns the folder of a saved model; one on the Hub is fetched first, without what a model does not need."""
    return Path(model) if Path(model).is_dir() else Path(snapshot_download(model, allow_patterns=list(_FILES)))


def model_revision(model: str) -> str:
    """Fingerprint of a model's weights, configuration and preprocessing: the same wherever its files lie.

    Args:
        model: Folder or Hub id.
    """
    return hash_files(fetch_model(model), _FILES)


def hash_files(folder: Path, patterns: tuple[str, ...]) -> str:
    """Fingerprint of a folder's files, in the patterns' order: their names and what is in them."""
    digest = hashlib.sha256()
    for pattern in patterns:
        for file in sorted(folder.glob(pattern)):
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()[:16]


__all__ = ["fetch_model", "hash_files", "model_revision"]
