"""Sound: resampling, log-mel, and its layout.

That is the three time crops of LanguageBind (spec 5.3), the slices of VALOR (spec 2.2), one stretch
as MMV takes it (spec 2.2), or the windows of ImageBind (spec 5.4).

How its samples are read is `samples`.
"""

import fractions
import functools
import math
from collections.abc import Callable

import librosa  # loads what it holds when that is first used
import numpy as np

from lb_jax.core import errors
from lb_jax.media import chunks, fbank, given, magnitude_mel, samples, specs

CROPS = 3
# Windowed sinc of the reference: zero crossings kept on each side, and the pass band as a share of
# the lower Nyquist frequency.
SINC_ZEROS = 6
SINC_ROLLOFF = 0.99
PHASES = 16  # of outputs computed together
# What a slice is padded with, before it is normalised. The published 0 is a sound of medium
# strength in every band; digital silence is the floor of the logarithm.
PADDING = {"silence": math.log(fbank.FLOOR), "published": 0.0}

# (wave, rate, filters) -> log-mel [frames, mel].
BANKS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "kaldi": fbank.log_mel,
    **{name: functools.partial(magnitude_mel.log_mel, log=name) for name in magnitude_mel.LOGS},
}


def decode(
    media: given.Media,
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
      start_s: the samples then or later, and before `end_s`, are the sound, in seconds from where
        the file begins to be shown, its pictures included. They are cut out before resampling. Gaps
        between samples are silence.
      end_s: None is the end of the file.

    Returns:
      As `of_wave`.

    Raises:
      errors.DataError: undecodable, cut off, no sound track, not finite, no sample between the two
        times, or shorter than 25 ms.
    """
    name = given.describe(media)
    return of_wave(*samples.read(media, spec, start_s, end_s), spec, name)


def of_wave(wave: np.ndarray, rate_hz: int, spec: specs.AudioSpec, name: str) -> np.ndarray:
    """Sound in the form that `transform` takes.

    Args:
      wave: float32 [n], mono.
      rate_hz: of the samples.
      spec: rate, resampler, number of filters and layout.
      name: how errors call the sound.

    Returns:
      float32 [frames, mel], one frame per step of the bank; of "windows", which begin between the
      steps, the samples at the rate of the spec, float32 [n].

    Raises:
      errors.DataError: shorter than 25 ms.
    """
    if spec.layout != "windows":
        return log_mel(wave, rate_hz, spec, name)
    assert spec.sample_rate_hz is not None  # of "windows" it is known
    wave = resample(wave, rate_hz, spec.sample_rate_hz, spec.resampler)
    if not fbank.num_frames(len(wave), spec.sample_rate_hz):
        raise _too_short(len(wave), spec.sample_rate_hz, name)
    return wave


def log_mel(wave: np.ndarray, rate_hz: int, spec: specs.AudioSpec, name: str) -> np.ndarray:
    """Resamples sound and takes its log-mel spectrogram.

    Args:
      wave: float32 [n], mono.
      rate_hz: of the samples.
      spec: rate (None keeps the sound's own), resampler and number of filters.
      name: how errors call the sound.

    Returns:
      float32 [frames, mel], one frame per step of the bank.

    Raises:
      errors.DataError: shorter than 25 ms.
    """
    if spec.sample_rate_hz is not None:
        wave = resample(wave, rate_hz, spec.sample_rate_hz, spec.resampler)
        rate_hz = spec.sample_rate_hz
    # The reference removes the mean of the whole sound here; the filter bank removes every frame's.
    mel = BANKS[spec.bank](wave, rate_hz, spec.mel_bins)
    if len(mel) == 0:
        raise _too_short(len(wave), rate_hz, name)
    return mel


def _too_short(count: int, rate_hz: int, name: str) -> errors.DataError:
    return errors.DataError(
        name,
        f"lasts {1000 * count / rate_hz:.1f} ms, expected at least {1000 * fbank.FRAME_S:.0f} ms "
        "of sound",
    )


def duration_s(decoded: np.ndarray, spec: specs.AudioSpec) -> float:
    """How long a sound lasts, by the steps of its spectrogram or by its samples."""
    if spec.layout == "windows" and spec.sample_rate_hz is not None:
        return len(decoded) / spec.sample_rate_hz
    if spec.bank == "kaldi" or spec.sample_rate_hz is None:
        return 0.01 * len(decoded) + 0.015
    return magnitude_mel.HOP * len(decoded) / spec.sample_rate_hz


def transform(
    decoded: np.ndarray, spec: specs.AudioSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Lays the spectrogram out for its encoder, and normalises it.

    "crops": a longer clip gives three crops starting in the front, middle and back third of the
    possible places: at the first place of each third in evaluation, at a drawn one in training. A
    shorter clip is repeated and gives the same crop three times.

    "slices": the spectrogram is padded, cut into consecutive slices, and `spec.clips` of these are
    taken by the rule of `chunks.choose`.

    "whole": one stretch, the middle one in evaluation, a drawn one in training; a shorter clip is
    filled up with digital silence.

    "windows": stretches of the samples, from the first place to the last, in training drawn ones;
    a shorter sound gives itself so many times. Their spectrograms are padded behind their end.

    Args:
      decoded: float32 as `of_wave` gives it.
      spec: layout, target_frames, clips, padding, mean, std and train_crop.
      rng: draws the places; None takes the fixed ones. Always as many draws as there are crops or
        clips, whatever the length.

    Returns:
      float32 [mel, target_frames, 3], [clips, mel, target_frames], [target_frames, mel, 1] or of
      "windows" [clips, mel, target_frames, 1]: (x - mean) / (2 std), lowest frequency first.
    """
    return _LAYOUTS[spec.layout](decoded, spec, rng)


def _crops(
    decoded: np.ndarray, spec: specs.AudioSpec, rng: np.random.Generator | None
) -> np.ndarray:
    length = spec.target_frames
    if len(decoded) < length:
        decoded = np.tile(decoded, (-(-length // len(decoded)), 1))[:length]
    draws = np.zeros(CROPS) if rng is None else rng.random(CROPS)
    if spec.train_crop == "first":
        draws = np.zeros(CROPS)
    rows = _normalised(decoded, spec)
    out = np.empty((len(rows), length, CROPS), np.float32)
    for c, offset in enumerate(crop_offsets(len(decoded) - length + 1, draws)):
        out[..., c] = rows[:, offset : offset + length]
    return out


def _slices(
    decoded: np.ndarray, spec: specs.AudioSpec, rng: np.random.Generator | None
) -> np.ndarray:
    draws = None if rng is None else rng.random(spec.clips)
    if spec.train_crop == "first":
        draws = None
    length, count = spec.target_frames, slice_count(len(decoded), spec)
    rows = _normalised(decoded, spec)
    padding = np.float32((PADDING[spec.padding] - spec.mean) / (2 * spec.std))
    out = np.full((spec.clips, len(rows), length), padding, np.float32)
    for place, number in zip(out, chunks.choose(count, spec.clips, draws), strict=True):
        heard = rows[:, number * length : (number + 1) * length]
        place[:, : heard.shape[1]] = heard
    return out


def _whole(
    decoded: np.ndarray, spec: specs.AudioSpec, rng: np.random.Generator | None
) -> np.ndarray:
    draw = None if rng is None else float(rng.random())
    if spec.train_crop == "first":
        draw = None
    length = spec.target_frames
    if len(decoded) < length:
        silence = BANKS[spec.bank](np.zeros(magnitude_mel.WINDOW), _ANY_HZ, spec.mel_bins)[:1]
        decoded = np.concatenate([decoded, np.repeat(silence, length - len(decoded), axis=0)])
    taken = decoded[chunks.run(len(decoded), length, draw)]
    return np.ascontiguousarray(_normalised(taken, spec).T)[..., None]


def _windows(
    decoded: np.ndarray, spec: specs.AudioSpec, rng: np.random.Generator | None
) -> np.ndarray:
    draws = None if rng is None else rng.random(spec.clips)
    if spec.train_crop == "first":
        draws = None
    assert spec.sample_rate_hz is not None  # of "windows" it is known
    padding = np.float32((PADDING[spec.padding] - spec.mean) / (2 * spec.std))
    out = np.full((spec.clips, spec.mel_bins, spec.target_frames, 1), padding, np.float32)
    for place, (first, stop) in zip(out, bounds(len(decoded), spec, draws), strict=True):
        mel = fbank.log_mel(decoded[first:stop], spec.sample_rate_hz, spec.mel_bins)
        mel = mel[: spec.target_frames]
        place[:, : len(mel), 0] = _normalised(mel, spec)
    return out


def bounds(
    count: int, spec: specs.AudioSpec, draws: np.ndarray | None = None
) -> list[tuple[int, int]]:
    """First sample of each window and the one behind it (ImageBind spec 5.4 step 2).

    Args:
      count: of the samples, at the rate of the spec.
      spec: clips, window_s, sample_rate_hz and bounds.
      draws: one value in [0, 1) per window, the place inside its share; None spreads them.
    """
    assert spec.sample_rate_hz is not None  # of "windows" it is known
    length = round(spec.window_s * spec.sample_rate_hz)
    places, parts = max(count - length, 0), max(spec.clips - 1, 1)
    if draws is not None:
        shares = (np.arange(spec.clips) + draws) / spec.clips
        firsts = [int(share * (places + 1)) for share in shares]
    elif spec.bounds == "published":  # as PyTorchVideo: a fraction of what a float has rounded
        over_s = fractions.Fraction(max(count / spec.sample_rate_hz - spec.window_s, 0.0)) / parts
        window = fractions.Fraction(spec.window_s)
        edges = [(over_s * k, over_s * k + window) for k in range(spec.clips)]
        rate = spec.sample_rate_hz
        return [(int(start * rate), min(int(stop * rate), count)) for start, stop in edges]
    elif spec.clips == 1:
        firsts = [places // 2]
    else:
        firsts = [places * k // parts for k in range(spec.clips)]
    return [(first, min(first + length, count)) for first in firsts]


_ANY_HZ = 48_000  # of silence, which is the same at every rate


def slice_count(frames: int, spec: specs.AudioSpec) -> int:
    """How many slices a spectrogram is cut into.

    The published padding is at least one frame, so a whole number of slices gains an empty one.
    """
    if spec.padding == "published":
        return frames // spec.target_frames + 1
    return -(-frames // spec.target_frames)


def _normalised(decoded: np.ndarray, spec: specs.AudioSpec) -> np.ndarray:
    """Log-mel [frames, mel] -> float32 [mel, frames], (x - mean) / (2 std)."""
    rows = np.empty(decoded.shape[::-1], np.float32)
    np.subtract(decoded.T, np.float32(spec.mean), out=rows)
    rows /= np.float32(2 * spec.std)
    return rows


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


_LAYOUTS = {"crops": _crops, "slices": _slices, "whole": _whole, "windows": _windows}
