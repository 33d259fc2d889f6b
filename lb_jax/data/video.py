"""Clips: evenly spaced frames by PyAV, then their transform (LanguageBind spec 5.1 and 5.2).

The transform is resize, crop and normalisation.
"""

import bisect
import contextlib
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
ACCEPTED = "or a uint8 array [t, h, w, 3]"


def decode(media: media_lib.Media, spec: specs.VideoSpec) -> np.ndarray:
    """Decodes `spec.frames` frames spread evenly over the clip, upright, at their own size.

    Args:
      media: path or bytes of anything PyAV decodes, or uint8 [t, h, w, 3], whose frames are picked
        by the same rule.
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
    name = media_lib.describe(media)
    with media_lib.stream(media, ACCEPTED) as file:
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
    frames = [
        image.resize_short(f.astype(np.float32), spec.size, "bilinear", antialias=spec.antialias)
        for f in decoded
    ]
    top, left = image.centre(frames[0], spec.size)
    flip = False
    if rng is not None:
        down, right, mirror = rng.random(3)
        flip = mirror < spec.train_flip
        if spec.train_crop == "random":
            top = int(down * (frames[0].shape[0] - spec.size + 1))
            left = int(right * (frames[0].shape[1] - spec.size + 1))
    clip = np.stack([image.crop(f, spec.size, top, left) for f in frames])  # [t, s, s, 3]
    return image.normalise(clip[:, :, ::-1] if flip else clip, spec, white=255.0)


def frame_indices(available: int, wanted: int) -> np.ndarray:
    """Returns `wanted` frame numbers over all of `available`, int64 [wanted] (spec 5.2).

    They run from the first to the last.
    """
    return np.linspace(0, available - 1, wanted).astype(np.int64)


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
    times = sorted(p.time for p in packets if p.time is not None)
    keys = sorted(p.time for p in packets if p.is_keyframe and p.time is not None)
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
