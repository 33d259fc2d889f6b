"""The log-mel recipe written out in float64, frame by frame."""

import numpy as np

from lb_jax.media import fbank


def mel_energy(wave, rate_hz, mel_bins):
    """What the filters hold before the logarithm, and what float32 may round it by.

    Returns:
      float64 [frames, mel_bins] each: energies, and the square root of the energy that rounding
      the samples of a frame to float32 leaves in each filter.
    """
    length, shift = round(0.025 * rate_hz), round(0.01 * rate_hz)
    fft = 1 << (length - 1).bit_length()
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(wave, np.float64), length)[::shift]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft((frames - 0.97 * before) * np.hanning(length), fft)) ** 2
    filters = fbank.mel_filters(rate_hz, mel_bins)
    noise = power.sum(axis=1, keepdims=True) * filters.sum(axis=0)
    return power @ filters, np.finfo(np.float32).eps * np.sqrt(noise)
