"""Sound: decoding, resampling, log-mel, and the three time crops (LanguageBind spec 5.3).

Decoding is by libsndfile or PyAV.
"""

import contextlib
import functools
import io
import math
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

import av
import av.error
import librosa  # loads what it holds when that is first used
import numpy as np
import soundfile

from lb_jax.core import errors
from lb_jax.data import fbank, specs
from lb_jax.data import media as media_lib

ACCEPTED = "or a tuple (float array [n] or [channels, n] on a -1..1 scale, rate in Hz)"
RATES_HZ = (1_000, 1_000_000)
BLOCK_SAMPLES = 1 << 16
CROPS = 3
# Loud float recordings pass 1; beyond this they are integers in disguise, or damaged.
MAX_AMPLITUDE = 100.0

# First bytes of the containers libsndfile reads exactly; anything else goes to PyAV. MP3 is left to
# PyAV because libsndfile's decoder writes its complaints about damaged files straight to stderr.
SNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff", b".snd")

# libsndfile's subtype -> what is read and its full scale; exactly its own floats in a tenth of the
# time. Everything else is read as floats.
STORED = {"PCM_16": ("int16", np.float32(2**-15))}

# Windowed sinc of the reference: zero crossings kept on each side, and the pass band as a share of
# the lower Nyquist frequency.
SINC_ZEROS = 6
SINC_ROLLOFF = 0.99
PHASES = 16  # of outputs computed together

MONO: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    # Column by column: the same numbers in any memory layout.
    "mean": lambda block: functools.reduce(np.add, block.T) / block.shape[1],
    "first": lambda block: block[:, 0],
}


def decode(
    media: media_lib.Media,
    spec: specs.AudioSpec,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> np.ndarray:
    """Decodes sound to its log-mel spectrogram.

    Silence decodes too; `content.require_content` tells it.

    Args:
      media: path or bytes of a sound file or of a video with sound, or a tuple (float [n] or
        [channels, n], rate in Hz).
      spec: rate, mono, resampler and number of filters.
      start_s, end_s: the samples at `start_s` or later and before `end_s` are the sound, in seconds
        from the first one; None is the end of the file. They are cut out before resampling.

    Returns:
      float32 [frames, mel], one frame per 10 ms.

    Raises:
      errors.DataError: undecodable, cut off, no sound track, not finite, no sample between the two
        times, or shorter than 25 ms.
    """
    name = media_lib.describe(media)
    return log_mel(*_read(media, spec, start_s, end_s), spec, name)


def log_mel(wave: np.ndarray, rate_hz: int, spec: specs.AudioSpec, name: str) -> np.ndarray:
    """Resamples sound and takes its log-mel spectrogram.

    Args:
      wave: float32 [n], mono.
      rate_hz: of the samples.
      spec: rate, resampler and number of filters.
      name: how errors call the sound.

    Returns:
      float32 [frames, mel], one frame per 10 ms.

    Raises:
      errors.DataError: shorter than 25 ms.
    """
    wave = resample(wave, rate_hz, spec.sample_rate_hz, spec.resampler)
    # The reference removes the mean of the whole sound here; the filter bank removes every frame's.
    mel = fbank.log_mel(wave, spec.sample_rate_hz, spec.mel_bins)
    if len(mel) == 0:
        length_ms = 1000 * len(wave) / spec.sample_rate_hz
        raise errors.DataError(
            name,
            f"lasts {length_ms:.1f} ms, expected at least {1000 * fbank.FRAME_S:.0f} ms of sound",
        )
    return mel


def transform(
    decoded: np.ndarray, spec: specs.AudioSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Cuts or tiles the spectrogram to three time crops and normalises.

    A longer clip gives crops starting in the front, middle and back third of the possible places:
    at the first place of each third in evaluation, at a drawn one in training. A shorter clip is
    repeated and gives the same crop three times.

    Args:
      decoded: float32 [frames, mel].
      spec: target_frames, mean, std and train_crop.
      rng: draws the places; None takes the fixed ones. Always three draws, whatever the length.

    Returns:
      float32 [mel, target_frames, 3], (x - mean) / (2 std), lowest frequency in row 0.
    """
    length = spec.target_frames
    if len(decoded) < length:
        decoded = np.tile(decoded, (-(-length // len(decoded)), 1))[:length]
    draws = np.zeros(CROPS) if rng is None else rng.random(CROPS)
    if spec.train_crop == "first":
        draws = np.zeros(CROPS)
    rows = np.empty(decoded.shape[::-1], np.float32)  # [mel, frames]
    np.subtract(decoded.T, np.float32(spec.mean), out=rows)
    rows /= np.float32(2 * spec.std)
    out = np.empty((len(rows), length, CROPS), np.float32)
    for c, offset in enumerate(crop_offsets(len(decoded) - length + 1, draws)):
        out[..., c] = rows[:, offset : offset + length]
    return out


def crop_offsets(places: int, draws: np.ndarray) -> list[int]:
    """Returns one offset per crop out of `places` possible ones.

    Args:
      places: number of possible offsets, at least 1.
      draws: one value in [0, 1) per crop, the position inside its part; 0 takes the first.

    Returns:
      Offsets; 0 where there are fewer places than parts, as the reference has it.
    """
    parts = np.array_split(np.arange(places), len(draws))
    return [
        int(part[int(d * len(part))]) if len(part) else 0
        for part, d in zip(parts, draws, strict=True)
    ]


def resample(wave: np.ndarray, from_hz: int, to_hz: int, resampler: str) -> np.ndarray:
    """Resamples float32 [n] to float32 [n']; equal rates return the input."""
    if from_hz == to_hz or len(wave) == 0:
        return wave
    if resampler == "sinc_hann":
        return _sinc_hann(wave, from_hz, to_hz)
    return librosa.resample(wave, orig_sr=from_hz, target_sr=to_hz, res_type=resampler)


def _sinc_hann(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Hann-windowed sinc interpolation, the reference's default resampler (spec 5.3 step 1).

    With rates divided by their common divisor, output `i * to + p` lies `p * from / to` inputs
    behind input `i * from`: its weights depend on the phase p alone, and all outputs of a phase are
    one product. Neighbouring phases share it, because they need nearly the same inputs.
    """
    divisor = math.gcd(from_hz, to_hz)
    step, phases = from_hz // divisor, to_hz // divisor
    count = -(-len(wave) * phases // step)
    turns = -(-count // phases)
    reach = _reach(step, phases)
    padded = np.pad(wave.astype(np.float64), (reach, reach + turns * step - len(wave) + 1))
    out = np.empty((turns, phases), np.float32)
    for first in range(0, phases, PHASES):
        behind, weights = _sinc_weights(step, phases, first)
        inputs = np.lib.stride_tricks.sliding_window_view(padded[behind:], len(weights))
        out[:, first : first + PHASES] = inputs[::step][:turns] @ weights
    return out.reshape(-1)[:count]


def _reach(step: int, phases: int) -> int:
    """Returns how many inputs the window is long to each side."""
    return math.ceil(SINC_ZEROS / _cutoff(step, phases))


def _cutoff(step: int, phases: int) -> float:
    """Returns the zero crossings of the sinc per input."""
    return SINC_ROLLOFF * min(1, phases / step)


@functools.lru_cache(maxsize=64)  # a corpus has few rates
def _sinc_weights(step: int, phases: int, first: int) -> tuple[int, np.ndarray]:
    """Returns the weights of `PHASES` phases, float64 [inputs, phases].

    Before them comes the place of the first input, in sound that starts `_reach` earlier.
    """
    cutoff, reach = _cutoff(step, phases), _reach(step, phases)
    behind = np.arange(first, min(first + PHASES, phases)) * step  # in 1 / phases of an input
    start, stop = behind[0] // phases - reach, behind[-1] // phases + reach + 2
    t = (np.arange(start, stop)[:, None] - behind / phases) * cutoff  # [inputs, phases]
    window = np.cos(np.clip(t / SINC_ZEROS, -1, 1) * (np.pi / 2)) ** 2
    return int(start) + reach, np.sinc(t) * window * cutoff


def mono_blocks(media: media_lib.Media, spec: specs.AudioSpec) -> Iterator[tuple[np.ndarray, int]]:
    """Decodes sound in one pass, block by block.

    Args:
      media: as `decode` takes it.
      spec: how channels become one.

    Yields:
      float32 [n], and the rate in Hz, which is the same in all blocks.

    Raises:
      errors.DataError: as `decode`.
    """
    name, rate_hz = media_lib.describe(media), None
    with _opened(media) as blocks:
        for block, rate in blocks:
            rate_hz = rate if rate_hz is None else rate_hz
            _require_rates(rate_hz, rate, name)
            yield _to_mono(block, spec, name), rate
    if rate_hz is None:
        raise _no_sound(name)


def _read(
    media: media_lib.Media, spec: specs.AudioSpec, start_s: float, end_s: float | None
) -> tuple[np.ndarray, int]:
    """Returns the mono sound of a window, float32 [n], and its rate."""
    name = media_lib.describe(media)
    mono, rates, seen = [], [], 0
    with _opened(media) as blocks:
        for block, rate_hz in blocks:
            rates.append(rate_hz)
            first, stop = sample(start_s, rate_hz), sample(end_s, rate_hz)
            shown = block[max(first - seen, 0) : max(stop - seen, 0)]
            seen += len(block)
            if len(shown):
                mono.append(_to_mono(shown, spec, name))
            if seen >= stop:
                break
    if not seen:
        raise _no_sound(name)
    low, high = min(rates), max(rates)
    _require_rates(low, high, name)
    if not mono:
        raise errors.DataError(
            name,
            f"has no sound {media_lib.window(start_s, end_s)}, {seen / low:.3f} s were looked "
            "through; correct the window or leave the clip out",
        )
    return np.concatenate(mono), low


@contextlib.contextmanager
def _opened(media: media_lib.Media) -> Iterator[Iterator[tuple[np.ndarray, int]]]:
    """Opens sound as blocks of float32 [n, channels] with their rate."""
    if isinstance(media, tuple):
        yield iter([_from_array(media)])
        return
    name = media_lib.describe(media)
    with (
        media_lib.stream(media, ACCEPTED) as file,
        contextlib.closing(_blocks(file, name)) as blocks,
    ):
        yield blocks


def _no_sound(name: str) -> errors.DataError:
    return errors.DataError(
        name, f"holds no sound, expected at least {1000 * fbank.FRAME_S:.0f} ms"
    )


def _require_rates(low: int, high: int, name: str) -> None:
    if low != high or not RATES_HZ[0] <= low <= RATES_HZ[1]:
        expected = f"expected one rate from {RATES_HZ[0]} to {RATES_HZ[1]}"
        raise errors.DataError(
            name, f"has {low} to {high} samples per second, {expected}; export it again"
        )


def sample(time_s: float | None, rate_hz: int) -> int:
    """Number of the first sample at a time or later; of none for None."""
    if time_s is None:
        return sys.maxsize
    return math.ceil(time_s * rate_hz - 1e-6)  # 1.1 s at 44.1 kHz are 48,510.000000000007 samples


def _to_mono(block: np.ndarray, spec: specs.AudioSpec, name: str) -> np.ndarray:
    """Returns [n] of [n, channels], after checking the scale."""
    peak = float(np.abs(block).max(initial=0))
    if not peak <= MAX_AMPLITUDE:  # also true of NaN
        raise errors.DataError(
            name, f"has samples up to {peak:g}, expected a -1..1 scale; divide by full scale"
        )
    return MONO[spec.mono](block)


def _from_array(media: tuple) -> tuple[np.ndarray, int]:
    """Returns float32 [n, channels] and the rate."""
    match media:
        case (np.ndarray() as samples, int() | np.integer() as rate_hz) if (
            np.issubdtype(samples.dtype, np.floating)
            and samples.ndim in (1, 2)
            and samples.size
            and RATES_HZ[0] <= rate_hz <= RATES_HZ[1]
        ):
            channels = np.atleast_2d(samples).astype(np.float32)  # [channels, n]
            return channels.T, int(rate_hz)
        case _:
            raise media_lib.unusable(media, ACCEPTED)


def _blocks(file: BinaryIO, name: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yields float32 [n, channels] and the rate."""
    head = file.read(12)
    file.seek(0)
    if not head.startswith(SNDFILE_MAGIC) or head[8:12] == b"AVI ":
        yield from _av_blocks(file, name)
        return
    try:
        sound = soundfile.SoundFile(_Clamped(file))
    except soundfile.LibsndfileError:  # a codec that libsndfile lacks in a container that it knows
        yield from _av_blocks(file, name)
        return
    yield from _sndfile_blocks(sound, name)


class _Clamped:
    """A stream whose impossible seeks do nothing, and that ends where reading fails.

    Damaged headers make libsndfile seek before the start, and an exception in its callback is
    printed, not raised. `media.stream` raises what reading failed of.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except OSError:
            return b""

    def readinto(self, buffer: memoryview) -> int:
        try:
            return self._file.readinto(buffer)
        except OSError:
            return 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OSError, OverflowError):
            return self._file.tell()


def _sndfile_blocks(sound: soundfile.SoundFile, name: str) -> Iterator[tuple[np.ndarray, int]]:
    read = 0
    with sound:
        promised = sound.frames
        dtype, scale = STORED.get(sound.subtype, ("float32", None))
        try:
            while len(
                block := sound.read(
                    BLOCK_SAMPLES // sound.channels + 1, dtype=dtype, always_2d=True
                )
            ):
                read += len(block)
                yield block if scale is None else block * scale, sound.samplerate
        except soundfile.LibsndfileError as e:
            raise errors.DataError(
                name, f"is damaged after {read} samples ({e}); {media_lib.AGAIN}"
            ) from e
    if read < promised:
        reason = f"is cut off: the header promises {promised} samples, {read} could be read"
        raise errors.DataError(name, f"{reason}; {media_lib.AGAIN}")


def _av_blocks(file: BinaryIO, name: str) -> Iterator[tuple[np.ndarray, int]]:
    # Sample format only; rate and channels stay. Interleaved, because PyAV reads beyond the planes
    # of more than eight channels.
    to_float = av.AudioResampler(format="flt")
    for frame in media_lib.frames(file, name, "audio"):
        try:
            parts = to_float.resample(frame)
        except (
            av.error.FFmpegError,
            ValueError,
        ) as e:  # damaged headers claim layouts that cannot be, or change them
            raise errors.DataError(
                name, f"has sound of an impossible format ({e}); {media_lib.AGAIN}"
            ) from e
        for part in parts:
            yield part.to_ndarray().reshape(-1, part.layout.nb_channels), part.rate
