"""One opening of a film for all stages that look at it.

What its container says is read first; pictures are decoded once, in one pass, when the first stage
asks for any, and all that any stage wants of them is kept. Sound is decoded once too. A file of
sound alone is a film without pictures.
"""

import contextlib
import fractions
import functools
import io
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from av.video.stream import VideoStream

from lb_jax.builder.stage import Facts, Wants
from lb_jax.core import errors
from lb_jax.media import clock as clock_lib
from lb_jax.media import display as display_lib
from lb_jax.media import given, samples, specs, tracks, video

MOST_FRAMES = 100_000  # whose small pictures are held; an hour at 25 a second
ACCEPTED = "nothing else"


class Film:
    """A film that is being looked at; use as a context manager.

    Args:
      media: content or path of a file.
      name: of it, for errors.
      wants: what all stages together want to see.
    """

    def __init__(self, media: given.Media, name: str, wants: Wants):
        self._media, self._name, self._wants = media, name, wants
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    @functools.cached_property
    def has_pictures(self) -> bool:
        """Whether there is a track of pictures; a file without one has sound alone.

        Raises:
          DataError: it cannot be read.
        """
        try:
            return self._track.stream is not None
        except errors.MissingError:
            return False

    @functools.cached_property
    def facts(self) -> Facts:
        """What the container says; see `stage.Film`."""
        if not self.has_pictures:
            wave, rate_hz = self._heard
            return Facts(len(wave) / rate_hz, 0, 0, 0, 0.0, has_sound=True)
        stream = self._track.stream
        assert isinstance(stream, VideoStream)  # `open_track` was asked for one
        times, size = self._times, (stream.width, stream.height)
        seconds = self._clock.seconds(times)
        length = self._clock.length_s(seconds)
        rate = len(seconds) / length if length > 0 else float(self._clock.rate or 0)
        wide, high = self._shown(size)
        has_sound = bool(tracks.tracks_of(self._track.container, "audio"))
        return Facts(float(length), wide, high, len(seconds), float(rate), has_sound)

    def pictures(self, count: int) -> np.ndarray:
        """Evenly spread frames, uint8 [count, h, w, 3]; see `stage.Film`."""
        self._require_pictures()
        if count not in self._wants.pictures:
            raise ValueError(f"{count} pictures were not asked for before: {self._wants}")
        kept, _ = self._decoded
        total = len(self._times)
        return np.stack([kept[int(i)] for i in video.frame_indices(total, count)])

    def clip(self, spec: specs.VideoSpec) -> np.ndarray:
        """The frames that a spec chooses, uint8 [t, h, w, 3]; see `stage.Film`."""
        self._require_pictures()
        if spec not in self._wants.clips:
            raise ValueError(f"{spec} was not asked for before: {self._wants}")
        kept, _ = self._decoded
        return np.stack([kept[number] for number in self._numbers(spec)])

    def every(self) -> np.ndarray:
        """All frames, small: uint8 [frames, h, w, 3]; see `stage.Film`."""
        self._require_pictures()
        return self._decoded[1]

    def sound(self) -> tuple[np.ndarray, int] | None:
        """All of the sound, mono; see `stage.Film`."""
        return self._sound

    @functools.cached_property
    def _sound(self) -> tuple[np.ndarray, int] | None:
        return self._heard if self.facts.has_sound else None

    @functools.cached_property
    def _heard(self) -> tuple[np.ndarray, int]:
        return samples.read(self._media, specs.AudioSpec(sample_rate_hz=None))

    def _require_pictures(self) -> None:
        if not self.has_pictures:
            raise errors.MissingError(self._name, "has sound alone, no pictures")

    @functools.cached_property
    def _track(self) -> tracks.Track:
        file = self._stack.enter_context(given.stream(self._media, ACCEPTED))
        self._is_small = file.seek(0, io.SEEK_END) <= video.HELD_BYTES
        return self._stack.enter_context(tracks.open_track(file, self._name, "video"))

    @functools.cached_property
    def _packets(self) -> list[Any]:
        """Of all coded frames, with their bytes where the file is small."""
        track = self._track
        if self._is_small:
            return list(track.packets())
        return [tracks.plain(p) for p in track.packets() if tracks.is_shown(p)]

    @functools.cached_property
    def _times(self) -> list[int | None]:
        """When each frame is shown, in the order of the file."""
        shown = [p for p in self._packets if not self._is_small or tracks.is_shown(p)]
        self._clock.require_frames([p.pts for p in shown])
        if len(shown) > MOST_FRAMES:
            raise errors.DataError(
                self._name,
                f"has {len(shown):,} frames, more than {MOST_FRAMES:,}; cut it into shorter films "
                "or let a stage before refuse it by its duration",
            )
        self._clock = self._clock.until([tracks.plain(p) for p in shown])
        return [p.pts for p in shown]

    @functools.cached_property
    def _clock(self) -> clock_lib.Clock:
        return clock_lib.Clock.of(self._track)

    @functools.cached_property
    def _decoded(self) -> tuple[dict[int, np.ndarray], np.ndarray]:
        """Frames that are wanted by number, and all of them small."""
        total, wanted = len(self._times), self._wants
        numbers = {int(i) for count in wanted.pictures for i in video.frame_indices(total, count)}
        numbers |= {number for spec in wanted.clips for number in self._numbers(spec)}
        kept: dict[int, np.ndarray] = {}
        small: list[np.ndarray] = []
        display = display_lib.Display.of(self._track, "square", "srgb")
        last, seen = None, 0
        for number, frame in enumerate(display.watched(self._frames())):
            seen = number + 1
            if number not in numbers and not wanted.every_px and number != total - 1:
                continue
            last = display.show(frame)
            if number in numbers:
                kept[number] = last
            if wanted.every_px:
                small.append(shrunk(last, wanted.every_px))
        if last is None:
            raise errors.DataError(self._name, f"has no frame that decodes; {given.AGAIN}")
        # Packets may outnumber frames (two fields a frame, frames that are never shown).
        kept |= {number: last for number in numbers if number >= seen}
        video.require_one_size({one.shape for one in kept.values()}, self._name)
        video.require_one_size({one.shape for one in small}, self._name)
        return kept, np.stack(small) if small else np.zeros((0, 0, 0, 3), np.uint8)

    def _numbers(self, spec: specs.VideoSpec) -> list[int]:
        """Numbers of the frames that a spec chooses, by when they are shown."""
        times = self._times  # first: it makes the clock complete
        numbers, _ = self._clock.chosen(times, video.choice(spec))
        return [int(number) for number in numbers]

    def _frames(self) -> Iterator:
        track = self._track
        if self._is_small:
            return track.decode(self._packets)
        track.container.seek(0)
        return track.decode(track.packets())

    def _shown(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height in square pixels, before any turn."""
        display = display_lib.Display.of(self._track, "square", "srgb")
        aspect = fractions.Fraction(display.pixel_aspect).limit_denominator(10_000)
        wide, high = size
        return (round(wide * aspect), high) if aspect > 1 else (wide, round(high / aspect))


def shrunk(picture: np.ndarray, short_px: int) -> np.ndarray:
    """A picture whose short side is at most so many pixels: uint8 [h, w, 3] -> [h', w', 3]."""
    high, wide = picture.shape[:2]
    if min(high, wide) <= short_px:
        return picture
    scale = short_px / min(high, wide)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
