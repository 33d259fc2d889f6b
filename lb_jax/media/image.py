"""Still images: decoding with Pillow, and the transform that all picture modalities share.

The transform is resize, crop and normalisation.

Order and rounding rules: LanguageBind spec 5.1. Everything happens on a 0..255 float scale until
the final normalisation, which is linear and therefore commutes with resizing.
"""

import ctypes
import logging
import re
import struct
import warnings
import zlib
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import given, kernels, specs
from lb_jax.media.pictures import heic, icc, png, tiff

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


def _silence() -> None:
    """Keeps remarks on damaged files off stderr; Pillow raises what matters.

    A handler of null is libtiff's own way to say nothing. Without any handler Python writes what
    Pillow logs; programs that set up logging still get it.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    library = ctypes.CDLL(Image.core.__file__)  # names are looked up in what it links to as well
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if set_handler := getattr(library, name, None):  # builds of Pillow may lack libtiff
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)


_silence()

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

LARGEST = "lb_jax largest"  # in the info of a grey picture: the value of white
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# (name, antialias) -> kernel.
KERNELS = kernels.KERNELS


def decode(media: given.Media, spec: specs.PictureSpec) -> np.ndarray:
    """Decodes a still image to upright RGB.

    EXIF orientation is applied. Transparency is composited over white, as viewers and the usual web
    corpora show it. 16-bit grey is scaled over its full range (65535 -> 255). Palette, grey, CMYK
    and the other 8-bit modes become RGB.

    Args:
      media: path, bytes, PIL image or uint8 array [h, w, 3], which is in sRGB.
      spec: `colour`; specs without it take the numbers as they are stored.

    Returns:
      uint8 [h, w, 3].

    Raises:
      errors.DataError: undecodable, too large, or of another type, dtype or shape.
    """
    if isinstance(media, np.ndarray):
        if media.dtype != np.uint8 or media.ndim != 3 or media.shape[-1] != 3 or media.size == 0:
            raise given.unusable(media, ACCEPTED)
        return media
    is_managed = isinstance(spec, specs.ImageSpec) and spec.colour == "srgb"
    return rgb(open_picture(media, ACCEPTED), media, is_managed=is_managed)


def rgb(picture: Image.Image, media: given.Media, *, is_managed: bool = False) -> np.ndarray:
    """An opened picture as `decode` gives it, uint8 [h, w, 3].

    Args:
      picture: loaded and upright.
      media: it came from, for errors and warnings.
      is_managed: whether its colour profile is followed.

    Raises:
      errors.DataError: a mode without a known range.
    """
    try:
        return np.asarray(_to_rgb(picture, given.describe(media) if is_managed else None))
    except PILLOW_ERRORS as e:
        raise errors.DataError(
            given.describe(media),
            f"mode {picture.mode} has no RGB form ({e}); convert it to 8-bit RGB",
        ) from e


def transform(
    decoded: np.ndarray, spec: specs.PictureSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Resizes the short side, crops the centre and normalises.

    Args:
      decoded: uint8 [h, w, 3] as `decode` gives it.
      spec: size, kernel, antialias, mean and std.
      rng: unused; the reference trains on the centre crop too (spec 5.1).

    Returns:
      float32 [s, s, 3].

    Raises:
      errors.DataError: the picture is thinner than `MAX_ASPECT`.
    """
    del rng
    if spec.levels == "bytes":
        return _of_bytes(decoded, spec)
    channels = specs.shape(spec)[-1]
    kernel = KERNELS[spec.kernel, spec.antialias]
    return square(decoded, spec, kernel, white=255.0, channels=channels)


def _of_bytes(decoded: np.ndarray, spec: specs.PictureSpec) -> np.ndarray:
    """`transform` with Pillow's own resize of 8 bits: each pass is rounded (ImageBind spec 5.1).

    The passes have no plain form in floats: how Pillow rounds its weights is part of them.
    """
    height, width = decoded.shape[:2]
    sides = resized_sides(height, width, spec.size)
    top, left = centre(sides, spec.size)
    channels = specs.shape(spec)[-1]
    planes = decoded if channels == 3 else np.ascontiguousarray(decoded[..., 0])
    resized = np.asarray(Image.fromarray(planes).resize(sides[::-1], FILTERS[spec.kernel]))
    shown = resized[top : top + spec.size, left : left + spec.size]
    scale, shift = normaliser(spec, white=255.0)
    return shown.reshape(spec.size, spec.size, channels) * scale[:channels] + shift[:channels]


def open_picture(media: given.Media, accepted: str) -> Image.Image:
    """Loads a path, bytes or PIL image completely, and stands it upright by its EXIF orientation.

    Raises:
      errors.DataError: undecodable, truncated or larger than `MAX_PIXELS`.
    """
    if isinstance(media, Image.Image):
        return _load(media, media)
    with given.stream(media, accepted) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd metadata; what matters is raised
        if (grey := _grey_tiff(file, given.describe(media))) is not None:
            return grey
        formats = FORMATS
        if heic.is_heic(file):
            heic.require(given.describe(media))
            formats = (heic.FORMAT,)
        file.seek(0)
        try:
            readable, profile = png.bounded(file)
            picture = Image.open(readable, formats=formats)
            if profile:
                picture.info["icc_profile"] = profile
        except Image.DecompressionBombError as e:  # from twice as many pixels on
            pixels = int(re.search(r"\d+", str(e))[0])
            raise too_large(given.describe(media), f"{pixels / 1e6:.0f} million") from e
        except PILLOW_ERRORS as e:
            name = given.describe(media)
            raise errors.DataError(name, _unreadable(file, name)) from e
        return _load(picture, media)


def square(
    x: np.ndarray,
    spec: specs.PictureSpec | specs.VideoSpec,
    kernel: kernels.Kernel,
    *,
    white: float,
    place: tuple[float, float] | None = None,
    sides: tuple[int, int] | None = None,
    out: np.ndarray | None = None,
    channels: int = 3,
) -> np.ndarray:
    """Resizes the short side to `spec.size`, cuts a square out and normalises it.

    The long side becomes `int(size * long / short)` (spec 5.1). Resizing is separable and linear:
    two products with the kernel's weights, of only those rows and columns that the square shows.

    Args:
      x: uint8 or float32 [h, w, 3], or [h, w] for three equal channels.
      spec: size, mean and std.
      kernel: of the resize; bicubic values may overshoot, as in the reference.
      white: value of `x` that stands for 1.
      place: where the square lies, as shares in [0, 1) of the places there are down and right; None
        is the centre.
      sides: height and width of the resized picture, whatever its shape was; None is as above.
      out: float32 [s, s, c] to write to.
      channels: of what is returned; 1 takes the first.

    Returns:
      float32 [s, s, c]: (resized / white - mean) / std.

    Raises:
      errors.DataError: the long side is more than `MAX_ASPECT` times the short one.
    """
    height, width = x.shape[:2]
    size = spec.size
    sides = resized_sides(height, width, size) if sides is None else sides
    if place is None:
        top, left = centre(sides, spec.size)
    else:
        top, left = (int(p * (n - spec.size + 1)) for p, n in zip(place, sides, strict=True))
    down = kernels.bands(kernel, height, sides[0], top, spec.size)
    right = kernels.bands(kernel, width, sides[1], left, spec.size)
    rows, columns = (slice(bands[0].start, bands[-1].stop) for bands in (down, right))
    shown = x[rows, columns]
    planes = [shown] if x.ndim == 2 else [cv2.extractChannel(shown, c) for c in range(channels)]
    resized = [kernels.resize(p.astype(np.float32), down, right) for p in planes]
    scale, shift = normaliser(spec, white)
    out = np.empty((spec.size, spec.size, channels), np.float32) if out is None else out
    for c in range(channels):
        np.add(resized[c % len(resized)] * scale[c], shift[c], out=out[..., c])
    return out


def resize(
    x: np.ndarray, size: int, kernel: kernels.Kernel, sides: tuple[int, int] | None = None
) -> np.ndarray:
    """Resizes the short side to `size` as `square` does, and cuts nothing off.

    Args:
      x: uint8 or float32 [h, w, 3].
      size: of the short side; the long one becomes `int(size * long / short)`.
      kernel: of the resize.
      sides: height and width of what is returned; None is as above.

    Returns:
      float32 [h', w', 3], on the scale of `x`.

    Raises:
      errors.DataError: the long side is more than `MAX_ASPECT` times the short one.
    """
    height, width = x.shape[:2]
    sides = resized_sides(height, width, size) if sides is None else sides
    down, right = (
        kernels.bands(kernel, before, after, 0, after)
        for before, after in zip((height, width), sides, strict=True)
    )
    planes = [cv2.extractChannel(x, c).astype(np.float32) for c in range(3)]
    return np.stack([kernels.resize(plane, down, right) for plane in planes], axis=-1)


def normaliser(
    spec: specs.PictureSpec | specs.VideoSpec, white: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift per channel, float32 [3] each: (x / white - mean) / std is x * scale + shift.

    Args:
      spec: mean and std.
      white: value that stands for 1.
    """
    std = np.asarray(spec.std, np.float64)
    scale = (1 / (white * std)).astype(np.float32)
    return scale, (-np.asarray(spec.mean, np.float64) / std).astype(np.float32)


def resized_sides(height: int, width: int, size: int) -> tuple[int, int]:
    """Returns height and width after the short side became `size`.

    Raises:
      errors.DataError: the long side is more than `MAX_ASPECT` times the short one.
    """
    short, long = sorted((height, width))
    if long > MAX_ASPECT * short:
        reason = (
            f"is thinner than 1:{MAX_ASPECT}; its centre crop would hold almost nothing, "
            "crop it first"
        )
        raise errors.DataError(f"<picture {width}x{height}>", reason)
    long = int(size * long / short)
    return (long, size) if width <= height else (size, long)


def centre(sides: tuple[int, int], size: int) -> tuple[int, int]:
    """Returns (top, left) of the centre square of a picture of these sides.

    Halves round to even, as torchvision does (86.5 -> 86).
    """
    return round((sides[0] - size) / 2), round((sides[1] - size) / 2)


def _grey_tiff(file: BinaryIO, name: str) -> Image.Image | None:
    """A grey TIFF of 9 to 16 bits that Pillow would take for another; None for other files.

    Such as are white at zero are turned, and its `info` says what is the largest value of its bits.
    """
    about = tiff.layout(file, name)
    if about is None or about.samples != 1 or not 8 < about.bits <= 16 or about.largest is None:
        return None
    file.seek(0)
    is_known = file.read(4) != b"MM\0+"  # Pillow knows no big-endian BigTIFF
    if about.bits == 16 and not about.is_white_at_zero and is_known:
        return None
    if about.width * about.height > MAX_PIXELS:
        raise too_large(name, f"{about.width}x{about.height}")
    file.seek(0)
    values = tiff.upright(tiff.grey(file.read(), about, name), about)
    picture = Image.fromarray(np.ascontiguousarray(values))
    picture.info[LARGEST] = about.largest
    return picture


def _unreadable(file: BinaryIO, name: str) -> str:
    """Why Pillow does not know a file."""
    about = tiff.layout(file, name)
    if about is None:
        return "is not a readable image; expected jpg, png, webp, bmp, gif, tiff, avif or the like"
    if about.samples == 1 and about.bits > 16:
        return (
            f"is a TIFF of {about.bits}-bit values without a known range; it may be depth or "
            "thermal. As an image convert it to 8-bit RGB"
        )
    return (
        f"is a TIFF of {about.samples} channels of {about.bits} bits of a kind that is not read; "
        "write it again as PNG, or as TIFF that is little-endian and not compressed"
    )


def _load(picture: Image.Image, media: given.Media) -> Image.Image:
    name = given.describe(media)
    if picture.width * picture.height > MAX_PIXELS:
        raise too_large(name, f"{picture.width}x{picture.height}")
    try:
        picture.load()
    except PILLOW_ERRORS as e:
        raise errors.DataError(
            name, f"is damaged or cut off ({' '.join(str(e).split())}); download or export it again"
        ) from e
    turn = UPRIGHT.get(_orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def too_large(name: str, pixels: str) -> errors.DataError:
    """Returns the error for a picture of more than `MAX_PIXELS`, which are told as `pixels`."""
    return errors.DataError(
        name,
        f"is {pixels} pixels, more than {MAX_PIXELS / 1e6:.0f} megapixels; shrink it first",
    )


def _orientation(picture: Image.Image) -> object:
    """Returns the EXIF orientation, 1 for damaged metadata: the picture itself was read whole."""
    try:
        return picture.getexif().get(ORIENTATION_TAG, 1)
    except PILLOW_ERRORS:
        return 1


def _to_rgb(picture: Image.Image, managed: str | None) -> Image.Image:
    """Makes it RGB; `managed` is how errors call it where its colour profile is applied."""
    if picture.mode.startswith("I;16"):
        grey = np.asarray(picture).astype(np.float32) / (picture.info.get(LARGEST, 65535) / 255)
        eight = Image.fromarray(np.rint(grey).astype(np.uint8))
        eight.info = picture.info
        picture = eight
    if picture.mode in ("I", "F"):
        raise ValueError("32-bit values without a known range")
    if not picture.has_transparency_data:
        return (icc.to_srgb(picture, managed) if managed else picture).convert("RGB")
    rgba = picture.convert("RGBA")
    opaque = picture.convert("L") if picture.mode in ("L", "LA") else rgba.convert("RGB")
    white = Image.new("RGB", rgba.size, "white")
    shown = (icc.to_srgb(opaque, managed) if managed else opaque).convert("RGB")
    white.paste(shown, mask=rgba.getchannel("A"))
    return white
