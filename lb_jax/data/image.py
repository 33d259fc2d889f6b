"""Still images: decoding with Pillow, and the transform that all picture modalities share.

The transform is resize, crop and normalisation.

Order and rounding rules: LanguageBind spec 5.1. Everything happens on a 0..255 float scale until
the final normalisation, which is linear and therefore commutes with resizing.
"""

import struct
import warnings
import zlib

import cv2
import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.data import media as media_lib
from lb_jax.data import specs

ACCEPTED = "a PIL image or a uint8 array [h, w, 3]"

# Every further copy costs up to 4 bytes a pixel; this keeps one image below 1 GB.
MAX_PIXELS = 89_478_485
# A thinner strip keeps almost nothing of the picture in its centre crop, and would be resized to
# gigabytes first.
MAX_ASPECT = 32

# What Pillow's format plugins raise on damaged files, collected by fuzzing.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    OverflowError,
    ZeroDivisionError,
    AttributeError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# Formats of pictures from cameras and the web; among Pillow's others are such that start an
# interpreter (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF", "AVIF", "JPEG2000")
Image.init()  # registers them all; Image.open(formats=...) only knows registered ones

# EXIF tag 0x0112: how the stored picture is turned to stand upright.
ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# (name, antialias) -> resize of one float32 array to (width, height). Pillow widens the kernel when
# shrinking and, per channel in float mode, equals the antialiased interpolation of torch; OpenCV's
# fixed taps equal torch without antialiasing (cubic a = -0.75).
_PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_OPENCV = {"bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR}


def decode(media: media_lib.Media, spec: specs.ImageSpec) -> np.ndarray:
    """Decodes a still image to upright RGB.

    EXIF orientation is applied. Transparency is composited over white, as viewers and the usual web
    corpora show it. 16-bit grey is scaled over its full range (65535 -> 255). Palette, grey, CMYK
    and the other 8-bit modes become RGB.

    Args:
      media: path, bytes, PIL image or uint8 array [h, w, 3].
      spec: unused; decoding is the same for every spec.

    Returns:
      uint8 [h, w, 3].

    Raises:
      errors.DataError: undecodable, too large, or of another type, dtype or shape.
    """
    del spec
    if isinstance(media, np.ndarray):
        if media.dtype != np.uint8 or media.ndim != 3 or media.shape[-1] != 3 or media.size == 0:
            raise media_lib.unusable(media, ACCEPTED)
        return media
    picture = open_picture(media, ACCEPTED)
    try:
        return np.asarray(_to_rgb(picture))
    except PILLOW_ERRORS as e:
        raise errors.DataError(
            media_lib.describe(media),
            f"mode {picture.mode} has no RGB form ({e}); convert it to 8-bit RGB",
        ) from e


def transform(
    decoded: np.ndarray, spec: specs.ImageSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Resizes the short side (bicubic), crops the centre and normalises.

    Args:
      decoded: uint8 [h, w, 3] as `decode` gives it.
      spec: size, antialias, mean and std.
      rng: unused; the reference trains on the centre crop too (spec 5.1).

    Returns:
      float32 [s, s, 3].

    Raises:
      errors.DataError: the picture is thinner than `MAX_ASPECT`.
    """
    del rng
    resized = resize_short(
        decoded.astype(np.float32), spec.size, "bicubic", antialias=spec.antialias
    )
    return normalise(crop(resized, spec.size, *centre(resized, spec.size)), spec, white=255.0)


def open_picture(media: media_lib.Media, accepted: str) -> Image.Image:
    """Loads a path, bytes or PIL image completely, and stands it upright by its EXIF orientation.

    Raises:
      errors.DataError: undecodable, truncated or larger than `MAX_PIXELS`.
    """
    if isinstance(media, Image.Image):
        return _load(media, media)
    with media_lib.stream(media, accepted) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd metadata; what matters is raised
        try:
            picture = Image.open(file, formats=FORMATS)
        except PILLOW_ERRORS as e:
            reason = (
                "is not a readable image; expected jpg, png, webp, bmp, gif, tiff, avif or the like"
            )
            raise errors.DataError(media_lib.describe(media), reason) from e
        return _load(picture, media)


def resize_short(x: np.ndarray, size: int, kernel: str, *, antialias: bool) -> np.ndarray:
    """Resizes so that the short side becomes `size` and the long side `int(size * long / short)`.

    Args:
      x: float32 [h, w] or [h, w, 3].
      size: pixels of the short side.
      kernel: "bicubic" or "bilinear".
      antialias: whether the kernel widens when shrinking.

    Returns:
      float32 [h', w'] or [h', w', 3]; bicubic values may overshoot, as in the reference.

    Raises:
      errors.DataError: the long side is more than `MAX_ASPECT` times the short one.
    """
    height, width = x.shape[:2]
    short, long = sorted((height, width))
    if long > MAX_ASPECT * short:
        reason = (
            f"is thinner than 1:{MAX_ASPECT}; its centre crop would hold almost nothing, "
            "crop it first"
        )
        raise errors.DataError(f"<picture {width}x{height}>", reason)
    long = int(size * long / short)
    target = (size, long) if width <= height else (long, size)  # (width, height)
    if not antialias:
        return cv2.resize(x, target, interpolation=_OPENCV[kernel])
    planes = [x] if x.ndim == 2 else np.moveaxis(x, -1, 0)
    resized = [
        np.asarray(Image.fromarray(np.ascontiguousarray(p)).resize(target, _PILLOW[kernel]))
        for p in planes
    ]
    return resized[0] if x.ndim == 2 else np.stack(resized, axis=-1)


def centre(x: np.ndarray, size: int) -> tuple[int, int]:
    """Returns (top, left) of the centre crop of [h, w, ...].

    Halves round to even, as torchvision does (86.5 -> 86).
    """
    return round((x.shape[0] - size) / 2), round((x.shape[1] - size) / 2)


def crop(x: np.ndarray, size: int, top: int, left: int) -> np.ndarray:
    """Returns the `[size, size, ...]` square of [h, w, ...] at (top, left)."""
    return x[top : top + size, left : left + size]


def normalise(
    x: np.ndarray, spec: specs.ImageSpec | specs.VideoSpec, *, white: float
) -> np.ndarray:
    """Maps 0..white per channel to (value / white - mean) / std, float32 [..., 3] -> same."""
    std = np.asarray(spec.std, np.float64)
    scale, shift = 1 / (white * std), -np.asarray(spec.mean, np.float64) / std
    return x * scale.astype(np.float32) + shift.astype(np.float32)


def _load(picture: Image.Image, media: media_lib.Media) -> Image.Image:
    name = media_lib.describe(media)
    if picture.width * picture.height > MAX_PIXELS:
        found = f"is {picture.width}x{picture.height} pixels"
        raise errors.DataError(
            name, f"{found}, more than {MAX_PIXELS / 1e6:.0f} megapixels; shrink it first"
        )
    try:
        picture.load()
    except PILLOW_ERRORS as e:
        raise errors.DataError(
            name, f"is damaged or cut off ({e}); download or export it again"
        ) from e
    turn = UPRIGHT.get(_orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def _orientation(picture: Image.Image) -> object:
    """Returns the EXIF orientation, 1 for damaged metadata: the picture itself was read whole."""
    try:
        return picture.getexif().get(ORIENTATION_TAG, 1)
    except PILLOW_ERRORS:
        return 1


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        grey = np.asarray(picture).astype(np.float32) / 257
        return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        raise ValueError("32-bit values without a known range")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    rgba = picture.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white
