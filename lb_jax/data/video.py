"""Clips: evenly spaced frames by PyAV, then their transform (LanguageBind spec 5.1 and 5.2).

The transform is resize, crop and normalisation.
"""

import bisect
import contextlib
import io
from collections.abc import Sequence
from typing import BinaryIO

import av
import av.error
import numpy as np

from lb_jax.core import errors
from lb_jax.data import image, specs
from lb_jax.data import media as media_lib

# One sequential pass beats seeking (about 50 ms a frame, with reopening) until the wanted frames
# lie this far apart.
SEEK_GAP = 250
# Up to this size the coded frames are kept in memory, and the file is read once.
HELD_BYTES = 64 << 20
# Codecs that hide no frames between those that are shown. About half the frames of usual clips lead
# to no other frame, and need not be decoded.
ONE_FRAME_A_PACKET = ("h264", "hevc", "mpeg4")
ACCEPTED = "a uint8 array [t, h, w, 3] or a list of still pictures"


def decode(media: media_lib.Media, spec: specs.VideoSpec) -> np.ndarray:
    """Decodes `spec.frames` frames spread evenly over the clip, upright, at their own size.

    Args:
      media: path or bytes of anything PyAV decodes; or frames, which are picked by the same rule:
        uint8 [t, h, w, 3], or a list or tuple of still pictures of one size.
      spec: number of frames.

    Returns:
      uint8 [t, h, w, 3]; frames repeat where the clip has fewer than asked for.

    Raises:
      errors.DataError: no video track, damaged, cut off, too large, changing size, or an array of
        another dtype or shape.
    """
    if isinstance(media, np.ndarray):
        if media.dtype != np.uint8 or media.ndim != 4 or media.shape[-1] != 3 or media.size == 0:
            raise media_lib.unusable(media, ACCEPTED)
        return media[frame_indices(len(media), spec.frames)]
    if isinstance(media, list | tuple):
        return _stills(media, spec.frames)
    name = media_lib.describe(media)
    with media_lib.stream(media, ACCEPTED) as file:
        if file.seek(0, io.SEEK_END) <= HELD_BYTES:
            with media_lib.open_track(file, name, "video") as track:
                held = list(track.packets())
                picked = _pick_times(track, held, spec.frames)
            if picked is not None:
                return picked
            packets = [p for p in held if media_lib.is_shown(p)]
        else:
            packets = media_lib.packets(file, name, "video")
        if len(packets) > SEEK_GAP * spec.frames:
            sought = _seek(file, name, packets, spec.frames)
            if sought is not None:
                return sought
        return _pick(file, name, len(packets), spec.frames)


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


def _stills(pictures: Sequence[media_lib.Picture], wanted: int) -> np.ndarray:
    """Decodes the evenly spaced ones of some pictures, uint8 [wanted, h, w, 3]."""
    if not pictures:
        raise media_lib.unusable(pictures, ACCEPTED)
    indices = frame_indices(len(pictures), wanted).tolist()
    decoded = {i: image.decode(pictures[i], specs.ImageSpec()) for i in set(indices)}
    return _stack([decoded[i] for i in indices], media_lib.describe(pictures))


def _pick_times(track: media_lib.Track, packets: list[av.Packet], wanted: int) -> np.ndarray | None:
    """Decodes once in order, without the frames that no wanted one is made of.

    Returns:
      uint8 [wanted, h, w, 3]; None where time and number of a frame are not surely one, or where
      seeking is better.
    """
    shown = [p.pts for p in packets if media_lib.is_shown(p)]
    times = sorted(time for time in set(shown) if time is not None)
    if (
        track.stream.codec_context.name not in ONE_FRAME_A_PACKET
        or not 0 < len(times) <= SEEK_GAP * wanted
        or len(times) < len(shown)
    ):
        return None
    picked = [times[i] for i in frame_indices(len(times), wanted)]
    needed, kept = set(picked), {}
    # The last one in the file is decoded whether needed or not: a cut would show there.
    for frame in track.decode(packets, wanted=needed | {shown[-1]}):
        if frame.interlaced_frame:  # then a packet may hold half of it
            return None
        if frame.pts in needed:
            kept[frame.pts] = _to_rgb(frame, track.name)
    if len(kept) < len(needed):
        return None
    return _stack([kept[time] for time in picked], track.name)


def _pick(file: BinaryIO, name: str, available: int, wanted: int) -> np.ndarray:
    """Decodes once in order and keeps the evenly spaced frames, uint8 [wanted, h, w, 3].

    Packets may outnumber frames (invisible reference frames, two fields per frame); then the frames
    found are the right count and the clip is decoded again with it.
    """
    if available == 0:
        raise errors.DataError(name, f"has a video track without frames; {media_lib.AGAIN}")
    indices = frame_indices(available, wanted)
    needed, kept, seen = set(indices.tolist()), {}, 0
    for frame in media_lib.frames(file, name, "video"):
        if seen in needed:
            kept[seen] = _to_rgb(frame, name)
        seen += 1
        if seen == available:
            break
    if seen < available:
        return _pick(file, name, seen, wanted)
    return _stack([kept[i] for i in indices.tolist()], name)


def _seek(
    file: BinaryIO, name: str, packets: list[media_lib.Packet], wanted: int
) -> np.ndarray | None:
    """Decodes from the keyframe before each wanted frame, uint8 [wanted, h, w, 3].

    Returns None where the container's times do not lead to the frames: missing, repeated, or of
    pictures never shown.
    """
    times = sorted(p.pts for p in packets if p.pts is not None)
    keys = sorted(p.pts for p in packets if p.is_keyframe and p.pts is not None)
    if len(set(times)) < len(packets) or not keys or keys[0] > times[0]:
        return None
    picked = []
    for time in (times[i] for i in frame_indices(len(times), wanted)):
        key = keys[bisect.bisect_right(keys, time) - 1]
        with contextlib.closing(media_lib.frames(file, name, "video", key)) as frames:
            frame = next((f for f in frames if f.pts is not None and f.pts >= time), None)
            if frame is None or frame.pts != time:
                return None
            picked.append(_to_rgb(frame, name))
    return _stack(picked, name)


def _stack(frames: list[np.ndarray], name: str) -> np.ndarray:
    sizes = {f.shape[1::-1] for f in frames}
    if len(sizes) > 1:
        found = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        raise errors.DataError(name, f"changes its frame size ({found}); export it at one size")
    return np.stack(frames)


def _to_rgb(frame: av.VideoFrame, name: str) -> np.ndarray:
    """Returns uint8 [h, w, 3], turned by the quarter turns of the display matrix."""
    if frame.width * frame.height > image.MAX_PIXELS:
        raise errors.DataError(
            name, f"has frames of {frame.width}x{frame.height} pixels; shrink it first"
        )
    try:
        rgb = frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, ValueError) as e:  # pixel formats without a conversion
        raise errors.DataError(
            name, f"has frames of format {frame.format.name} ({e}); convert it to yuv420p"
        ) from e
    turns = round(frame.rotation / 90) % 4  # counter-clockwise
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb
