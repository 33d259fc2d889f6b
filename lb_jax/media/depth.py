"""Depth maps to normalised pictures (LanguageBind spec 5.4, ImageBind spec 5.5).

Whole numbers are stored units, millimetres unless the spec says otherwise; floating point is
metres.
How files of each format are read is in `depth_files`.
"""

import dataclasses
import warnings

import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import given, image, specs
from lb_jax.media.sensors import cameras, depth_files, depth_film, depth_units, maps

ACCEPTED = (
    "a 16-bit grey PIL image, a uint16 array [h, w] in stored units (or wider whole numbers) or a "
    "float array [h, w] in metres"
)
EXPECTED = "expected one 16-bit channel, millimetres unless the spec's unit_m says otherwise"
# Floating point from here on stands for no reading: renderers write 1e10 for what is nowhere.
NOWHERE_M = 1e9
MOST = 0.5  # share of readings beyond the range from which on the unit is doubted
# Where the middle of a scene is expected, for guesses at its unit.
LIKELY_M = (0.3, 10.0)
NAMED = 6  # units that a guess names at most


def decode(media: given.Media, spec: specs.DepthSpec) -> np.ndarray:
    """Reads a depth map.

    Args:
      media: path or bytes of a file (docs/media.md lists the formats), a PIL image or an array;
        whole numbers of at least 16 bits in stored units, floating point in metres. A
        `depth_units.Measured` is one of these in a unit of its own.
      spec: `unit_m` and the fields after it say what stored numbers mean, `min_depth_m` and
        `max_depth_m` are the range that must not be missed entirely.

    Returns:
      float32 [h, w] in metres; 0 where the sensor had no reading.

    Raises:
      errors.DataError: undecodable, not one channel of numbers, no reading inside the range (wrong
        unit), or to become disparity by a focal length that is not known.

    Warns:
      errors.DataWarning: most readings lie beyond the range, so that the unit may be wrong.
    """
    if isinstance(media, depth_units.Measured):
        spec = dataclasses.replace(spec, **depth_units.parse(media.unit).fields)
        media = media.file
    if spec.form == "disparity" and spec.focal_px is None:
        raise errors.DataError(
            given.describe(media),
            "is depth for a model that takes disparity, and the focal length of its camera is not "
            f"known; give it in pixels, or {cameras.KNOWN} (--depth-camera, depth_camera, or the "
            "spec's focal_px and baseline_m)",
        )
    stored = _stored(media)
    name = given.describe(media)
    metres = _metres(stored, spec)
    _doubt_unit(stored, metres, spec, name)
    return metres


def transform(
    decoded: np.ndarray, spec: specs.DepthSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Scales depth, or its disparity, to a normalised picture.

    Clips and scales to 0..1, copies to three channels if the spec has as many, resizes (bicubic),
    crops the centre and normalises.

    Args:
      decoded: float32 [h, w] in metres, 0 where nothing was read.
      spec: form, range, size, kernel, antialias, channels, mean and std.
      rng: unused; training takes the centre crop too (spec 5.1).

    Returns:
      float32 [s, s, channels].
    """
    del rng
    top = float(decoded.max()) if spec.max_depth_m is None else spec.max_depth_m
    shown, white = np.clip(decoded, spec.min_depth_m, top), top
    if spec.form == "disparity":
        shown, white = disparity(decoded, shown, spec), spec.max_disparity
    kernel = image.KERNELS[spec.kernel, spec.antialias]
    return image.square(shown, spec, kernel, white=white, channels=spec.channels)


def disparity(metres: np.ndarray, clipped: np.ndarray, spec: specs.DepthSpec) -> np.ndarray:
    """What two eyes of a camera see apart: its baseline times its focal length by the depth.

    Args:
      metres: float32 [h, w], 0 where nothing was read.
      clipped: the same in the range of the spec.
      spec: baseline_m, focal_px, max_disparity and holes.

    Returns:
      float32 [h, w], pixels from 0 to `max_disparity`.
    """
    assert spec.focal_px is not None  # `decode` asks for it
    apart = np.float32(spec.baseline_m * spec.focal_px) / clipped
    apart = np.minimum(apart, np.float32(spec.max_disparity))
    return np.where(metres > 0, apart, np.float32(0)) if spec.holes == "far" else apart


def _stored(media: given.Media) -> np.ndarray:
    """The numbers that are stored, [h, w]."""
    if isinstance(media, np.ndarray):
        array = media.astype(media.dtype.newbyteorder("="), copy=False)
        return _checked(maps.one_map(array), media)
    if not isinstance(media, Image.Image):
        array = depth_files.read(media, ACCEPTED)
        if array is not None:
            return _checked(array, media)
        with given.stream(media, ACCEPTED) as file:
            is_film = depth_film.is_film(file)
        if is_film:
            return _checked(depth_film.middle(media), media)
        if str(name := given.describe(media)).lower().endswith(".mat"):
            raise errors.DataError(
                name, "is no .mat of version 5 or 7.3; save it again with `save -v7`, or as NPY"
            )
    picture = image.open_picture(media, ACCEPTED)
    if not picture.mode.startswith("I") and picture.mode != "F":
        found = f"{_bits(picture)} with channels {'/'.join(picture.getbands())}"
        raise errors.DataError(
            given.describe(media),
            f"is {found}; {EXPECTED}. Export the raw depth, not a rendering",
        )
    return np.asarray(picture)


def _checked(array: np.ndarray, media: given.Media) -> np.ndarray:
    is_number = array.dtype.kind == "f" or (array.dtype.kind in "iu" and array.dtype.itemsize > 1)
    if array.ndim != 2 or array.size == 0 or not is_number:
        found = f"holds {array.dtype} {list(array.shape)}"
        raise errors.DataError(
            given.describe(media), f"{found}; accepted are a path, bytes, {ACCEPTED}"
        )
    return array


def _metres(stored: np.ndarray, spec: specs.DepthSpec) -> np.ndarray:
    """Stored numbers as float32 metres, 0 for what is no reading."""
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            metres = stored.astype(np.float32)
            metres = np.where(np.abs(metres) < NOWHERE_M, metres, np.float32(0))  # nor is NaN
    else:
        values = stored
        if spec.rotated_bits:
            values = _rotated_back(stored, spec.rotated_bits)
        metres = values.astype(np.float32) * np.float32(spec.unit_m)
        if spec.missing:
            metres[np.isin(stored, spec.missing)] = 0
    return metres if spec.ray_focal is None else _along_axis(metres, spec.ray_focal)


def _rotated_back(stored: np.ndarray, places: int) -> np.ndarray:
    """Bits of 16-bit numbers that were rotated to the left, as they were."""
    values = stored.astype(np.uint16)
    return (values >> places) | (values << (16 - places))


def _along_axis(metres: np.ndarray, focal: float) -> np.ndarray:
    """Distances along the rays of a camera whose axis is in the middle, as depth along its axis."""
    height, width = metres.shape
    y, x = np.ogrid[:height, :width]
    length = focal * width
    aside = (x - (width - 1) / 2) ** 2 + (y - (height - 1) / 2) ** 2
    return (metres * (length / np.sqrt(aside + length**2))).astype(np.float32)


def _doubt_unit(stored: np.ndarray, metres: np.ndarray, spec: specs.DepthSpec, name: str) -> None:
    """Refuses a map all of whose readings miss the range, and warns of one most of whose do.

    Missing readings do not count: 0, and of whole numbers the largest of their type. Where a unit
    was given, far readings are what the scene has.
    """
    is_reading = metres > 0
    if stored.dtype.kind in "iu":
        is_reading &= stored != np.iinfo(stored.dtype).max
    readings = metres[is_reading]
    top = np.inf if spec.max_depth_m is None else spec.max_depth_m
    if not readings.size and not (metres > 0).any():
        raise errors.DataError(
            name,
            "holds no reading: all of it is 0, negative, NaN or infinite depth; leave the file "
            "out, and if its unit is another, give it (--depth-unit, unit_m)",
        )
    readings = readings if readings.size else metres[metres > 0]
    outside = ((readings <= spec.min_depth_m) | (readings >= top)).mean()
    is_given = spec.unit_m != specs.DepthSpec.unit_m or stored.dtype.kind == "f"
    if outside < 1 and (is_given or outside < MOST):
        return
    low, middle, high = (float(one) for one in np.quantile(readings, (0, 0.5, 1)))
    share = "all" if outside == 1 else f"{100 * outside:.0f} % of it"
    found = (
        f"depth runs from {low:.4g} to {high:.4g} m (its middle at {middle:.4g} m), {share} "
        f"outside {spec.min_depth_m:g} to {top:g} m"
    )
    reason = f"{found}; {_remedy(stored, middle, spec)}"
    if outside == 1:
        raise errors.DataError(name, reason)
    warnings.warn(errors.DataWarning(name, reason), stacklevel=3)


def _remedy(stored: np.ndarray, middle_m: float, spec: specs.DepthSpec) -> str:
    """What to do about a map whose readings miss the range, with the units it may be in."""
    if stored.dtype.kind == "f":
        return (
            "floating point is read as metres; if it is in another unit, convert it (millimetres "
            "divided by 1000)"
        )
    middle = middle_m / spec.unit_m
    # three places to the left leave three zeros at the end of all but the largest numbers
    is_rotated = stored.itemsize == 2 and not (stored[stored > 0] & 7).any()
    found: dict[tuple[float, int], str] = {}
    for name, unit in sorted(depth_units.UNITS.items(), key=lambda one: -one[1].rotated_bits):
        value_m = middle / 2**unit.rotated_bits * unit.unit_m
        is_other = is_rotated if unit.rotated_bits else unit.unit_m != spec.unit_m
        if is_other and LIKELY_M[0] <= value_m <= LIKELY_M[1]:
            found.setdefault((unit.unit_m, unit.rotated_bits), f"{value_m:.2g} m with {name}")
    likely = ", ".join(list(found.values())[:NAMED])
    told = f"; its middle would be at {likely}" if likely else ""
    return (
        f"if its unit is not {spec.unit_m:g} m, give it with --depth-unit, depth_unit or the "
        f"spec's unit_m{told}"
    )


def _bits(picture: Image.Image) -> str:
    return {"1": "1-bit", "I": "32-bit integer", "F": "32-bit float", "P": "a palette picture"}.get(
        picture.mode, "8-bit"
    )
