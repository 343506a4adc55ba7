# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The sounding side of the built-in scenes: a sequence of tones that names a scene's objects, as speech would."""

import io
import random

import numpy as np
import soundfile

from hf_multimodal.data.scene_pictures import COLOURS, SHAPES, Scene

SAMPLING_RATE = 8000
# Hertz of the tone for each colour, and of the one for each shape, which follows it.
COLOUR_TONES = dict(zip(COLOURS, (300.0, 440.0, 640.0, 930.0), strict=True))
SHAPE_TONES = dict(zip(SHAPES, (1300.0, 1700.0, 2250.0, 2950.0), strict=True))
TONE_SECONDS = 0.08
PAUSE_SECONDS = 0.06


def speak(scene: Scene, rng: random.Random) -> bytes:
    """Names the objects in a random order, each by two tones, and encodes the sound as WAV."""
    generator = np.random.RandomState(rng.getrandbits(32))  # whose streams numpy keeps unchanged for good
    time = np.arange(round(TONE_SECONDS * SAMPLING_RATE)) / SAMPLING_RATE
    parts = []
    for thing in rng.sample(scene.things, len(scene.things)):
        for pitch in (COLOUR_TONES[thing.colour], SHAPE_TONES[thing.shape]):
            jitter = generator.uniform(0.98, 1.02)
            parts.append(np.hanning(len(time)) * np.sin(2 * np.pi * pitch * jitter * time))
        parts.append(np.zeros(round(PAUSE_SECONDS * SAMPLING_RATE)))
    samples = np.concatenate(parts)
    samples = 0.5 * samples + generator.normal(scale=0.01, size=samples.shape)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLING_RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


__all__ = ["COLOUR_TONES", "PAUSE_SECONDS", "SAMPLING_RATE", "SHAPE_TONES", "TONE_SECONDS", "speak"]
