# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Sounds: every way to give one, resampling, and every refusal."""

import io

import numpy as np
import pytest
import soundfile

from hf_multimodal.modeling.audio_opening import AudioError, encode_wav, open_audio, resample

RATE = 8000


def tone(rate=RATE, seconds=0.5, frequency=440.0):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def encoded(samples, file_format="WAV", rate=RATE, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=file_format, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize(("file_format", "tolerance"), [("WAV", 1e-4), ("FLAC", 1e-4), ("OGG", 0.1), ("MP3", 0.1)])
def test_every_format_is_decoded(file_format, tolerance):
    samples = open_audio(encoded(tone(), file_format), sampling_rate=RATE)
    assert samples.dtype == np.float32
    middle = slice(1500, 2500)  # lossy formats begin and end as they like
    spectrum = np.abs(np.fft.rfft(samples[middle]))
    assert spectrum.argmax() * RATE / 1000 == pytest.approx(440, abs=RATE / 1000)
    if tolerance < 0.01:
        np.testing.assert_allclose(samples, tone(), atol=tolerance)


def test_every_way_to_give_a_sound(tmp_path):
    data = encoded(tone())
    (tmp_path / "x.wav").write_bytes(data)
    whole = (tone() * 32767).astype(np.int16)
    for value in (
        data,
        {"bytes": data, "path": None},
        {"bytes": None, "path": str(tmp_path / "x.wav")},
        tmp_path / "x.wav",
        str(tmp_path / "x.wav"),
        {"array": tone(), "sampling_rate": RATE},
        (tone(), RATE),
        {"array": whole, "sampling_rate": RATE},
        {"array": np.stack([tone(), tone()]), "sampling_rate": RATE},  # channels first
        {"array": np.stack([tone(), tone()], axis=1), "sampling_rate": RATE},
        encode_wav((tone(), RATE)),
    ):
        np.testing.assert_allclose(open_audio(value, sampling_rate=RATE), tone(), atol=1e-4)


def test_channels_are_averaged():
    stereo = np.stack([tone(), np.zeros_like(tone())], axis=1)
    np.testing.assert_allclose(open_audio(encoded(stereo), sampling_rate=RATE), tone() / 2, atol=1e-4)


@pytest.mark.parametrize("rate", [4000, 11_025, 16_000, 44_100])
def test_any_rate_is_resampled(rate):
    samples = open_audio(encoded(tone(rate), rate=rate), sampling_rate=RATE)
    assert len(samples) == pytest.approx(RATE * 0.5, abs=1)
    inner = slice(400, -400)  # a filter has edges
    np.testing.assert_allclose(samples[: len(tone())][inner], tone()[: len(samples)][inner], atol=5e-3)
    assert resample(tone(), RATE, RATE) is not None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "holds no bytes"),
        (b"no sound at all", "not a sound that can be read, or it is damaged"),
        (encoded(tone())[:30], "damaged|no samples"),
        (encoded(np.zeros(0, np.float32)), "has no samples"),
        (encoded(tone(), "AIFF"), "format AIFF are not read"),
        ((np.array([0.0, np.nan], np.float32), RATE), "not finite"),
        ({"array": tone(), "sampling_rate": None}, "sampling_rate=None"),
        ({"array": np.zeros((2, 2, 2)), "sampling_rate": RATE}, "give .samples,. or .channels, samples."),
        ({"array": np.array(["a"]), "sampling_rate": RATE}, "are no sound"),
        ("absent.wav", "there is no file 'absent.wav'"),
        ("http://example.com/x.wav", "is a URL"),
        (5, "of type int is not a sound"),
    ],
)
def test_sounds_it_refuses(value, message):
    with pytest.raises(AudioError, match=message):
        open_audio(value, sampling_rate=RATE)


def test_long_sounds_are_refused_before_they_are_decoded():
    with pytest.raises(AudioError, match=r"lasts 2 s, over the limit of 1 s"):
        open_audio(encoded(tone(seconds=2.0)), sampling_rate=RATE, max_seconds=1.0)
