"""Long video, sound and motion as windows of equal length, decoded once in one pass.

Windows begin every `stride_s` seconds. The last one ends with the file, unless the windows before
leave less than a tenth of a window over; a file shorter than a window is one window. Each gives the
array that `clips.preprocess` gives for its stretch, bit by bit. The memory does not grow with the
length of the file, that of motion apart, which is small. Windows in which nothing is shown or heard
are left out, the others keep their times.
"""

import bisect
import collections
import contextlib
import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import BinaryIO

import av
import numpy as np

from lb_jax.core import errors
from lb_jax.media import (
    audio,
    depth,
    fbank,
    given,
    imu,
    samples,
    specs,
    tracks,
    video,
    views,
)
from lb_jax.media import clock as clock_lib
from lb_jax.media import display as display_lib
from lb_jax.media.sensors import depth_film

REST = 0.1  # of a window: less than this is not worth one of its own


@dataclasses.dataclass(frozen=True)
class Window:
    """A stretch of a file and its array.

    Attributes:
      start_s: seconds from where the file begins to be shown, as players count.
      end_s: seconds from there, at most the length of the file.
      array: float32, as `preprocess.transform` gives it for one item.
    """

    start_s: float
    end_s: float
    array: np.ndarray


def windows(
    modality: str,
    media: given.Media,
    spec: specs.Spec,
    window_s: float,
    stride_s: float | None = None,
) -> Iterator[Window]:
    """Cuts a file into windows.

    Args:
      modality: "video", "audio", "depth" or "imu"; sound may lie in a video file. Of depth the map
        in the middle of each window is taken.
      media: path or bytes of a file; for audio also (samples, rate), for motion (readings, rate).
      spec: the modality's preprocessing.
      window_s: length of a window in seconds.
      stride_s: from the beginning of one to that of the next; None is `window_s`, without overlap.

    Yields:
      Windows in the order of time, at least one; those of a gap are left out.

    Raises:
      errors.DataError: the file cannot be used; those yielded before it showed are right.
      errors.ConfigError: a modality without time, or lengths that are not above 0.
    """
    if modality not in _CUTTERS:
        raise errors.ConfigError(
            f"windows are cut out of {' and '.join(_CUTTERS)}; {modality} has no time."
        )
    stride_s = window_s if stride_s is None else stride_s
    for name, value in (("window_s", window_s), ("stride_s", stride_s)):
        if not (isinstance(value, numbers.Real) and math.isfinite(value) and value > 0):
            raise errors.ConfigError(f"{name} is {value!r}; expected seconds above 0.")
    return _CUTTERS[modality](media, spec, window_s, stride_s)


def starts(length_s: float, window_s: float, stride_s: float) -> list[float]:
    """Where the windows of a file begin, in seconds."""
    full = math.floor(max(length_s - window_s, 0) / stride_s + 1e-9)
    found = [number * stride_s for number in range(full + 1)]
    if length_s - (found[-1] + window_s) >= REST * window_s:
        found.append(length_s - window_s)
    return found


def _video(
    media: given.Media, spec: specs.VideoSpec, window_s: float, stride_s: float
) -> Iterator[Window]:
    choice, keep, join = video.choice(spec), video.square, np.stack
    if spec.clip_s is not None:
        keep, join = views.squares, functools.partial(views.joined, spec=spec)
    choice = dataclasses.replace(choice, keep=lambda frame: keep(frame, spec))
    return _film(media, choice, join, window_s, stride_s)


def _depth(
    media: given.Media, spec: specs.DepthSpec, window_s: float, stride_s: float
) -> Iterator[Window]:
    def one(stored: np.ndarray) -> np.ndarray:
        with depth_film.named(media):
            return depth.transform(depth.decode(stored, spec), spec)

    choice = dataclasses.replace(depth_film.MIDDLE, keep=one)
    return _film(media, choice, lambda maps: maps[0], window_s, stride_s)


def _film(
    media: given.Media,
    choice: clock_lib.Choice,
    join: Callable[[list[np.ndarray]], np.ndarray],
    window_s: float,
    stride_s: float,
) -> Iterator[Window]:
    """Windows of a film: what `join` makes of what the choice picks and keeps of each."""
    name = given.describe(media)
    with given.stream(media, "nothing else") as file:
        film = _Film.of(file, name, choice)
        length_s = film.length_s
        wanted = []  # (start, end, numbers of its frames)
        for start_s in starts(length_s, window_s, stride_s):
            first, last = film.clock.within(
                film.seconds, start_s, start_s + window_s, choice.standing
            )
            if first < last:  # nothing is shown before the first frame
                window = start_s, start_s + window_s
                numbers = film.clock.numbers(film.seconds, (first, last), window, choice)
                wanted.append((start_s, min(window[1], length_s), numbers))
        yield from _gather(
            film.frames(file, {n for *_, some in wanted for n in some}), wanted, join
        )


def _gather(
    frames: Generator[tuple[int, np.ndarray], None, None],
    wanted: Sequence[tuple[float, float, list[int]]],
    join: Callable[[list[np.ndarray]], np.ndarray],
) -> Iterator[Window]:
    """Makes windows of frames that come in order; a frame is kept while needed."""
    waiting = collections.deque(wanted)
    kept: dict[int, np.ndarray] = {}
    with contextlib.closing(frames):
        for number, frame in frames:
            kept[number] = frame
            while waiting and max(waiting[0][2]) <= number:
                start_s, end_s, numbers = waiting.popleft()
                yield Window(start_s, end_s, join([kept[n] for n in numbers]))
                needed = min(waiting[0][2]) if waiting else number + 1
                kept = {n: one for n, one in kept.items() if n >= needed}


@dataclasses.dataclass(frozen=True)
class _Film:
    """The frames of a video track: when each is shown.

    Attributes:
      name: how errors call the file.
      clock: of the file.
      times: in units of the track, rising; empty where only decoding in order tells the frames.
      seconds: from where the file begins, rising.
      display: how they are shown.
      choice: what is kept of them.
    """

    name: str
    clock: clock_lib.Clock
    times: Sequence[int]
    seconds: Sequence[float]
    display: display_lib.Display
    choice: clock_lib.Choice

    @classmethod
    def of(cls, file: BinaryIO, name: str, choice: clock_lib.Choice) -> "_Film":
        """Reads the times of all frames, without decoding where the codec allows."""
        with tracks.open_track(file, name, choice.kind) as track:
            clock = clock_lib.Clock.of(track)
            display = display_lib.Display.of(track, choice.pixel_aspect, choice.colour)
            packets = [tracks.plain(p) for p in track.packets() if tracks.is_shown(p)]
            one_a_packet = track.stream.codec_context.name in video.ONE_FRAME_A_PACKET
        listed, clock = [p.pts for p in packets], clock.until(packets)
        clock.require_frames(listed)
        times = sorted({time for time in listed if time is not None})
        is_plain = one_a_packet and len(times) == len(listed)
        if is_plain and not _is_interlaced(file, name, choice.kind):
            return cls(name, clock, times, clock.seconds(times), display, choice)
        shown = [frame.pts for frame in tracks.frames(file, name, choice.kind)]
        return cls(name, clock, (), clock.seconds(shown), display, choice)

    @property
    def length_s(self) -> float:
        """Up to the end of the last frame."""
        return self.clock.length_s(self.seconds)

    def frames(
        self, file: BinaryIO, wanted: set[int]
    ) -> Generator[tuple[int, np.ndarray], None, None]:
        """Decodes once in order; yields number and what is kept of the frames wanted."""
        size = None
        with contextlib.closing(self._decoded(file, wanted)) as decoded:
            for number, frame in decoded:
                if number not in wanted:
                    continue
                shape = (frame.height, frame.width)
                size = size or shape
                video.require_one_size({size, shape}, self.name)
                yield number, self.choice.kept(self.display, frame)

    def _decoded(
        self, file: BinaryIO, wanted: set[int]
    ) -> Generator[tuple[int, av.VideoFrame], None, None]:
        with tracks.open_track(file, self.name, self.choice.kind) as track:
            if not self.times:
                yield from enumerate(self.display.watched(track.decode(track.packets())))
                return
            # the last one is decoded whether needed or not: a cut would show there
            needed = {self.times[number] for number in wanted} | {self.times[-1]}
            for frame in self.display.watched(track.decode(track.packets(), wanted=needed)):
                if frame.pts in needed:
                    yield bisect.bisect_left(self.times, frame.pts), frame


def _is_interlaced(file: BinaryIO, name: str, kind: str) -> bool:
    """Whether a packet may hold half a frame."""
    with contextlib.closing(tracks.frames(file, name, kind)) as frames:
        first = next(frames, None)
        return isinstance(first, av.VideoFrame) and first.interlaced_frame


def _audio(
    media: given.Media, spec: specs.AudioSpec, window_s: float, stride_s: float
) -> Iterator[Window]:
    sound = _Sound(spec, given.describe(media), window_s, stride_s)
    with contextlib.closing(samples.mono_blocks(media, spec)) as blocks:
        for block in blocks:
            yield from sound.followed_by(block)
    yield from sound.rest()


class _Sound:
    """Cuts windows out of sound that comes in blocks, and keeps what later ones need.

    Windows without a sample, in a gap or before the first one, are left out.
    """

    def __init__(self, spec: specs.AudioSpec, name: str, window_s: float, stride_s: float):
        self._spec, self._name = spec, name
        self._window_s, self._stride_s = window_s, stride_s
        self._pieces: collections.deque[samples.Mono] = collections.deque()
        self._first: int | None = None  # sample of the file
        self._total = 0  # where the sound ends, so far
        self._number, self._done = 0, 0  # of the next window; where the last one ended
        self._rate_hz, self._is_empty = 0, True

    def followed_by(self, block: samples.Mono) -> Iterator[Window]:
        """Takes a block; yields the windows that end in the gap before it or within it."""
        self._rate_hz = block.rate_hz
        self._first = block.first if self._first is None else self._first
        yield from self._until(block.first)
        self._pieces.append(block)
        self._total = block.stop
        yield from self._until(block.stop)
        # what the next window needs, and a last one that ends with the file
        keep = min(self._sample(self._begins_s), self._total - self._sample(self._window_s))
        while self._pieces and self._pieces[0].stop <= keep:
            self._pieces.popleft()

    def rest(self) -> Iterator[Window]:
        """Yields the last window, which ends with the file."""
        length = self._sample(self._window_s)
        first = max(self._total - length, 0)
        if self._is_empty or self._total - self._done >= REST * length:
            yield self._cut(first, self._total, first / self._rate_hz)

    @property
    def _begins_s(self) -> float:
        return self._number * self._stride_s

    def _sample(self, time_s: float) -> int:
        return samples.sample(time_s, self._rate_hz)

    def _until(self, limit: int) -> Iterator[Window]:
        """Yields the windows that end there or before."""
        while (stop := self._sample(self._begins_s + self._window_s)) <= limit:
            first = self._sample(self._begins_s)
            if first >= self._total:  # leave out the others of the gap, too
                ahead = (limit / self._rate_hz - self._window_s) / self._stride_s
                self._number = max(self._number, math.floor(ahead - 1e-6))
                stop = self._sample(self._begins_s + self._window_s)
            elif first >= self._first or stop - self._first >= fbank.FRAME_S * self._rate_hz:
                yield self._cut(first, stop, self._begins_s)
            self._number, self._done = self._number + 1, stop

    def _cut(self, first: int, stop: int, start_s: float) -> Window:
        held = first if self._first is None else max(first, self._first)
        wave = samples.assemble(self._pieces, held, stop)
        self._is_empty = False
        decoded = audio.of_wave(wave, self._rate_hz, self._spec, self._name)
        return Window(start_s, stop / self._rate_hz, audio.transform(decoded, self._spec))


def _imu(
    media: given.Media, spec: specs.ImuSpec, window_s: float, stride_s: float
) -> Iterator[Window]:
    """Windows of a recording, which is read whole: an hour at 400 Hz is 70 MB."""
    name, recording = given.describe(media), imu.read(media, spec)
    length_s = imu.duration_s(recording)
    for number, start_s in enumerate(starts(length_s, window_s, stride_s)):
        end_s = min(start_s + window_s, length_s)
        decoded = imu.stretch(recording, spec, name, start_s, start_s + window_s)
        if not number:
            imu.warn_of_cut(decoded, spec, name)
        yield Window(start_s, end_s, imu.transform(decoded, spec))


_CUTTERS: dict[str, Callable[..., Iterator[Window]]] = {
    "video": _video,
    "audio": _audio,
    "depth": _depth,
    "imu": _imu,
}
