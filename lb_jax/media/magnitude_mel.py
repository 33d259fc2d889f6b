"""Log-mel of magnitudes, as MMV takes sound (MMV spec 2.2): long windows, a band that ends early.

Periodic Hann windows of 2048 samples every 1024, filled up with zeros behind the last; magnitudes,
not powers; triangles as those of `fbank`, from 80 to 7600 Hz. At 48,000 Hz a window lasts 43 ms.
"""

import functools

import numpy as np

from lb_jax.media import fbank

WINDOW, HOP = 2048, 1024  # samples
LOW_HZ, HIGH_HZ = 80.0, 7600.0
BLOCK_FRAMES = 32  # transformed together, about 0.5 MB; see `fbank.bands`

# Two public front ends by the same group; which one MMV used is not known.
LOGS = {
    "dmvr": lambda energy: np.log(energy + 1e-6),
    "vatt": lambda energy: np.log1p(1e4 * energy),
}


def num_frames(samples: int) -> int:
    """How many windows there are, the last ones filled up."""
    return -(-samples // HOP)


def log_mel(wave: np.ndarray, sample_rate_hz: int, mel_bins: int, log: str) -> np.ndarray:
    """Computes the logarithm of mel magnitudes.

    Args:
      wave: float [n], on a -1..1 scale.
      sample_rate_hz: its rate.
      mel_bins: number of filters.
      log: a row of `LOGS`.

    Returns:
      float32 [frames, mel_bins], lowest frequency first.
    """
    count = num_frames(len(wave))
    padded = np.pad(np.asarray(wave, np.float64), (0, max(count - 1, 0) * HOP + WINDOW - len(wave)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    bands = _mel_bands(sample_rate_hz, mel_bins)
    out = np.empty((count, mel_bins), np.float32)
    for start in range(0, count, BLOCK_FRAMES):
        part = slice(start, start + BLOCK_FRAMES)
        spectrum = np.fft.rfft(frames[part] * window, axis=1)
        for filters, bins, weights in bands:
            out[part, filters] = LOGS[log](np.abs(spectrum[:, bins]) @ weights)
    return out


@functools.cache
def _mel_bands(sample_rate_hz: int, mel_bins: int) -> list[tuple[slice, slice, np.ndarray]]:
    return fbank.bands(mel_filters(sample_rate_hz, mel_bins))


@functools.cache
def mel_filters(sample_rate_hz: int, mel_bins: int) -> np.ndarray:
    """Returns float64 [fft_bins, mel_bins]; the bin at 0 Hz has weight 0."""
    hz = np.arange(WINDOW // 2 + 1) * sample_rate_hz / WINDOW
    return fbank.triangles(hz, LOW_HZ, HIGH_HZ, mel_bins)
