"""Clips: evenly spaced frames by PyAV, then their transform (LanguageBind spec 5.1 and 5.2).

The transform is resize, crop and normalisation.
"""

import bisect
import contextlib
import dataclasses
import fractions
import functools
import io
from collections.abc import Callable, Sequence, Set
from typing import BinaryIO

import av
import numpy as np

from lb_jax.core import errors
from lb_jax.media import display as display_lib
from lb_jax.media import given, image, specs, tracks

# One sequential pass beats seeking (about 50 ms a frame, with reopening) until the wanted frames
# lie this far apart.
SEEK_GAP = 250
# Up to this size the coded frames are kept in memory, and the file is read once.
HELD_BYTES = 64 << 20
# Codecs that hide no frames between those that are shown. About half the frames of usual clips lead
# to no other frame, and need not be decoded.
ONE_FRAME_A_PACKET = ("h264", "hevc", "mpeg4")
ACCEPTED = "a uint8 array [t, h, w, 3] or a list of still pictures"


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which frames of a file are taken, and what is kept of each.

    Attributes:
      pick: how many frames there are in the window -> their numbers from 0 on, int64 [n], n > 0.
      start_s: where the window begins, seconds from where the file begins to be shown.
      end_s: where it ends, itself left out; None is behind the last frame.
      keep: uint8 [h, w, 3] -> what is kept; None keeps the frame.
      standing: whether the frame that stands when the window begins counts too. Without it, it is
        taken only where no other begins in the window.
      pixel_aspect, colour: how a frame is shown, as in `specs.VideoSpec`.
      kind: of the track, as `tracks.open_track` takes it.
      read: frame and its display -> an array instead of what players show.
    """

    pick: Callable[[int], np.ndarray]
    start_s: float = 0.0
    end_s: float | None = None
    keep: Callable[[np.ndarray], np.ndarray] | None = None
    standing: bool = False
    pixel_aspect: str = "square"
    colour: str = "srgb"
    kind: str = "video"
    read: Callable[[av.VideoFrame, display_lib.Display], np.ndarray] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the window is all of the file."""
        return (self.start_s, self.end_s) == (0.0, None)

    def kept(self, display: display_lib.Display, frame: av.VideoFrame) -> np.ndarray:
        """What is kept of a decoded frame."""
        shown = display.show(frame) if self.read is None else self.read(frame, display)
        return shown if self.keep is None else self.keep(shown)


def decode(
    media: given.Media,
    spec: specs.VideoSpec,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> np.ndarray:
    """Decodes `spec.frames` frames spread evenly over the clip, upright, at the size they show at.

    Args:
      media: path or bytes of anything PyAV decodes; or frames, which are picked by the same rule:
        uint8 [t, h, w, 3], or a list or tuple of still pictures of one size.
      spec: number of frames, pixel_aspect and colour; frames given as an array have square pixels
        of sRGB.
      start_s: the frames that begin then or later, and before `end_s`, are the clip, or the one
        that stands there if none does. In seconds from where the file begins to be shown, its sound
        included. Frames given as such have no times.
      end_s: None is the end of the file.

    Returns:
      uint8 [t, h, w, 3]; frames repeat where the clip has fewer than asked for.

    Raises:
      errors.DataError: no video track, damaged, cut off, too large, changing size, no frame between
        the two times, or an array of another dtype or shape.
    """
    if isinstance(media, np.ndarray | list | tuple) and (start_s, end_s) != (0.0, None):
        raise errors.DataError(
            given.describe(media),
            f"has no times, so nothing {given.window(start_s, end_s)}; give its frames alone",
        )
    if isinstance(media, np.ndarray):
        if media.dtype != np.uint8 or media.ndim != 4 or media.shape[-1] != 3 or media.size == 0:
            raise given.unusable(media, ACCEPTED)
        return media[frame_indices(len(media), spec.frames)]
    if isinstance(media, list | tuple):
        return _stills(media, spec)
    spread = functools.partial(frame_indices, wanted=spec.frames)
    look = {"pixel_aspect": spec.pixel_aspect, "colour": spec.colour}
    return choose(media, Choice(spread, start_s, end_s, **look))


def choose(media: given.Media, choice: Choice) -> np.ndarray:
    """Decodes chosen frames of a file, upright, and little beside them.

    Args:
      media: path or bytes of anything PyAV decodes.
      choice: which frames.

    Returns:
      [n, ...] of what `choice.keep` makes of each, uint8 [n, h, w, 3] without it.

    Raises:
      errors.DataError: as `decode`.
    """
    name = given.describe(media)
    packets: list[tracks.Packet] = []
    with given.stream(media, ACCEPTED) as file:
        is_small = file.seek(0, io.SEEK_END) <= HELD_BYTES
        with tracks.open_track(file, name, choice.kind) as track:
            clock = Clock.of(track)
            display = display_lib.Display.of(track, choice.pixel_aspect, choice.colour)
            if is_small:
                held = list(track.packets())
                packets = [tracks.plain(p) for p in held if tracks.is_shown(p)]
                clock = clock.until(packets)
                chosen = _pick_times(track, clock, held, choice, display)
                if chosen is not None:
                    return chosen
        if not is_small:
            packets = tracks.packets(file, name, choice.kind)
            clock = clock.until(packets)
        sought = _seek(file, clock, packets, choice, display)
        if sought is not None:
            return sought
        return _pick(file, clock, [p.pts for p in packets], choice, display)


def transform(
    decoded: np.ndarray, spec: specs.VideoSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Resizes the short side (bilinear), crops and normalises.

    All frames share one crop and one flip.

    Args:
      decoded: uint8 [t, h, w, 3].
      spec: size, antialias, mean, std, train_crop and train_flip.
      rng: draws crop and flip in training, always three draws; None crops the centre and never
        flips.

    Returns:
      float32 [t, s, s, 3].
    """
    flip, place = False, None
    if rng is not None:
        down, right, mirror = rng.random(3)
        flip = mirror < spec.train_flip
        place = (down, right) if spec.train_crop == "random" else None
    kernel = image.KERNELS["bilinear", spec.antialias]
    clip = np.empty((len(decoded), spec.size, spec.size, 3), np.float32)
    for frame, out in zip(decoded, clip, strict=True):
        image.square(frame, spec, kernel, white=255.0, place=place, out=out)
    return np.ascontiguousarray(clip[:, :, ::-1]) if flip else clip  # [t, s, s, 3]


def frame_indices(available: int, wanted: int) -> np.ndarray:
    """Returns `wanted` frame numbers over all of `available`, int64 [wanted] (spec 5.2).

    They run from the first to the last.
    """
    return np.linspace(0, available - 1, wanted).astype(np.int64)


def _stills(pictures: Sequence[given.Picture], spec: specs.VideoSpec) -> np.ndarray:
    """Decodes the evenly spaced ones of some pictures, uint8 [spec.frames, h, w, 3]."""
    if not pictures:
        raise given.unusable(pictures, ACCEPTED)
    indices = frame_indices(len(pictures), spec.frames).tolist()
    still = specs.ImageSpec(colour=spec.colour)
    decoded = {i: image.decode(pictures[i], still) for i in set(indices)}
    return _stack([decoded[i] for i in indices], given.describe(pictures))


@dataclasses.dataclass(frozen=True)
class Clock:
    """When frames are shown.

    Attributes:
      name: how errors call the file.
      time_base: seconds per unit of a frame's time.
      rate: frames per second, for containers without times; None if it does not say that either.
      zero_s: time at which the file begins to be shown; None is that of the first frame.
      begin, end: when the first frame begins and the last one ends, in units of the time base; None
        if the container does not say.
    """

    name: str
    time_base: fractions.Fraction
    rate: fractions.Fraction | None
    zero_s: fractions.Fraction | None = None
    begin: int | None = None
    end: int | None = None

    @classmethod
    def of(cls, track: tracks.Track) -> "Clock":
        """The clock of an opened track, which does not know where the film begins."""
        times, rate = track.stream.time_base, track.stream.average_rate
        plain = tracks.fraction(times), tracks.fraction(rate)
        return cls(track.name, *plain, track.zero_s, end=track.end)

    def until(self, packets: Sequence[tracks.Packet]) -> "Clock":
        """Returns the clock with begin and end of the film, of all packets that are shown."""
        timed = [(p.pts, p.duration) for p in packets if p.pts is not None]
        if not timed or len(timed) < len(packets):
            return dataclasses.replace(self, begin=None, end=None)
        last, duration = max(timed, key=lambda one: one[0])
        end = self.end
        if end is None or end <= last:  # else it is as the header says
            end = last + duration if duration else None
        return dataclasses.replace(self, begin=min(time for time, _ in timed), end=end)

    def chosen(self, times: Sequence[int | None], choice: Choice) -> tuple[list[int], bool]:
        """Numbers of the chosen ones of all frames, and whether the window holds all frames.

        Args:
          times: of all frames, in any order, in units of the time base.
          choice: window and rule.

        Raises:
          errors.DataError: no frame is in the window.
        """
        self.require_frames(times)
        first, last = 0, len(times)
        if not choice.is_whole or choice.standing:
            seconds = self.seconds(times)
            first, last = self.within(seconds, choice.start_s, choice.end_s, choice.standing)
            if first >= last:
                asked = given.window(choice.start_s, choice.end_s)
                raise errors.DataError(
                    self.name,
                    f"has no frame {asked}, the last one is shown at {seconds[-1]:.3f} s; correct "
                    "the window or leave the clip out",
                )
        numbers = (first + choice.pick(last - first)).tolist()
        return numbers, (first, last) == (0, len(times))

    def within(
        self, seconds: Sequence[float], start_s: float, end_s: float | None, standing: bool = False
    ) -> tuple[int, int]:
        """Numbers of the first frame of a window and of the first behind it; equal if none is.

        For the arguments see `Choice`; `seconds` are the times of all frames.
        """
        first = bisect.bisect_left(seconds, start_s)
        last = len(seconds) if end_s is None else bisect.bisect_left(seconds, end_s)
        if first < last and not standing:
            return first, last
        shown = bisect.bisect_right(seconds, start_s)
        is_inside = start_s < self.length_s(seconds) and (end_s is None or start_s < end_s)
        if not shown or not is_inside:
            return first, max(first, last)
        return shown - 1, max(shown, last)

    def length_s(self, seconds: Sequence[float]) -> float:
        """Where the last frame ends.

        It is shown as long as the container says, else as long as the others on average.
        """
        if self.end is not None:
            return max(*self._seconds([self.end], self.begin), seconds[-1])
        count = len(seconds)
        return seconds[-1] * count / max(count - 1, 1)

    def require_frames(self, times: Sequence[int | None]) -> None:
        """Raises DataError where there are no frames."""
        if not times:
            raise errors.DataError(self.name, f"has a video track without frames; {given.AGAIN}")

    def seconds(self, times: Sequence[int | None]) -> list[float]:
        """When the frames are shown, in seconds from where the file begins, sorted.

        Raises:
          errors.DataError: the file says neither times nor a rate.
        """
        known = [time for time in times if time is not None]
        if len(known) == len(times):
            return sorted(self._seconds(known, min(known)))
        if not self.rate:
            raise errors.DataError(
                self.name, "says neither times nor a rate of its frames; convert it to mp4"
            )
        up, down = self.rate.as_integer_ratio()
        return [number * down / up for number in range(len(times))]

    def _seconds(self, times: Sequence[int], first: int) -> list[float]:
        """Seconds from where the file begins; `first` is the time of its first frame."""
        up, down = self.time_base.as_integer_ratio()
        zero = first * self.time_base if self.zero_s is None else self.zero_s
        over, under = (zero / self.time_base).as_integer_ratio()
        # One division of whole numbers: a frame at 3 s is at 3.0, not right before it.
        return [(time * under - over) * up / (down * under) for time in times]


def _pick_times(
    track: tracks.Track,
    clock: Clock,
    packets: list[av.Packet],
    choice: Choice,
    display: display_lib.Display,
) -> np.ndarray | None:
    """Decodes once in order, without the frames that no wanted one is made of.

    Returns:
      [n, ...]; None where time and number of a frame are not surely one, or where seeking is
      better.
    """
    shown = [p.pts for p in packets if tracks.is_shown(p)]
    times = sorted(time for time in set(shown) if time is not None)
    if track.stream.codec_context.name not in ONE_FRAME_A_PACKET or not times:
        return None
    if len(times) < len(shown):
        return None
    numbers, _ = clock.chosen(times, choice)
    first, last = min(numbers), max(numbers)
    if last - first >= SEEK_GAP * len(numbers):
        return None
    needed, kept = {times[i] for i in numbers}, {}
    keys = [
        i
        for i, p in enumerate(packets)
        if p.is_keyframe and p.pts is not None and p.pts <= times[first]
    ]
    begin = keys[-1] if keys and first else 0
    # The last one in the file is decoded whether needed or not: a cut would show there.
    whole = last == len(times) - 1
    wanted = needed | {shown[-1]} if whole else needed
    start = packets[begin].pts if begin else None
    for frame in display.watched(track.decode(packets[begin:], start=start, wanted=wanted)):
        if frame.interlaced_frame:  # then a packet may hold half of it
            return None
        if frame.pts in needed:
            kept[frame.pts] = choice.kept(display, frame)
        if len(kept) == len(needed) and not whole:
            break
    if len(kept) < len(needed):
        return None
    return _stack([kept[times[i]] for i in numbers], track.name)


def _pick(
    file: BinaryIO,
    clock: Clock,
    times: Sequence[int | None],
    choice: Choice,
    display: display_lib.Display,
    *,
    found: bool = False,
) -> np.ndarray:
    """Decodes once in order and keeps the chosen frames, [n, ...].

    Packets may outnumber frames (invisible reference frames, two fields per frame); then the frames
    found are the right ones and the clip is decoded again with their times.

    Args:
      file, clock: of the clip.
      times: of its frames, or of its packets.
      choice: of frames.
      display: how to show them.
      found: whether they are those of the frames.
    """
    numbers, _ = clock.chosen(times, choice)
    needed, kept, seen = set(numbers), {}, []
    enough = max(numbers) + 1 if found else len(times)
    for frame in display.watched(tracks.frames(file, clock.name, choice.kind)):
        if len(seen) in needed:
            kept[len(seen)] = choice.kept(display, frame)
        seen.append(frame.pts)
        if len(seen) == enough:
            break
    if len(seen) < enough:
        return _pick(file, clock, seen, choice, display, found=True)
    return _stack([kept[i] for i in numbers], clock.name)


def _seek(
    file: BinaryIO,
    clock: Clock,
    packets: Sequence[tracks.Packet],
    choice: Choice,
    display: display_lib.Display,
) -> np.ndarray | None:
    """Decodes from the keyframe before each wanted frame that lies far from the one before it.

    Returns [n, ...]; None where decoding in order is better, and where the container's times do not
    lead to the frames: missing, repeated, or of pictures never shown.
    """
    numbers, whole = clock.chosen([p.pts for p in packets], choice)
    if whole and max(numbers) < SEEK_GAP * len(numbers):
        return None
    times = sorted(p.pts for p in packets if p.pts is not None)
    keys = sorted(p.pts for p in packets if p.is_keyframe and p.pts is not None)
    if len(set(times)) < len(packets) or not keys or keys[0] > times[0]:
        return None
    kept = {}
    for run in _runs(sorted(set(numbers))):
        key = keys[bisect.bisect_right(keys, times[run[0]]) - 1]
        decoded = tracks.frames(file, clock.name, choice.kind, key)
        with contextlib.closing(decoded):
            frames = display.watched(decoded)
            for time in (times[i] for i in run):
                frame = next((f for f in frames if f.pts is not None and f.pts >= time), None)
                if frame is None or frame.pts != time:
                    return None
                kept[time] = choice.kept(display, frame)
    return _stack([kept[times[i]] for i in numbers], clock.name)


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Splits rising numbers of frames where the next one is sooner sought than decoded up to."""
    runs = []
    for number in numbers:
        if not runs or number - runs[-1][-1] > SEEK_GAP:
            runs.append([])
        runs[-1].append(number)
    return runs


def _stack(frames: list[np.ndarray], name: str) -> np.ndarray:
    require_one_size({f.shape for f in frames}, name)
    return np.stack(frames)


def require_one_size(shapes: Set[tuple[int, ...]], name: str) -> None:
    """Raises DataError where frames of a clip, [h, w, 3], are not of one size."""
    if len(shapes) > 1:
        found = ", ".join(f"{w}x{h}" for w, h in sorted(shape[1::-1] for shape in shapes))
        raise errors.DataError(name, f"changes its frame size ({found}); export it at one size")
