# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Spectrograms against numbers derived with scipy from their definition."""

import numpy as np
import pytest
from scipy import fft, signal

from hf_multimodal.modeling.audio_opening import AudioError
from hf_multimodal.modeling.audio_processing_multimodal import MultimodalAudioProcessor, dct_matrix

RATE, MELS, WINDOW, HOP, FFT = 8000, 20, 200, 80, 256  # 25 and 10 ms


def sound(seconds=0.3, seed=0):
    return np.random.default_rng(seed).normal(size=int(RATE * seconds))


def processor(**values):
    return MultimodalAudioProcessor(
        **{"sampling_rate": RATE, "num_mel_bins": MELS, "max_seconds": 0.3, "do_normalize": False, **values}
    )


def mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)  # HTK


def reference_log_mel(samples):
    """From the definition: power spectra of centred Hann windows, triangles evenly spaced in mel, natural logarithm."""
    padded = np.pad(samples, FFT // 2, mode="reflect")
    starts = range(0, len(samples) + 1, HOP)
    offset = (FFT - WINDOW) // 2
    window = signal.get_window("hann", WINDOW)  # periodic
    frames = []
    for start in starts:
        piece = padded[start + offset : start + offset + WINDOW] * window
        buffer = np.zeros(FFT)
        buffer[:WINDOW] = piece  # the phase does not matter for the power
        frames.append(np.abs(fft.rfft(buffer)) ** 2)
    edges = 700 * (10 ** (np.linspace(mel(20.0), mel(RATE / 2), MELS + 2) / 2595) - 1)
    bins = np.arange(FFT // 2 + 1) * RATE / FFT
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return np.log(np.maximum(triangles @ np.array(frames).T, 1e-10))


def test_log_mel_energies():
    ours = processor().log_mel(sound())
    theirs = reference_log_mel(sound())
    assert ours.shape == (MELS, processor().num_frames)
    # transformers pads by half a window, the definition above by half a transform: equal away from the edges
    inner = slice(3, -3)
    scale = np.abs(theirs[:, inner]).max()
    assert np.abs(ours - theirs[:, : ours.shape[1]])[:, inner].max() < 0.02 * scale


def test_cepstral_coefficients():
    values = processor(num_coefficients=13)(sound(), return_tensors="np")["audio_values"][0, 0]
    expected = fft.dct(processor().log_mel(sound()), type=2, norm="ortho", axis=0)[:13]
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 5, 20])
def test_dct_matrix(size):
    np.testing.assert_allclose(dct_matrix(size, 20), fft.dct(np.eye(20), norm="ortho", axis=0)[:size], atol=1e-12)


def test_every_sound_gets_one_length():
    listening = processor(do_normalize=True)
    batch = listening([sound(0.1), sound(0.3), sound(2.0)], return_tensors="pt")["audio_values"]
    assert batch.shape == (3, 1, MELS, listening.num_frames)
    assert batch.isfinite().all()
    np.testing.assert_allclose(batch.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(batch.std((1, 2, 3), correction=0), 1, atol=1e-3)


def test_save_and_load(tmp_path):
    saved = processor(num_coefficients=7)
    saved.save_pretrained(tmp_path)
    loaded = MultimodalAudioProcessor.from_pretrained(tmp_path)
    np.testing.assert_array_equal(loaded(sound())["audio_values"], saved(sound())["audio_values"])


def test_what_it_refuses():
    with pytest.raises(ValueError, match="num_coefficients=21: it goes from 1 to num_mel_bins=20"):
        processor(num_coefficients=21)
    with pytest.raises(AudioError, match="have 16000 samples a second, expected are 8000"):
        processor()(sound(), sampling_rate=16_000)
    with pytest.raises(AudioError, match="has no samples"):
        processor()(np.zeros(0))
