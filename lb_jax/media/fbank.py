"""Kaldi-compatible log-mel filter bank in NumPy (recipe: LanguageBind spec 5.3 step 3).

25 ms Hann frames every 10 ms without padding, per-frame mean removal, pre-emphasis 0.97, power
spectrum, triangular filters whose slopes are linear in mel, natural log floored at the float32
epsilon.
"""

import functools

import numpy as np

FRAME_S = 0.025
_FRAME_MS, _SHIFT_MS = 25, 10
PREEMPHASIS = 0.97
LOW_HZ = 20.0
FLOOR = float(np.finfo(np.float32).eps)  # log -> -15.942385
BLOCK_FRAMES = 96  # about 1.5 MB at 16 kHz, which stays in the cache
BAND = 28  # filters computed together


def num_frames(samples: int, sample_rate_hz: int) -> int:
    """Returns how many whole 25 ms frames, 10 ms apart, fit into `samples`."""
    frame, shift = _frame_and_shift(sample_rate_hz)
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
    frame, shift = _frame_and_shift(sample_rate_hz)
    count = num_frames(len(wave), sample_rate_hz)
    out = np.empty((count, mel_bins), np.float32)
    if count == 0:
        return out
    block = _Block(min(count, BLOCK_FRAMES), frame, shift, _fft_size(sample_rate_hz))
    for start in range(0, count, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, count)
        power = block.power(wave[start * shift : (stop - 1) * shift + frame])
        for filters, bins, weights in _mel_bands(sample_rate_hz, mel_bins):
            energy = power[:, bins] @ weights
            np.log(np.maximum(energy, FLOOR, out=energy), out=out[start:stop, filters])
    return out


@functools.cache
def mel_filters(sample_rate_hz: int, mel_bins: int) -> np.ndarray:
    """Returns float64 [fft_bins, mel_bins]: triangles; the bin at half the rate has weight 0."""
    fft = _fft_size(sample_rate_hz)
    hz = np.arange(fft // 2) * sample_rate_hz / fft
    return np.pad(triangles(hz, LOW_HZ, sample_rate_hz / 2, mel_bins), ((0, 1), (0, 0)))


def triangles(hz: np.ndarray, low_hz: float, high_hz: float, mel_bins: int) -> np.ndarray:
    """Weights of frequencies in filters that rise and fall linearly in mel.

    Args:
      hz: float [n].
      low_hz, high_hz: where the first filter begins and the last one ends.
      mel_bins: number of filters.

    Returns:
      float64 [n, mel_bins].
    """
    edges = np.linspace(_mel(low_hz), _mel(high_hz), mel_bins + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    mels = _mel(hz)[:, None]
    rising, falling = (mels - left) / (centre - left), (right - mels) / (right - centre)
    return np.maximum(np.minimum(rising, falling), 0)


@functools.cache
def _mel_bands(sample_rate_hz: int, mel_bins: int) -> list[tuple[slice, slice, np.ndarray]]:
    return bands(mel_filters(sample_rate_hz, mel_bins).astype(np.float32))


def bands(whole: np.ndarray) -> list[tuple[slice, slice, np.ndarray]]:
    """Cuts filters into bands, each with the few FFT bins that it needs.

    The products of a block of frames are then so small that BLAS takes no threads for them, which
    on a busy machine cost fifty times as much.

    Args:
      whole: [fft_bins, filters].

    Returns:
      Filters, FFT bins and their weights [fft_bins, filters], per band.
    """
    found = []
    for filters in (slice(f, f + BAND) for f in range(0, whole.shape[1], BAND)):
        used = np.flatnonzero(whole[:, filters].any(axis=1))
        bins = slice(used[0], used[-1] + 1) if len(used) else slice(0, 1)  # none: the floor
        found.append((filters, bins, whole[bins, filters]))
    return found


class _Block:
    """Power spectra of some frames, in memory that is used again for the next ones.

    Clearing new memory for each would cost as much as the transform.
    """

    def __init__(self, frames: int, samples: int, shift: int, fft: int):
        self._samples, self._shift = samples, shift
        self._window = np.pad(np.hanning(samples), (0, fft - samples))
        self._emphasised = np.zeros((frames - 1) * shift + fft)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._emphasised, fft)[::shift]
        self._windowed = np.empty((frames, fft))
        self._spectrum = np.empty((frames, fft // 2 + 1), np.complex128)
        self._power = np.empty((2, frames, fft // 2 + 1))

    def power(self, wave: np.ndarray) -> np.ndarray:
        """Returns the power spectra of the frames of a piece of sound.

        Emphasising and removing a frame's mean are linear: the mean goes through the emphasis as
        the constant (1 - 0.97) mean, so the whole piece is emphasised once. The sample before a
        frame's first is taken to equal it.

        The Fourier transform is in float64: quiet bins are what is left of much larger numbers, and
        single precision would lose them.

        Args:
          wave: float [n], whole frames.

        Returns:
          float32 [frames, fft_bins].
        """
        emphasised = self._emphasised[1 : len(wave)]
        np.multiply(wave[:-1], -PREEMPHASIS, out=emphasised, dtype=np.float64)
        emphasised += wave[1:]
        plain = np.lib.stride_tricks.sliding_window_view(wave, self._samples)[:: self._shift]
        count = len(plain)
        x, spectrum, (power, imaginary) = (
            self._windowed[:count],
            self._spectrum[:count],
            self._power[:, :count],
        )
        mean = plain.mean(axis=1, keepdims=True, dtype=np.float64)
        # What lies behind a frame's samples is 0 in the window.
        np.subtract(self._frames[:count], (1 - PREEMPHASIS) * mean, out=x)
        x[:, :1] = (1 - PREEMPHASIS) * (plain[:, :1] - mean)
        x *= self._window
        np.fft.rfft(x, axis=1, out=spectrum)
        np.square(spectrum.real, out=power)
        power += np.square(spectrum.imag, out=imaginary)
        return power.astype(np.float32)


def _fft_size(sample_rate_hz: int) -> int:
    """Returns the samples of a frame, rounded up to a power of two."""
    return 1 << (_frame_and_shift(sample_rate_hz)[0] - 1).bit_length()


def _frame_and_shift(sample_rate_hz: int) -> tuple[int, int]:
    """Returns the samples of a frame and from one to the next, rounded down as Kaldi does."""
    return _FRAME_MS * sample_rate_hz // 1000, _SHIFT_MS * sample_rate_hz // 1000


def _mel(hz: float | np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0)
