"""Which frames of a file: the choice of them, and the clock that tells when each is shown."""

import bisect
import dataclasses
import fractions
import math
from collections.abc import Callable, Sequence

import av
import numpy as np

from lb_jax.core import errors
from lb_jax.media import chunks, given, tracks, views
from lb_jax.media import display as display_lib


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
      fps: frames per second of a grid over the window; `pick` chooses among what it shows. None
        chooses among the frames of the file.
      read: frame and its display -> an array instead of what players show.
      by_time: the frames of the window and when they are shown -> numbers, in place of `pick`.
    """

    pick: Callable[[int], np.ndarray]
    start_s: float = 0.0
    end_s: float | None = None
    keep: Callable[[np.ndarray], np.ndarray] | None = None
    standing: bool = False
    pixel_aspect: str = "square"
    colour: str = "srgb"
    kind: str = "video"
    fps: float | None = None
    read: Callable[[av.VideoFrame, display_lib.Display], np.ndarray] | None = None
    by_time: Callable[[views.Shown], np.ndarray] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the window is all of the file."""
        return (self.start_s, self.end_s) == (0.0, None)

    @property
    def needs_times(self) -> bool:
        """Whether it goes by when frames are shown, not by their number alone."""
        return self.fps is not None or self.by_time is not None

    def kept(self, display: display_lib.Display, frame: av.VideoFrame) -> np.ndarray:
        """What is kept of a decoded frame."""
        shown = display.show(frame) if self.read is None else self.read(frame, display)
        return shown if self.keep is None else self.keep(shown)


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
        if not choice.is_whole or choice.standing or choice.needs_times:
            seconds = self.seconds(times)
            first, last = self.within(seconds, choice.start_s, choice.end_s, choice.standing)
            if first >= last:
                asked = given.window(choice.start_s, choice.end_s)
                raise errors.DataError(
                    self.name,
                    f"has no frame {asked}, the last one is shown at {seconds[-1]:.3f} s; correct "
                    "the window or leave the clip out",
                )
            window = choice.start_s, choice.end_s
            numbers = self.numbers(seconds, (first, last), window, choice)
        else:
            numbers = choice.pick(last).tolist()
        return numbers, (first, last) == (0, len(times))

    def numbers(
        self,
        seconds: Sequence[float],
        inside: tuple[int, int],
        window: tuple[float, float | None],
        choice: Choice,
    ) -> list[int]:
        """Numbers of the chosen ones of the frames of a window.

        Args:
          seconds: times of all frames.
          inside: number of the first frame of the window and of the first behind it.
          window: where it begins and ends, in seconds.
          choice: of frames, its own window left out.
        """
        first, last = inside
        if not choice.needs_times:
            return (first + choice.pick(last - first)).tolist()
        shown = seconds[first:last]
        begins_s = max(window[0], shown[0])
        ends_s = min(self.length_s(seconds), math.inf if window[1] is None else window[1])
        if choice.by_time is not None:
            taken = choice.by_time(views.Shown(shown, begins_s, ends_s, self.rate))
            return (first + taken).tolist()
        assert choice.fps is not None  # it needs times
        grid = first + chunks.on_grid(shown, begins_s, ends_s, choice.fps)
        return grid[choice.pick(len(grid))].tolist()

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
