"""Small pictures of media files of any modality, for pages."""

import base64
import dataclasses
import functools
import io
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from lb_jax.media import clips, preprocess, specs
from lb_jax.media.sensors import motion_picture

SIDE_PX = 112


def _colour(values: np.ndarray, palette: str) -> np.ndarray:
    """Float `[h, w]` from 0 to 1 as uint8 `[h, w, 3]`."""
    return matplotlib.colormaps[palette](values, bytes=True)[..., :3]


def _draw_depth(metres: np.ndarray) -> np.ndarray:
    """Near is bright, missing readings black; one scale for all pictures, so that they compare."""
    spec = specs.preset("depth")
    assert isinstance(spec, specs.DepthSpec)
    closeness = 1 - np.clip(metres / spec.max_depth_m, 0, 1)
    return np.where(metres[..., None] > 0, _colour(closeness, "viridis"), 0).astype(np.uint8)


def _draw_audio(log_mel: np.ndarray) -> np.ndarray:
    """Time to the right, pitch upwards; `[frames, mel]`."""
    low, high = np.percentile(log_mel, (5, 99.5))
    return _colour(np.clip((log_mel.T[::-1] - low) / max(high - low, 1e-6), 0, 1), "magma")


# modality -> the uint8 [h, w, 3] picture of what decoding gives
_DRAWN = {
    "image": lambda pixels: pixels,
    "thermal": lambda pixels: pixels,
    "depth": _draw_depth,
    "video": lambda frames: frames[len(frames) // 2],
    "audio": _draw_audio,
    "imu": motion_picture.draw,
}
WHOLE = ("audio", "imu")  # squeezed into the square: what lies at their edges counts


def draw(modality: str, clip: clips.Clip) -> np.ndarray:
    """Draws a stretch of a file as a thumbnail.

    Pictures as they are, the middle frame of a clip, depth in colours, sound as its spectrogram,
    motion as curves.

    Returns:
      uint8 `[SIDE_PX, SIDE_PX, 3]`, the centre square; a spectrogram and curves are squeezed into
      the square instead.

    Raises:
      DataError: the file cannot be decoded.
    """
    return _square(modality, clips.decode(modality, clip, _spec(modality)))


def _spec(modality: str) -> specs.Spec:
    """What is drawn is all of an item, of motion also what is shorter than a window."""
    spec = specs.preset(modality)
    return dataclasses.replace(spec, short="hold") if isinstance(spec, specs.ImuSpec) else spec


def _square(modality: str, decoded: np.ndarray) -> np.ndarray:
    whole = Image.fromarray(np.ascontiguousarray(_DRAWN[modality](decoded)))
    side = min(whole.size)
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    box = None if modality in WHOLE else (left, top, left + side, top + side)
    return np.asarray(whole.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, box=box))


@functools.lru_cache(maxsize=1024)
def data_uri(modality: str, clip: clips.Clip) -> str:
    """Returns `draw` as a JPEG in a `data:` address."""
    return _uri(draw(modality, clip))


def data_uri_of(modality: str, media: Any) -> str:
    """As `data_uri`, of media that are no single file: content, or the stills of a clip.

    Raises:
      DataError: they cannot be decoded.
    """
    return _uri(_square(modality, preprocess.decode(modality, media, _spec(modality))))


def strip_uri(film: clips.Clip, frames: int) -> str:
    """Frames of a clip from its first to its last, side by side, as `data_uri`."""
    decoded = clips.decode("video", film, specs.VideoSpec(frames=frames))
    return _uri(np.concatenate([_square("image", one) for one in decoded], axis=1))


def _uri(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
