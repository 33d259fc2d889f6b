"""Depth maps to normalised pictures (LanguageBind spec 5.4).

Files are 16-bit, single-channel, in millimetres.
"""

import dataclasses
import io
import struct
import tokenize
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.data import depth_film, depth_units, image, specs
from lb_jax.data import media as media_lib

ACCEPTED = (
    "a 16-bit grey PIL image, a uint16 array [h, w] in stored units or a float "
    "array [h, w] in metres"
)
NPY_MAGIC = b"\x93NUMPY"
# What numpy.load raises on damaged headers, which it reads as Python literals.
NPY_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    EOFError,
    SyntaxError,
    LookupError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
    tokenize.TokenError,
)
EXPECTED = "expected one 16-bit channel, millimetres unless the spec's unit_m says otherwise"


def decode(media: media_lib.Media, spec: specs.DepthSpec) -> np.ndarray:
    """Reads a depth map.

    Args:
      media: path or bytes of a 16-bit single-channel picture or of an array saved by NumPy (`npy`),
        such a PIL image or array: uint16 [h, w] in stored units, float [h, w] in metres.
      spec: `unit_m` scales stored units, `min_depth_m` and `max_depth_m` are the range that must
        not be missed entirely.

    Returns:
      float32 [h, w] in metres; 0 where the sensor had no reading.

    Raises:
      errors.DataError: undecodable, not 16-bit single-channel, not finite, or no reading inside the
        range (wrong unit).
    """
    if isinstance(media, depth_units.Measured):
        spec = dataclasses.replace(spec, **depth_units.parse(media.unit).fields)
        media = media.file
    metres = _metres(media, spec)
    if not np.isfinite(metres).all():
        raise errors.DataError(
            media_lib.describe(media), "holds NaN or infinite depth; store 0 for missing readings"
        )
    low, high = float(metres.min()), float(metres.max())
    top = np.inf if spec.max_depth_m is None else spec.max_depth_m
    if high <= spec.min_depth_m or low >= top:
        found = (
            f"depth runs from {low:.4g} to {high:.4g} m, all outside {spec.min_depth_m} to {top} m"
        )
        raise errors.DataError(
            media_lib.describe(media), f"{found}; if its unit is not {spec.unit_m} m, set unit_m"
        )
    return metres


def transform(
    decoded: np.ndarray, spec: specs.DepthSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Scales depth to a normalised picture.

    Clips and scales to 0..1, copies to three channels, resizes (bicubic), crops the centre and
    normalises.

    Args:
      decoded: float32 [h, w] in metres.
      spec: range, size, antialias, mean and std.
      rng: unused; training takes the centre crop too (spec 5.1).

    Returns:
      float32 [s, s, 3].
    """
    del rng
    top = float(decoded.max()) if spec.max_depth_m is None else spec.max_depth_m
    clipped = np.clip(decoded, spec.min_depth_m, top)
    return image.square(clipped, spec, image.KERNELS["bicubic", spec.antialias], white=top)


def _metres(media: media_lib.Media, spec: specs.DepthSpec) -> np.ndarray:
    if isinstance(media, np.ndarray):
        return _from_array(media, spec, media)
    if not isinstance(media, Image.Image):
        with media_lib.stream(media, ACCEPTED) as file:
            if file.read(len(NPY_MAGIC)) == NPY_MAGIC:
                return _from_array(_load_npy(file, media), spec, media)
            is_film = depth_film.is_film(file)
        if is_film:
            return _from_array(depth_film.middle(media), spec, media)
    picture = image.open_picture(media, ACCEPTED)
    if not picture.mode.startswith("I;16"):
        found = f"{_bits(picture)} with channels {'/'.join(picture.getbands())}"
        raise errors.DataError(
            media_lib.describe(media),
            f"is {found}; {EXPECTED}. Export the raw depth, not a rendering",
        )
    return np.asarray(picture).astype(np.float32) * np.float32(spec.unit_m)


def _from_array(array: np.ndarray, spec: specs.DepthSpec, media: media_lib.Media) -> np.ndarray:
    is_stored = array.dtype == np.uint16
    if (
        array.ndim != 2
        or array.size == 0
        or not (is_stored or np.issubdtype(array.dtype, np.floating))
    ):
        found = f"holds {array.dtype} {list(array.shape)}"
        raise errors.DataError(
            media_lib.describe(media), f"{found}; accepted are a path, bytes, {ACCEPTED}"
        )
    return array.astype(np.float32) * np.float32(spec.unit_m if is_stored else 1)


def _load_npy(file: BinaryIO, media: media_lib.Media) -> np.ndarray:
    """Loads an array in this machine's byte order, never a pickle."""
    file.seek(0)
    content = io.BytesIO(file.read())  # from a file NumPy would clear as much memory as is claimed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on old headers
            array = np.load(content, allow_pickle=False)
    except NPY_ERRORS as e:
        reason = " ".join(str(e).split())[:120]
        raise errors.DataError(
            media_lib.describe(media), f"is no array that NumPy reads ({reason}); save it again"
        ) from e
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _bits(picture: Image.Image) -> str:
    return {"1": "1-bit", "I": "32-bit integer", "F": "32-bit float", "P": "a palette picture"}.get(
        picture.mode, "8-bit"
    )
