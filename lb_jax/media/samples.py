"""The samples of sound files, placed where a player plays them.

Reading is by libsndfile or PyAV. The sound of a file runs from its first sample to its last; what
lies between them without samples is silence. Files that are joined go on where the one before
ended, at the rate of the first.
"""

import contextlib
import dataclasses
import functools
import io
import itertools
import math
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import BinaryIO

import av
import av.error
import numpy as np
import soundfile
import soxr

from lb_jax.core import errors
from lb_jax.media import fbank, given, specs, tracks
from lb_jax.media.containers import joined, unfilled

ACCEPTED = "or a tuple (float array [n] or [channels, n] on a -1..1 scale, rate in Hz)"
RATES_HZ = (1_000, 1_000_000)
BLOCK_SAMPLES = 1 << 16
# Loud float recordings pass 1; beyond this they are integers in disguise, or damaged.
MAX_AMPLITUDE = 100.0
# What times may be off before they tell of a gap; FFmpeg's `aresample=async=1` has the same
# (`min_hard_comp`). Containers round to milliseconds, captures wander by a frame.
TOLERANCE_S = 0.1
# More silence than this is not put into one array.
MAX_SILENCE_S = 3600.0

# First bytes of the containers libsndfile reads exactly; anything else goes to PyAV. MP3 is left to
# PyAV because libsndfile's decoder writes its complaints about damaged files straight to stderr.
SNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff", b".snd")
# Containers whose writers give every packet a time. Elsewhere FFmpeg counts it from bytes or
# packets, which tells nothing of gaps, and is wrong for AVI with a varying bit rate.
TIMED = ("mov", "matroska", "mpegts", "mpeg", "flv", "asf", "ogg", "nut", "mxf", "gxf")
# First bytes of the formats of which several may lie end to end.
_LINKS = {b"OggS": joined.ogg_links, b"fLaC": joined.flac_links}

# libsndfile's subtype -> what is read and its full scale; exactly its own floats in a tenth of the
# time. Everything else is read as floats.
STORED = {"PCM_16": ("int16", np.float32(2**-15))}

MONO: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    # Column by column: the same numbers in any memory layout.
    "mean": lambda block: functools.reduce(np.add, block.T) / block.shape[1],
    "first": lambda block: block[:, 0],
}


@dataclasses.dataclass(frozen=True)
class Mono:
    """Sound of one channel.

    Attributes:
      first: number of its first sample, counted from where the file begins to be shown.
      wave: float32 [n]; may be empty.
      rate_hz: the same in all blocks of a file.
      decoded: number of the sample behind what was decoded, before it was cut to a window.
    """

    first: int
    wave: np.ndarray
    rate_hz: int
    decoded: int

    @property
    def stop(self) -> int:
        """Number of the sample behind it."""
        return self.first + len(self.wave)


def read(
    media: given.Media, spec: specs.AudioSpec, start_s: float = 0.0, end_s: float | None = None
) -> tuple[np.ndarray, int]:
    """Returns the mono sound of a window, float32 [n], and its rate.

    Raises:
      errors.DataError: as `mono_blocks`, nothing in the window, or hours of silence within it.
    """
    name = given.describe(media)
    # the window; first and stop of all that was read; of one block at least
    pieces, sound, rate_hz = [], None, 0
    for block in mono_blocks(media, spec, start_s, end_s):
        rate_hz = block.rate_hz
        sound = (block.first if sound is None else sound[0], block.decoded)
        pieces.append(block)
        if block.stop >= sample(end_s, rate_hz):
            break
    first, stop = max(sound[0], sample(start_s, rate_hz)), min(sound[1], sample(end_s, rate_hz))
    held = sum(len(one.wave) for one in pieces)
    if not held:
        raise errors.DataError(
            name,
            f"has no sound {given.window(start_s, end_s)}, {sound[1] / rate_hz:.3f} s were "
            "looked through; correct the window or leave the clip out",
        )
    silence_s = (stop - first - held) / rate_hz
    if silence_s > MAX_SILENCE_S:
        raise errors.DataError(
            name,
            f"has gaps of {silence_s:.0f} s in its sound {given.window(start_s, end_s)}, "
            f"expected at most {MAX_SILENCE_S:.0f} s; take it in windows",
        )
    return assemble(pieces, first, stop), rate_hz


def assemble(pieces: Sequence[Mono], first: int, stop: int) -> np.ndarray:
    """Sound from one sample to another, float32 [stop - first]; silence where there is none."""
    wave = np.zeros(stop - first, np.float32)
    for piece in pieces:
        shown = piece.wave[max(first - piece.first, 0) : max(stop - piece.first, 0)]
        at = max(piece.first - first, 0)
        wave[at : at + len(shown)] = shown
    return wave


def mono_blocks(
    media: given.Media, spec: specs.AudioSpec, start_s: float = 0.0, end_s: float | None = None
) -> Generator[Mono, None, None]:
    """Decodes sound in one pass, block by block.

    Args:
      media: as `audio.decode` takes it.
      spec: how channels become one.
      start_s, end_s: blocks are cut to this window, those outside of it are empty. Reading goes on
        to the end of the file all the same.

    Yields:
      Blocks in the order of time, at least one; what lies between two of them is silence.

    Raises:
      errors.DataError: undecodable, cut off, no sound track, not finite, or without any sample.
    """
    name, at, is_empty = given.describe(media), 0, True
    with _opened(media) as blocks:
        for block in _at_one_rate(blocks, spec, name):
            if block.begins_s is not None:
                at = max(at, round(block.begins_s * block.rate_hz))
            low, high = sample(start_s, block.rate_hz) - at, sample(end_s, block.rate_hz) - at
            shown = block.samples[max(low, 0) : max(high, 0)]
            count = len(block.samples)
            first, at = at + min(max(low, 0), count), at + count
            yield Mono(first, _to_mono(shown, spec, name), block.rate_hz, at)
            is_empty = is_empty and not count
    if is_empty:
        raise errors.DataError(
            name, f"holds no sound, expected at least {1000 * fbank.FRAME_S:.0f} ms"
        )


def sample(time_s: float | None, rate_hz: int) -> int:
    """Number of the first sample at a time or later; of none for None."""
    if time_s is None:
        return sys.maxsize
    return math.ceil(time_s * rate_hz - 1e-6)  # 1.1 s at 44.1 kHz are 48,510.000000000007 samples


@dataclasses.dataclass(frozen=True)
class _Block:
    """What a decoder gives.

    Attributes:
      samples: float32 [n, channels].
      rate_hz: of the samples.
      begins_s: where it begins, seconds from where the file begins to be shown; None is right
        behind the block before, or at 0.
    """

    samples: np.ndarray
    rate_hz: int
    begins_s: float | None = None


@contextlib.contextmanager
def _opened(media: given.Media) -> Iterator[Iterator[_Block]]:
    if isinstance(media, tuple):
        yield iter([_from_array(media)])
        return
    name = given.describe(media)
    with (
        given.stream(media, ACCEPTED) as file,
        contextlib.closing(_blocks(file, name)) as blocks,
    ):
        yield blocks


def _at_one_rate(blocks: Iterator[_Block], spec: specs.AudioSpec, name: str) -> Iterator[_Block]:
    """Resamples stretches of another rate than the first one, mixed to one channel."""
    quality = spec.resampler.removeprefix("soxr_").upper()
    quality = quality if spec.resampler.startswith("soxr_") else "HQ"
    rate_hz = None
    for (rate, _), run in itertools.groupby(blocks, key=_Runs()):
        _require_rate(rate, name)
        rate_hz = rate_hz or rate
        if rate == rate_hz:
            yield from run
            continue
        resampler = soxr.ResampleStream(rate, rate_hz, 1, "float32", quality)
        for block in run:
            mono = resampler.resample_chunk(_to_mono(block.samples, spec, name))
            yield _Block(mono[:, None], rate_hz, block.begins_s)
        rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        yield _Block(rest[:, None], rate_hz)


class _Runs:
    """Tells stretches apart: another rate, or a gap before it."""

    def __init__(self):
        self._number = 0

    def __call__(self, block: _Block) -> tuple[int, int]:
        self._number += block.begins_s is not None
        return block.rate_hz, self._number


def _require_rate(rate_hz: int, name: str) -> None:
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise errors.DataError(
            name,
            f"has {rate_hz} samples per second, expected from {RATES_HZ[0]} to {RATES_HZ[1]}; "
            "export it again",
        )


def _to_mono(block: np.ndarray, spec: specs.AudioSpec, name: str) -> np.ndarray:
    """Returns [n] of [n, channels], after checking the scale."""
    peak = float(np.abs(block).max(initial=0))
    if not peak <= MAX_AMPLITUDE:  # also true of NaN
        raise errors.DataError(
            name, f"has samples up to {peak:g}, expected a -1..1 scale; divide by full scale"
        )
    return MONO[spec.mono](block)


def _from_array(media: tuple) -> _Block:
    match media:
        case (np.ndarray() as samples, int() | np.integer() as rate_hz) if (
            np.issubdtype(samples.dtype, np.floating)
            and samples.ndim in (1, 2)
            and samples.size
            and RATES_HZ[0] <= rate_hz <= RATES_HZ[1]
        ):
            channels = np.atleast_2d(samples).astype(np.float32)  # [channels, n]
            return _Block(channels.T, int(rate_hz))
        case _:
            raise given.unusable(media, ACCEPTED)


def _blocks(file: BinaryIO, name: str) -> Generator[_Block, None, None]:
    file.seek(0)
    head = file.read(12)
    file.seek(0)
    if joined.is_mpeg_audio(head):
        yield from _av_blocks(joined.without_tags(file), name)
    elif head[:4] in _LINKS and len(links := _LINKS[head[:4]](file)) > 1:
        yield from _one_after_the_other(_known(link, name) for link in links)
    elif head[8:12] == b"AVI ":
        yield from _av_blocks(file, name)
    else:
        yield from _known(unfilled.filled(file), name)


def _one_after_the_other(links: Iterable[Iterator[_Block]]) -> Iterator[_Block]:
    """Blocks of several files, each behind the one before; gaps within a file stay."""
    end_s = 0.0
    for link in links:
        start_s = end_s
        for block in link:
            begins_s = start_s + block.begins_s if block.begins_s else None
            end_s = (end_s if begins_s is None else begins_s) + len(block.samples) / block.rate_hz
            yield dataclasses.replace(block, begins_s=begins_s)


def _known(file: BinaryIO, name: str) -> Iterator[_Block]:
    """By libsndfile what it knows, else by PyAV."""
    if file.read(4).startswith(SNDFILE_MAGIC):
        if _has_gap(file, name):
            yield from _av_blocks(file, name)
            return
        file.seek(0)
        try:
            sound = soundfile.SoundFile(_Clamped(file))
        except soundfile.LibsndfileError:  # a codec that it lacks in a container that it knows
            pass
        else:
            yield from _sndfile_blocks(sound, name)
            return
    yield from _av_blocks(file, name)


def _has_gap(file: BinaryIO, name: str) -> bool:
    """Whether the times of an Ogg file leap, of which libsndfile tells nothing.

    Pages that are lost make them leap, too; that is damage, and libsndfile misses their samples.
    """
    file.seek(0)
    if file.read(4) != b"OggS" or not joined.ogg_is_whole(file):
        return False
    file.seek(0)
    try:
        with tracks.open_track(file, name, "audio") as track:
            unit_s, next_s = float(tracks.fraction(track.stream.time_base)), None
            for packet in track.packets():
                begins_s = None if packet.pts is None else packet.pts * unit_s
                if None not in (begins_s, next_s) and begins_s - next_s > TOLERANCE_S:
                    return True
                next_s = None if begins_s is None else begins_s + (packet.duration or 0) * unit_s
    except errors.DataError:  # FFmpeg cannot read it
        pass
    finally:
        file.seek(0)
    return False


class _Clamped:
    """A stream whose impossible seeks do nothing, and that ends where reading fails.

    Damaged headers make libsndfile seek before the start, and an exception in its callback is
    printed, not raised. `given.stream` raises what reading failed of.
    """

    def __init__(self, file: io.BufferedIOBase):
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


def _sndfile_blocks(sound: soundfile.SoundFile, name: str) -> Iterator[_Block]:
    read_ = 0
    with sound:
        promised = sound.frames
        dtype, scale = STORED.get(sound.subtype, ("float32", None))
        try:
            while len(
                block := sound.read(
                    BLOCK_SAMPLES // sound.channels + 1, dtype=dtype, always_2d=True
                )
            ):
                read_ += len(block)
                yield _Block(block if scale is None else block * scale, sound.samplerate)
        except soundfile.LibsndfileError as e:
            raise errors.DataError(
                name, f"is damaged after {read_} samples ({e}); {given.AGAIN}"
            ) from e
    if read_ < promised:
        reason = f"is cut off: the header promises {promised} samples, {read_} could be read"
        raise errors.DataError(name, f"{reason}; {given.AGAIN}")


def _av_blocks(file: BinaryIO, name: str) -> Iterator[_Block]:
    """Decodes a track, and cuts its last frame where the file says that the sound ends.

    Codecs pad the last frame; of MP4 and MOV the file says how much of it is sound, and FFmpeg
    before version 9 gives all of it.
    """
    with tracks.open_track(file, name, "audio") as track:
        clock, listed = _Clock.of(track), _Listed(track.packets())
        to_float, last = _ToFloat(name), None
        for frame in track.decode(listed):
            if last is not None:
                yield last[1]
            assert isinstance(frame, av.AudioFrame)  # of a track of sound
            samples = to_float(frame)
            last = frame.pts, _Block(samples, frame.rate, clock.begins_s(frame, len(samples)))
        if last is not None:
            time, block = last
            kept = listed.kept(track, time, block)
            yield dataclasses.replace(block, samples=block.samples[:kept])


class _Listed:
    """Packets that pass, with the memory of where the last one ends."""

    def __init__(self, packets: Iterator[av.Packet]):
        self._packets = packets
        self._last: tuple[int, int] | None = None  # begin and end, in units of the track

    def __iter__(self) -> Iterator[av.Packet]:
        for packet in self._packets:
            begin, length = packet.pts, packet.duration
            if begin is not None and length is not None and tracks.is_shown(packet):
                self._last = begin, begin + length
            yield packet

    def kept(self, track: tracks.Track, time: int | None, block: _Block) -> int | None:
        """How many samples of the last frame, which begins at a time, are sound; None is all."""
        if track.end is None or self._last is None or time is None:
            return None
        begin, end = self._last
        if track.end > begin:  # the header counts by edits, the packet by its own length
            end = min(end, track.end)
        unit = tracks.fraction(track.stream.time_base) * block.rate_hz  # in samples
        kept = round((end - time) * unit)
        return kept if 0 <= kept <= len(block.samples) - unit else None


class _Clock:
    """Finds gaps: tells for each frame whether it begins elsewhere than behind the one before."""

    def __init__(self, unit_s: float | None, zero_s: float | None):
        self._unit_s, self._zero_s = unit_s, zero_s
        self._next_s: float | None = None  # where the next frame belongs

    @classmethod
    def of(cls, track: tracks.Track) -> "_Clock":
        is_timed = track.container.format.name.split(",")[0] in TIMED
        unit_s = float(tracks.fraction(track.stream.time_base)) if is_timed else None
        return cls(unit_s, None if track.zero_s is None else float(track.zero_s))

    def begins_s(self, frame: av.AudioFrame, count: int) -> float | None:
        """Where the next frame, of so many samples, begins; None is right behind the last one.

        Where times go back, files were joined: the sound goes on, and what follows is later by as
        much.
        """
        if self._unit_s is None or (frame.pts is None and self._next_s is None):
            return None
        begins = None
        if frame.pts is not None:
            told = frame.pts * self._unit_s
            if self._next_s is None:
                self._zero_s = told if self._zero_s is None else self._zero_s
                self._next_s = begins = max(told - self._zero_s, 0.0)
            off_s = told - self._zero_s - self._next_s
            if off_s < -TOLERANCE_S:
                self._zero_s += off_s
            elif off_s > TOLERANCE_S:
                self._next_s = begins = self._next_s + off_s
        self._next_s += count / frame.rate
        return begins


class _ToFloat:
    """Makes frames float32 [n, channels]; their format and channels may change on the way."""

    def __init__(self, name: str):
        self._name = name
        self._format: tuple | None = None
        self._resampler: av.AudioResampler | None = None

    def __call__(self, frame: av.AudioFrame) -> np.ndarray:
        format_ = frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.rate
        if self._resampler is None or format_ != self._format:
            # Sample format only; rate and channels stay. Interleaved, because PyAV reads beyond
            # the planes of more than eight channels.
            self._format, self._resampler = format_, av.AudioResampler(format="flt")
        try:
            parts = self._resampler.resample(frame)
        except (av.error.FFmpegError, ValueError) as e:  # headers claim layouts that cannot be
            raise errors.DataError(
                self._name, f"has sound of an impossible format ({e}); {given.AGAIN}"
            ) from e
        arrays = [part.to_ndarray().reshape(-1, part.layout.nb_channels) for part in parts]
        channels = frame.layout.nb_channels
        return np.concatenate(arrays) if arrays else np.zeros((0, channels), np.float32)
