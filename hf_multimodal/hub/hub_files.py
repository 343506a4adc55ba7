# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What makes a saved folder run on the Hub: a handler for Inference Endpoints, an application for Spaces."""

import json
from collections.abc import Sequence
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from huggingface_hub.repocard import metadata_load, metadata_save
from transformers import AutoConfig

from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.modeling.configuration_multimodal import check_known

HUB_FILES = {"endpoint": "handler.py", "space": "app.py"}
# what a folder's own code needs beside transformers and torch
_LIBRARIES = {
    "image": ("timm", "torchvision"),
    "audio": ("soundfile", "scipy", "timm", "torchvision"),
    "video": ("av", "timm", "torchvision"),
}
_MARK = "# Written by hf_multimodal"  # so begins what may be written again
_ALWAYS = ("transformers", "torch", "numpy", "pillow", "safetensors")


def write_hub_files(folder: str | Path, kinds: Sequence[str]) -> list[Path]:
    """Writes a saved folder's `handler.py` or `app.py`, and the `requirements.txt` of both.

    Args:
        folder: Where a model was saved, with its code.
        kinds: Of `HUB_FILES`.

    Returns:
        The files.

    Raises:
        ValueError: if a kind is unknown, the folder holds no model, one that a Space cannot show, or such files that
            somebody else has written.
    """
    folder = Path(folder)
    for kind in kinds:
        check_known("file for the Hub", kind, tuple(HUB_FILES))
    if not (folder / "config.json").is_file() or not (folder / "modeling_multimodal.py").is_file():
        raise ValueError(f"{str(folder)!r} holds no saved model with its code: give the folder of a run.")
    config = AutoConfig.from_pretrained(folder)
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "space" in kinds and not told.get("custom_pipelines"):
        raise ValueError(
            f"A Space shows what a pipeline answers, and {config.architectures[0]} has none: leave it out."
        )
    written = [folder / HUB_FILES[kind] for kind in kinds]
    for file in (*written, folder / "requirements.txt"):
        if file.exists() and not file.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
            raise ValueError(f"{str(file)!r} is somebody's own: move it, or leave it and what needs it out.")
    for file in written:
        write_whole(file, (files("hf_multimodal.hub") / "files" / f"{file.name}.txt").read_text(encoding="utf-8"))
    wanted = dict.fromkeys([*_ALWAYS, *(x for modality in config.modalities for x in _LIBRARIES.get(modality, ()))])
    lines = [f"{name}>={metadata.version(name).split('+')[0]}" for name in wanted]
    write_whole(folder / "requirements.txt", "\n".join([f"{_MARK}.", *lines]) + "\n")
    card = folder / "README.md"
    if "space" in kinds and card.is_file():
        header = metadata_load(card) or {}
        metadata_save(card, {**header, "title": folder.resolve().name, "sdk": "gradio", "app_file": HUB_FILES["space"]})
    return [*written, folder / "requirements.txt"]


__all__ = ["HUB_FILES", "write_hub_files"]
