# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`scripts/noisy_copy` adds the noise it says."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from hf_multimodal.data.loading import load_rows
from hf_multimodal.modeling.audio_opening import encode_wav, open_audio
from hf_multimodal.modeling.image_opening import open_image

SCRIPT = Path(__file__).parent.parent / "scripts" / "noisy_copy"
COLUMNS = {"image": "image", "audio": "audio", "label": "label"}


def test_noise(tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (60, 60), (128, 128, 128)).save(picture, "PNG")
    tone = np.sin(np.arange(8000) * 0.3).astype(np.float32)
    row = {"image": {"bytes": picture.getvalue(), "path": None}, "label": 3}
    row["audio"] = {"bytes": encode_wav((tone, 8000)), "path": None}
    (tmp_path / "clean").mkdir()
    for split in ("train", "validation", "test"):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "clean" / f"{split}.parquet")
    command = [sys.executable, str(SCRIPT), "clean", "noisy", "--image-noise", "0.1", "--audio-snr", "0"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    first, second = (load_rows(tmp_path / "noisy", split=split, columns=COLUMNS)[0] for split in ("train", "test"))
    assert first["image"]["bytes"] != second["image"]["bytes"]  # the splits' noise is their own
    assert first["label"] == 3
    pixels = np.asarray(open_image(first["image"])) / 255
    assert abs(pixels.std() - 0.1) < 0.01
    assert (pixels[..., 0] == pixels[..., 2]).all()  # grey
    noise = open_audio(first["audio"], sampling_rate=8000) - tone
    assert abs(10 * np.log10((tone**2).mean() / (noise**2).mean())) < 0.3
