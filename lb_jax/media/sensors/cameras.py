"""Cameras of depth by which disparity is told: a table, and what users may write for one.

Baselines: a recipe of an author of Omnivore for SUN RGB-D (ImageBind spec 5.5), in which `kv1` and
`kv2` are Kinects. The focal length is that of NYU Depth v2, of pictures of 640x480.
"""

import math
import re
from typing import Any

from lb_jax.core import errors

# name -> baseline in metres, focal length in pixels or None where it differs from one to the next
CAMERAS: dict[str, tuple[float, float | None]] = {
    "kinect": (0.075, 518.86),
    "kv1": (0.075, None),
    "kv2": (0.075, None),
    "realsense": (0.095, None),
    "xtion": (0.095, None),
}
KNOWN = " or ".join(name for name, (_, focal) in CAMERAS.items() if focal is not None)
EXPECTED = (
    f"a focal length in pixels, {KNOWN}, or NAME:PIXELS with a name of {', '.join(CAMERAS)}, such "
    "as xtion:570.3"
)


def parse(given: str | float) -> dict[str, Any]:
    """Reads what a user writes for a camera.

    Args:
      given: pixels, a name of `CAMERAS` whose focal length is known, or a name with pixels.

    Returns:
      Fields of `specs.DepthSpec`.

    Raises:
      ConfigError: anything else, naming the nearest name.
    """
    name, colon, pixels = re.sub(r"\s+", "", str(given).lower()).rpartition(":")
    if not colon and pixels in CAMERAS:
        name, pixels = pixels, ""
    baseline_m, known = CAMERAS.get(name, (None, None))
    focal = _number(pixels) if pixels else known
    is_named = baseline_m is not None or not (colon or name)
    if focal is None or not is_named:
        raise errors.ConfigError(
            f"depth camera is {given!r}; expected {EXPECTED}."
            f"{errors.nearest(name or pixels, CAMERAS)}"
        )
    return {"focal_px": focal} | ({} if baseline_m is None else {"baseline_m": baseline_m})


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
