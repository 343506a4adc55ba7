# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Encoded rows for tests."""

import io

import numpy as np
import soundfile

from tests.tiny import SIDE, tiny_pictures


def encoded_picture(image_format="PNG", side=SIDE, seed=0):
    buffer = io.BytesIO()
    tiny_pictures(1, (side, side), seed)[0].save(buffer, image_format)
    return buffer.getvalue()


def encoded_sound(seconds=0.2, rate=8000, seed=0):
    buffer = io.BytesIO()
    samples = np.random.default_rng(seed).normal(size=int(seconds * rate)) / 10
    soundfile.write(buffer, samples, rate, format="WAV")
    return buffer.getvalue()


def sound_and_picture_rows():
    """Rows that have all, some, and other modalities than their neighbours."""
    return [
        {"text": "a red square", "image": encoded_picture(), "audio": encoded_sound()},
        {"text": "blue"},
        {"image": encoded_picture("JPEG", seed=1)},
        {"audio": encoded_sound(0.1, seed=1), "text": "red red red a circle"},
        {"image": encoded_picture("WEBP", seed=2), "audio": encoded_sound(0.3, 16000)},
    ]
