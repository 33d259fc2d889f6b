"""Thermal (infrared) pictures, as the grey pictures of 8 bits that the weights were trained on.

The published corpus stores them stretched from the least to the largest value of each picture
(LanguageBind spec 5.5, 8.4), so its grey values carry no temperature scale. Files of cameras and
data sets hold readings of 16 bits or degrees; they are stretched alike, or shown over a range in
kelvin so that pictures compare. Pictures of 8 bits stay as they are.
"""

import warnings

import av
import av.error
import cv2
import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import given, image, specs
from lb_jax.media.pictures import greys, heic, tiff
from lb_jax.media.sensors import depth_files, radiometric, temperatures
from lb_jax.media.sensors.temperatures import Readings

ACCEPTED = "a PIL image, a uint8 array [h, w, 3], or an array [h, w] of readings of any real type"
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
# A grey picture that went through JPEG has channels this close; a palette shows far wider ones.
GREY_SPREAD = 48
COLOURED = 0.1  # share of the pixels from which a picture is one of false colours


def decode(media: given.Media, spec: specs.ThermalSpec) -> np.ndarray:
    """Decodes a thermal picture to grey, or to RGB as it is where it has 8 bits.

    Readings are taken from pictures of 16 and 32 bits and of floats, from arrays, and from what
    radiometric cameras hide in their JPEGs. Warns of false colours, whose brightness is no
    temperature.

    Args:
      media: path or bytes of a picture, a radiometric file or an array saved by NumPy; a PIL image;
        an array.
      spec: `range_k`, `unit` and `stretch` say how readings are shown.

    Returns:
      uint8 [h, w, 3].

    Raises:
      errors.DataError: undecodable, without a reading, or of no temperature that `range_k` could
        show.
    """
    if spec.stretch == "full" and spec.range_k is None:
        picture = image.decode(media, spec)
        _warn_of_colours(picture, media)
        return picture
    found = _read(media)
    if isinstance(found, Readings):
        grey = _grey(found, spec, given.describe(media))
        return np.repeat(grey[..., None], 3, axis=2)
    _warn_of_colours(found, media)
    if spec.range_k is not None:
        reason = "is a picture of 8 bits without temperatures, shown as it is, not over the range"
        warnings.warn(errors.DataWarning(given.describe(media), reason), stacklevel=2)
    return found


def transform(
    decoded: np.ndarray, spec: specs.ThermalSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Resizes, crops and normalises as `image.transform`, to as many channels as the spec says.

    One channel is the grey of the picture; of false colours, which have none, their brightness.

    Args:
      decoded: uint8 [h, w, 3] as `decode` gives it.
      spec: size, kernel, antialias, levels, channels, mean and std.
      rng: unused.

    Returns:
      float32 [s, s, channels].

    Raises:
      errors.DataError: as `image.transform`.
    """
    if spec.channels == 1 and not (decoded == decoded[..., :1]).all():
        grey = np.asarray(Image.fromarray(decoded).convert("L"))
        decoded = np.repeat(grey[..., None], 3, axis=2)
    return image.transform(decoded, spec, rng)


def _grey(found: Readings, spec: specs.ThermalSpec, name: str) -> np.ndarray:
    """Readings as uint8 [h, w]."""
    scene = greys.scene(found.values, name, found.is_missing)
    if spec.range_k is None:
        return scene.stretched()
    unit = found.unit
    if unit in (temperatures.AUTO, temperatures.COUNTS) and spec.unit != temperatures.AUTO:
        unit = spec.unit  # what the file says itself comes first
    if unit == temperatures.AUTO:
        whole = np.issubdtype(found.values.dtype, np.integer)
        unit = temperatures.guess(scene.low, scene.high, whole=whole, name=name)
    kelvin = temperatures.kelvin(scene.values, unit, name)
    low, high = temperatures.kelvin(np.array((scene.low, scene.high)), unit, name)
    if high <= spec.range_k[0] or low >= spec.range_k[1]:
        reason = (
            f"runs from {low:.4g} to {high:.4g} K ({unit}), all of it outside the range "
            f"{spec.range_k[0]:g} to {spec.range_k[1]:g} K, so that nothing of it is seen; give "
            "another --thermal-range (thermal_range), in kelvin (20 degrees Celsius are 293.15), "
            "or --thermal-unit (thermal_unit)"
        )
        warnings.warn(errors.DataWarning(name, reason), stacklevel=3)
    return scene.shown(kelvin, *spec.range_k)


def _read(media: given.Media) -> Readings | np.ndarray:
    """Readings, or uint8 [h, w, 3] of a picture that has none."""
    if isinstance(media, np.ndarray):
        return _from_array(media, media)
    if isinstance(media, Image.Image):
        return _from_picture(media, media)
    with given.stream(media, ACCEPTED) as file:
        name = given.describe(media)
        if (found := radiometric.read(file, name)) is not None:
            return found
        is_heic = heic.is_heic(file)
        head = file.read(26)
        if (about := tiff.layout(file, name)) is not None and tiff.has_more(file):
            reason = "is a TIFF of several pages, of which the first is read"
            warnings.warn(errors.DataWarning(name, reason), stacklevel=3)
    if head.startswith(PNG_HEAD) and len(head) == 26 and head[24] == 16 and head[25] != 0:
        return _from_deep_png(media)
    if about is not None and about.bits > 8 and about.samples > 1:
        return _from_deep_tiff(media)
    if not is_heic and (array := depth_files.read(media, ACCEPTED)) is not None:
        return _from_array(array, media)
    return _from_picture(media, media)


def _from_picture(picture: given.Media, media: given.Media) -> Readings | np.ndarray:
    opened = image.open_picture(picture, ACCEPTED)
    if opened.mode in ("I", "F") or opened.mode.startswith("I;16"):
        return Readings(np.asarray(opened))
    return image.rgb(opened, media)


def _from_array(array: np.ndarray, media: given.Media) -> Readings | np.ndarray:
    """[h, w], [h, w, 1], or channels that are all equal: readings. uint8 is a picture."""
    plane = array
    if array.ndim == 3 and array.shape[-1] > 0:
        if (array == array[..., :1]).all():
            plane = array[..., 0]
        elif array.dtype == np.uint8 and array.shape[-1] == 3:
            return array
    is_real = np.issubdtype(plane.dtype, np.integer) or np.issubdtype(plane.dtype, np.floating)
    if plane.ndim != 2 or plane.size == 0 or not is_real:
        found = f"holds {array.dtype} {list(array.shape)}"
        raise errors.DataError(
            given.describe(media), f"{found}; accepted are a path, bytes, {ACCEPTED}"
        )
    if plane.dtype == np.uint8:
        return np.repeat(plane[..., None], 3, axis=2)
    return Readings(plane)


def _from_deep_png(media: given.Media) -> Readings | np.ndarray:
    """A PNG of several channels of 16 bits, of which Pillow keeps 8: by FFmpeg, if they are equal.

    Pillow has looked at all of it before.
    """
    opened = image.open_picture(media, ACCEPTED)
    with given.stream(media, ACCEPTED) as file:
        content = file.read()
    decoder = av.CodecContext.create("png", "r")
    try:
        frames = decoder.decode(av.Packet(content)) + decoder.decode(None)
    except av.error.FFmpegError:
        frames = []
    if frames and frames[0].format.name in ("rgb48be", "rgba64be"):
        array = frames[0].to_ndarray().astype(np.uint16)[..., :3]
        if (array == array[..., :1]).all():
            return Readings(array[..., 0])
    return image.rgb(opened, media)


def _from_deep_tiff(media: given.Media) -> Readings | np.ndarray:
    """A TIFF of several channels of more than 8 bits: by OpenCV, if they are equal."""
    with given.stream(media, ACCEPTED) as file:
        content = np.frombuffer(file.read(), np.uint8)
    try:
        array = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        array = None
    if array is not None and array.ndim == 3 and (array == array[..., :1])[..., :3].all():
        return Readings(array[..., 0])
    return _from_picture(media, media)


def _warn_of_colours(picture: np.ndarray, media: given.Media) -> None:
    some = picture[::4, ::4].astype(np.int16)
    coloured = float((some.max(-1) - some.min(-1) > GREY_SPREAD).mean())
    if coloured > COLOURED:
        reason = (
            "is a rendering in false colours (a palette) without the camera's readings; its "
            "brightness is no temperature. Use the radiometric file or a grey, white-hot picture"
        )
        warnings.warn(errors.DataWarning(given.describe(media), reason), stacklevel=2)
