"""What a grey picture of more than 8 bits holds, by its values: depth, temperatures, or who knows.

Values of both kinds overlap: 7,500 is 7.5 m in millimetres, and a room in the counts of a thermal
sensor. What is not plain is for the user to say.
"""

import functools
import os
import warnings

import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import given, image
from lb_jax.media.sensors import depth_files, temperatures

FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".pgm": "PPM", ".pnm": "PPM"}
DEPTH, THERMAL, UNCLEAR, NOT_DEEP = "depth", "thermal", "unclear", ""
# Depth cameras see 0.2 m to 20 m.
DEPTH_MM = 200, 20_000
# Counts of a thermal sensor lie far from 0 and close together; depth of a scene does not.
COUNTS_FROM, COUNTS_SPREAD = 5_000, 1.5
CENTIKELVIN_SPREAD = 15_000


def what(path: str | os.PathLike) -> str:
    """One of `DEPTH`, `THERMAL`, `UNCLEAR`; `NOT_DEEP` of 8 bits, in colour or not readable."""
    try:
        status = os.stat(path)
    except OSError:  # decoding it will say what is wrong
        return NOT_DEEP
    return _what(os.fspath(path), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1024)  # several rules ask for the same file
def _what(path: str, *_: int) -> str:
    values = _values(path)
    return NOT_DEEP if values is None else by_values(values)


def by_values(values: np.ndarray) -> str:
    """What the numbers of a picture are: `DEPTH` in millimetres, `THERMAL` or `UNCLEAR`.

    Args:
      values: [h, w], any real type.
    """
    whole = np.issubdtype(values.dtype, np.integer)
    readings = values[np.isfinite(values) & (values > 0)]
    if whole:
        readings = readings[readings < np.iinfo(values.dtype).max]
    if not readings.size:
        return UNCLEAR
    low, high = (float(end) for end in np.quantile(readings, (0.01, 0.99)))
    coldest, hottest = temperatures.SCENE_K
    if not whole:
        return THERMAL if coldest <= low and high <= hottest else UNCLEAR
    if coldest <= low / 100 and high / 100 <= hottest and high - low <= CENTIKELVIN_SPREAD:
        return THERMAL
    is_count = low >= COUNTS_FROM and high < COUNTS_SPREAD * low
    return DEPTH if DEPTH_MM[0] <= high <= DEPTH_MM[1] and not is_count else UNCLEAR


def _values(path: str) -> np.ndarray | None:
    """[h, w] of a grey picture of more than 8 bits; None of any other file."""
    kind = FORMATS.get(os.path.splitext(path)[1].lower())
    if kind is None or not os.path.isfile(path):  # a pipe would keep whoever opens it waiting
        return None
    try:
        if (values := depth_files.read(path, "a path")) is not None:
            return values if values.ndim == 2 else None
        with warnings.catch_warnings(), given.stream(path, "a path") as file:
            warnings.simplefilter("ignore")
            mode = Image.open(file, formats=[kind]).mode
        if mode in ("I", "F") or mode.startswith("I;16"):
            return np.asarray(image.open_picture(path, "a path"))
    except (errors.DataError, *image.PILLOW_ERRORS):  # decoding it will say what is wrong
        return None
    return None
