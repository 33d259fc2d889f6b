"""Clips: evenly spaced frames by PyAV, then their transform (LanguageBind spec 5.1 and 5.2).

The transform is resize, crop and normalisation.
"""

import bisect
import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable, Sequence, Set
from typing import BinaryIO

import av
import numpy as np

from lb_jax.core import errors
from lb_jax.media import augmentation, chunks, given, image, specs, stills, tracks, views
from lb_jax.media import clock as clock_lib
from lb_jax.media import display as display_lib

# One sequential pass beats seeking (about 50 ms a frame, with reopening) until the wanted frames
# lie this far apart.
SEEK_GAP = 250
# Up to this size the coded frames are kept in memory, and the file is read once.
HELD_BYTES = 64 << 20
# Codecs that hide no frames between those that are shown. About half the frames of usual clips lead
# to no other frame, and need not be decoded.
ONE_FRAME_A_PACKET = ("h264", "hevc", "mpeg4")
# Of VALOR's training crop: the least share of the picture's area, and how many shares are drawn.
SHARE, TRIES = 0.8, 10
ACCEPTED = "a uint8 array [t, h, w, 3] or a list of still pictures"


def decode(
    media: given.Media,
    spec: specs.VideoSpec,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Decodes `spec.frames` frames of the clip, upright, at the size they show at.

    Args:
      media: path or bytes of anything PyAV decodes; or frames, which are picked by the same rule:
        uint8 [t, h, w, 3], a list or tuple of still pictures of one size, or a folder of such, in
        the order of their names.
      spec: number and choice of frames, fps, pixel_aspect and colour; frames given as an array have
        square pixels of sRGB.
      start_s: the frames that begin then or later, and before `end_s`, are the clip, or the one
        that stands there if none does. In seconds from where the file begins to be shown, its sound
        included. Frames given as such have no times.
      end_s: None is the end of the file.
      rng: draws the frames in training, where `specs.draws_frames` says so; None takes fixed ones.

    Returns:
      uint8 [t, h, w, 3]; frames repeat where the clip has fewer than asked for. With `clip_s`, the
      frames of all windows.

    Raises:
      errors.DataError: no video track, damaged, cut off, too large, changing size, no frame between
        the two times, or an array of another dtype or shape.
    """
    chosen = dataclasses.replace(choice(spec, rng), start_s=start_s, end_s=end_s)
    media = stills.of_folder(media)
    if isinstance(media, np.ndarray | list | tuple) and (start_s, end_s) != (0.0, None):
        raise errors.DataError(
            given.describe(media),
            f"has no times, so nothing {given.window(start_s, end_s)}; give its frames alone",
        )
    if isinstance(media, np.ndarray):
        if media.dtype != np.uint8 or media.ndim != 4 or media.shape[-1] != 3 or media.size == 0:
            raise given.unusable(media, ACCEPTED)
        return media[chosen.pick(len(media))]
    if isinstance(media, list | tuple):
        return _stills(media, spec, chosen.pick)
    try:
        return choose(media, chosen)
    except tracks.StillPicture:
        if spec.choice != "chunks" or not chosen.is_whole:
            raise
        return _stills([media], spec, chosen.pick)


def choice(spec: specs.VideoSpec, rng: np.random.Generator | None = None) -> clock_lib.Choice:
    """The choice of frames of a whole file that a spec asks for; see `decode` for `rng`."""
    by_time = None
    if spec.clip_s is not None:
        pick, by_time = functools.partial(views.of_frames, spec=spec), views.picker(spec, rng)
    elif spec.choice == "spread":
        pick = functools.partial(frame_indices, wanted=spec.frames)
    elif spec.choice == "run":
        draw = None if rng is None else float(rng.random())
        pick = functools.partial(chunks.run, wanted=spec.frames, draw=draw)
    else:
        draws = None if rng is None else rng.random(spec.frames)
        pick = functools.partial(chunks.choose, wanted=spec.frames, draws=draws)
    return clock_lib.Choice(
        pick,
        standing=spec.choice == "run" and spec.fps is not None,  # the grid begins with the window
        pixel_aspect=spec.pixel_aspect,
        colour=spec.colour,
        fps=spec.fps,
        by_time=by_time,
    )


def choose(media: given.Media, choice: clock_lib.Choice) -> np.ndarray:
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
            clock = clock_lib.Clock.of(track)
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
      spec: size, antialias, mean, std, shape, train_crop, train_flip and augmentation.
      rng: draws crop and flip in training, always three draws, those of `drawn_square` and of
        `augmentation.draw`; None crops the centre and changes nothing.

    Returns:
      float32 [t, s, s, 3]; with `clip_s` what `views.transform` gives, by its draws.
    """
    if spec.clip_s is not None:
        return views.transform(decoded, spec, rng)
    flip, place, drawn, plain = False, None, None, spec
    if rng is not None:
        down, right, mirror = rng.random(3)
        flip = mirror < spec.train_flip
        place = (down, right) if spec.train_crop == "random" else None
        if spec.train_crop == "resized":
            decoded = decoded[:, *drawn_square(decoded.shape[1:3], rng.random(TRIES), down, right)]
        if spec.augmentation in augmentation.AUGMENTATIONS:
            settings = augmentation.AUGMENTATIONS[spec.augmentation]
            _, height, width, _ = decoded.shape
            drawn = augmentation.draw(settings, height, width, spec.size, rng)
    sides = None if drawn is None else drawn.sides
    if drawn is not None and drawn.colour is not None:  # of values from 0 to 1
        plain = dataclasses.replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    clip = np.empty((len(decoded), spec.size, spec.size, 3), np.float32)
    for frame, out in zip(decoded, clip, strict=True):
        square(frame, plain, place, out, sides)
    if drawn is not None and drawn.colour is not None:
        clip = augmentation.recolour(clip, drawn.colour)
        scale, shift = image.normaliser(spec, white=1.0)
        clip = clip * scale + shift
    return np.ascontiguousarray(clip[:, :, ::-1]) if flip else clip  # [t, s, s, 3]


def square(
    frame: np.ndarray,
    spec: specs.VideoSpec,
    place: tuple[float, float] | None = None,
    out: np.ndarray | None = None,
    sides: tuple[int, int] | None = None,
) -> np.ndarray:
    """One frame, uint8 [h, w, 3], as its encoder takes it, float32 [s, s, 3] (`image.square`)."""
    return image.square(
        frame,
        spec,
        image.KERNELS["bilinear", spec.antialias],
        white=255.0,
        place=place,
        sides=(spec.size, spec.size) if spec.shape == "stretch" else sides,
        out=out,
    )


def drawn_square(
    sides: tuple[int, ...], draws: np.ndarray, down: float, right: float
) -> tuple[slice, slice]:
    """The square of a training crop: a drawn share of the picture's area (VALOR spec 2.1).

    Of the drawn shares the first counts whose square fits. None does where the picture is longer
    than 5:4, as most films are; then it is the largest square, in the centre.

    Args:
      sides: height and width of the picture.
      draws: float in [0, 1), which stand for shares from `SHARE` to 1.
      down, right: float in [0, 1), where the square lies.

    Returns:
      Rows and columns.
    """
    height, width = sides
    shares = SHARE + (1 - SHARE) * np.asarray(draws)
    fitting = [side for side in np.rint(np.sqrt(height * width * shares)) if side <= min(sides)]
    if fitting:
        side = int(fitting[0])
        top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
    else:
        side = min(sides)
        top, left = (height - side) // 2, (width - side) // 2
    return slice(top, top + side), slice(left, left + side)


def frame_indices(available: int, wanted: int) -> np.ndarray:
    """Returns `wanted` frame numbers over all of `available`, int64 [wanted] (spec 5.2).

    They run from the first to the last.
    """
    return np.linspace(0, available - 1, wanted).astype(np.int64)


def _stills(
    pictures: Sequence[given.Picture], spec: specs.VideoSpec, pick: Callable[[int], np.ndarray]
) -> np.ndarray:
    """Decodes the chosen ones of some pictures, uint8 [spec.frames, h, w, 3]."""
    if not pictures:
        raise given.unusable(pictures, ACCEPTED)
    indices = pick(len(pictures)).tolist()
    still = specs.ImageSpec(colour=spec.colour)
    decoded = {i: image.decode(pictures[i], still) for i in set(indices)}
    return _stack(decoded, indices, given.describe(pictures))


def _pick_times(
    track: tracks.Track,
    clock: clock_lib.Clock,
    packets: list[av.Packet],
    choice: clock_lib.Choice,
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
    return _stack(kept, [times[i] for i in numbers], track.name)


def _pick(
    file: BinaryIO,
    clock: clock_lib.Clock,
    times: Sequence[int | None],
    choice: clock_lib.Choice,
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
    return _stack(kept, numbers, clock.name)


def _seek(
    file: BinaryIO,
    clock: clock_lib.Clock,
    packets: Sequence[tracks.Packet],
    choice: clock_lib.Choice,
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
    return _stack(kept, [times[i] for i in numbers], clock.name)


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Splits rising numbers of frames where the next one is sooner sought than decoded up to."""
    runs = []
    for number in numbers:
        if not runs or number - runs[-1][-1] > SEEK_GAP:
            runs.append([])
        runs[-1].append(number)
    return runs


def _stack(kept: dict[int, np.ndarray], wanted: Sequence[int], name: str) -> np.ndarray:
    """Frames as one array, [n, ...]; each kept one is let go with its last place."""
    require_one_size({kept[one].shape for one in wanted}, name)
    first = kept[wanted[0]]
    stacked = np.empty((len(wanted), *first.shape), first.dtype)
    last = {one: place for place, one in enumerate(wanted)}
    del first
    for place, one in enumerate(wanted):
        stacked[place] = kept.pop(one) if last[one] == place else kept[one]
    return stacked


def require_one_size(shapes: Set[tuple[int, ...]], name: str) -> None:
    """Raises DataError where frames of a clip, [h, w, 3], are not of one size."""
    if len(shapes) > 1:
        found = ", ".join(f"{w}x{h}" for w, h in sorted(shape[1::-1] for shape in shapes))
        raise errors.DataError(name, f"changes its frame size ({found}); export it at one size")
