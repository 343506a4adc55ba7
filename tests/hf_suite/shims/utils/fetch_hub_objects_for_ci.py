# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Stands in for upstream's `utils/fetch_hub_objects_for_ci.py`: fixtures are made here, not fetched."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

_FOLDER = tempfile.TemporaryDirectory(prefix="hf_multimodal-fixtures-")  # gone when the interpreter exits


def url_to_local_path(url, return_url_if_not_found=True):
    """Returns the path of a picture for a picture's address, and any other address as it is."""
    name = Path(url).name
    if Path(name).suffix not in (".jpg", ".png"):
        return url if return_url_if_not_found else None
    path = Path(_FOLDER.name) / name
    if not path.is_file():
        noise = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return str(path)
