"""Kaldi-compatible log-mel filter bank in NumPy (recipe: LanguageBind spec 5.3 step 3).

25 ms Hann frames every 10 ms without padding, per-frame mean removal, pre-emphasis 0.97, power
spectrum, triangular filters whose slopes are linear in mel, natural log floored at the float32
epsilon.
"""

import functools

import numpy as np

FRAME_S = 0.025
SHIFT_S = 0.010
PREEMPHASIS = 0.97
LOW_HZ = 20.0
FLOOR = float(np.finfo(np.float32).eps)  # log -> -15.942385
BLOCK_FRAMES = 1024  # bounds memory for long recordings: about 8 MB per block at 16 kHz


def num_frames(samples: int, sample_rate_hz: int) -> int:
    """Returns how many whole 25 ms frames, 10 ms apart, fit into `samples`."""
    frame, shift = round(FRAME_S * sample_rate_hz), round(SHIFT_S * sample_rate_hz)
    return max(0, 1 + (samples - frame) // shift)


def log_mel(wave: np.ndarray, sample_rate_hz: int, mel_bins: int) -> np.ndarray:
    """Computes the log-mel energies of a waveform.

    Args:
      wave: float [n], on a -1..1 scale.
      sample_rate_hz: its rate.
      mel_bins: number of filters between 20 Hz and half the rate.

    Returns:
      float32 [frames, mel_bins], lowest frequency first; `[0, mel_bins]` for less than 25 ms.
    """
    frame, shift = round(FRAME_S * sample_rate_hz), round(SHIFT_S * sample_rate_hz)
    count = num_frames(len(wave), sample_rate_hz)
    out = np.empty((count, mel_bins), np.float32)
    if count == 0:
        return out
    filters = mel_filters(sample_rate_hz, mel_bins)
    frames = np.lib.stride_tricks.sliding_window_view(wave, frame)[
        ::shift
    ]  # [frames, samples], a view
    for start in range(0, count, BLOCK_FRAMES):
        block = slice(start, min(start + BLOCK_FRAMES, count))
        energy = _power(frames[block]) @ filters
        out[block] = np.log(np.maximum(energy, FLOOR))
    return out


@functools.cache
def mel_filters(sample_rate_hz: int, mel_bins: int) -> np.ndarray:
    """Returns float64 [fft_bins, mel_bins]: triangles; the bin at half the rate has weight 0."""
    fft = _fft_size(sample_rate_hz)
    edges = np.linspace(_mel(LOW_HZ), _mel(sample_rate_hz / 2), mel_bins + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(np.arange(fft // 2) * sample_rate_hz / fft)[:, None]
    triangles = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return np.pad(np.maximum(triangles, 0), ((0, 1), (0, 0)))


def _power(frames: np.ndarray) -> np.ndarray:
    """Returns the power spectrum, [frames, samples] -> float64 [frames, fft_bins].

    In float64: quiet bins are what is left of much larger numbers, and single precision would lose
    them.
    """
    x = frames - frames.mean(axis=1, keepdims=True, dtype=np.float64)
    emphasised = np.empty_like(x)
    emphasised[:, 1:] = x[:, 1:] - PREEMPHASIS * x[:, :-1]
    emphasised[:, 0] = (1 - PREEMPHASIS) * x[
        :, 0
    ]  # the sample before the first is taken to equal it
    emphasised *= np.hanning(x.shape[1])
    spectrum = np.fft.rfft(emphasised, n=_next_power_of_two(x.shape[1]), axis=1)
    return spectrum.real**2 + spectrum.imag**2


def _fft_size(sample_rate_hz: int) -> int:
    return _next_power_of_two(round(FRAME_S * sample_rate_hz))


def _next_power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _mel(hz: float | np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0)
