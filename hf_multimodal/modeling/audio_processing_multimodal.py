# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Samples to spectrograms, for image backbones that listen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from .audio_opening import AudioError
from .remote_code import AUTO_MAP

_FLOOR = 1e-10  # of the energies, before the logarithm


class MultimodalAudioProcessor(SequenceFeatureExtractor):
    """Log-mel energies or their cepstral coefficients (MFCC) of sounds, cut or padded to one length.

    Args:
        feature_size: Rows of the result: mel bands, or coefficients where `num_coefficients` is given.
        sampling_rate: Samples per second that `__call__` expects.
        padding_value: Value of the samples added to short sounds.
        num_mel_bins: Mel bands between `min_frequency` and `max_frequency` (HTK's scale).
        num_coefficients: MFCC: how many coefficients of the DCT-II (orthonormal) of the log-mel energies; None keeps
            the energies.
        window_seconds: Length of a window.
        hop_seconds: Step from one window to the next.
        max_seconds: Length that every sound is cut or padded to.
        min_frequency: Lowest frequency in hertz.
        max_frequency: Highest frequency; None takes half the sampling rate.
        do_normalize: Whether to subtract each spectrogram's mean and divide by its standard deviation.
    """

    model_input_names = ["audio_values"]

    def __init__(
        self,
        feature_size: int | None = None,
        sampling_rate: int = 16_000,
        padding_value: float = 0.0,
        num_mel_bins: int = 64,
        num_coefficients: int | None = None,
        window_seconds: float = 0.025,
        hop_seconds: float = 0.010,
        max_seconds: float = 1.0,
        min_frequency: float = 20.0,
        max_frequency: float | None = None,
        do_normalize: bool = True,
        **kwargs: Any,  # noqa: ANN401 (of SequenceFeatureExtractor)
    ) -> None:
        if num_coefficients is not None and not 1 <= num_coefficients <= num_mel_bins:
            raise ValueError(f"num_coefficients={num_coefficients}: it goes from 1 to num_mel_bins={num_mel_bins}.")
        super().__init__(
            feature_size=num_coefficients or num_mel_bins,
            sampling_rate=sampling_rate,
            padding_value=padding_value,
            **kwargs,
        )
        self.num_mel_bins = num_mel_bins
        self.num_coefficients = num_coefficients
        self.window_seconds = window_seconds
        self.hop_seconds = hop_seconds
        self.max_seconds = max_seconds
        self.min_frequency = min_frequency
        self.max_frequency = max_frequency
        self.do_normalize = do_normalize
        self.auto_map = {"AutoFeatureExtractor": AUTO_MAP["AutoFeatureExtractor"]}

    @property
    def num_samples(self) -> int:
        """Samples of every sound, after cutting and padding."""
        return round(self.max_seconds * self.sampling_rate)

    @property
    def num_frames(self) -> int:
        """Columns of the result: one window per hop, the first centred on the first sample."""
        return 1 + self.num_samples // self._samples(self.hop_seconds)

    def _samples(self, seconds: float) -> int:
        return max(1, round(seconds * self.sampling_rate))

    def log_mel(self, samples: np.ndarray) -> np.ndarray:
        """Natural logarithm of the mel energies: (samples,) -> (num_mel_bins, frames)."""
        window = self._samples(self.window_seconds)
        fft_length = 2 ** int(np.ceil(np.log2(window)))
        filters = mel_filter_bank(
            num_frequency_bins=1 + fft_length // 2,
            num_mel_filters=self.num_mel_bins,
            min_frequency=self.min_frequency,
            max_frequency=self.max_frequency or self.sampling_rate / 2,
            sampling_rate=self.sampling_rate,
        )
        return spectrogram(
            samples.astype(np.float64),
            window_function(window, "hann"),
            frame_length=window,
            hop_length=self._samples(self.hop_seconds),
            fft_length=fft_length,
            power=2.0,
            mel_filters=filters,
            mel_floor=_FLOOR,
            log_mel="log",
            dtype=np.dtype(np.float64),
        )

    def __call__(
        self,
        raw_speech: np.ndarray | Sequence[np.ndarray],
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,  # noqa: ANN401 (padding, truncation: always done here)
    ) -> BatchFeature:
        """Makes spectrograms.

        Args:
            raw_speech: One sound (samples,) or several.
            sampling_rate: Their rate, checked where it is given.
            return_tensors: As everywhere in transformers.
            **kwargs: Ignored: every sound gets the same length.

        Returns:
            `audio_values` (B, 1, feature_size, num_frames).

        Raises:
            AudioError: if the rate is another one, or a sound has no samples.
        """
        if sampling_rate not in (None, self.sampling_rate):
            raise AudioError(f"the sounds have {sampling_rate} samples a second, expected are {self.sampling_rate}.")
        single = isinstance(raw_speech, np.ndarray) and raw_speech.ndim == 1
        sounds = [raw_speech] if single else list(raw_speech)
        values = np.stack([self._features(np.asarray(sound)) for sound in sounds])[:, None]
        return BatchFeature({"audio_values": values.astype(np.float32)}, tensor_type=return_tensors)

    def _features(self, samples: np.ndarray) -> np.ndarray:
        if samples.size == 0:
            raise AudioError("the sound has no samples. Use None for an absent one, or drop the row.")
        samples = samples[: self.num_samples]
        samples = np.pad(samples, (0, self.num_samples - len(samples)), constant_values=self.padding_value)
        features = self.log_mel(samples)
        if self.num_coefficients is not None:
            features = dct_matrix(self.num_coefficients, self.num_mel_bins) @ features
        if self.do_normalize:
            features = (features - features.mean()) / (features.std() + 1e-6)
        return features


def dct_matrix(num_coefficients: int, num_inputs: int) -> np.ndarray:
    """Orthonormal DCT-II as a matrix (num_coefficients, num_inputs) (Ahmed et al. 1974)."""
    k, n = np.arange(num_coefficients)[:, None], np.arange(num_inputs)[None, :]
    matrix = np.sqrt(2 / num_inputs) * np.cos(np.pi * k * (2 * n + 1) / (2 * num_inputs))
    matrix[0] /= np.sqrt(2)
    return matrix


__all__ = ["MultimodalAudioProcessor", "dct_matrix"]
