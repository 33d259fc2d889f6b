"""In which unit data sets and cameras store depth: a table, and what users may write for it."""

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Any

from lb_jax.core import errors

AXIS, RAY = "along the axis", "along the ray"


@dataclasses.dataclass(frozen=True)
class Unit:
    """How a data set, a camera or a program stores depth.

    Attributes:
      title: what it is called in the docs.
      unit_m: metres per stored unit, of integers.
      source: who says so.
      missing: stored integers that stand for no reading, besides 0.
      rotated_bits: see `specs.DepthSpec`.
      ray_focal: see `specs.DepthSpec`; None where depth is along the axis of the camera.
      remark: what else is to know.
    """

    title: str
    unit_m: float
    source: str
    missing: tuple[int, ...] = ()
    rotated_bits: int = 0
    ray_focal: float | None = None
    remark: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of `specs.DepthSpec` that say so."""
        names = ("unit_m", "missing", "rotated_bits", "ray_focal")
        return {name: getattr(self, name) for name in names}

    @property
    def along(self) -> str:
        """What depth is: the distance along the axis of the camera, or along the ray to it."""
        return AXIS if self.ray_focal is None else RAY


@dataclasses.dataclass(frozen=True)
class Measured:
    """A depth map whose unit is another than that of the preprocessing.

    Attributes:
      file: path, bytes, picture or array.
      unit: see `parse`.
    """

    file: Any
    unit: str | float


MM = 0.001
LARGEST = (65535,)

# What `--depth-unit` takes; docs/media.md shows the same table.
UNITS: dict[str, Unit] = {
    "m": Unit("metres", 1.0, "the word"),
    "cm": Unit("centimetres", 0.01, "the word"),
    "mm": Unit("millimetres, the usual", MM, "the word"),
    "um": Unit("micrometres", 1e-6, "the word"),
    "tum": Unit("TUM RGB-D", 1 / 5000, "its web page, section File Formats"),
    "7scenes": Unit("7-Scenes", MM, "its web page, section Data", LARGEST),
    "arkitscenes": Unit("ARKitScenes", MM, "its DATA.md"),
    "azure": Unit("Azure Kinect", MM, "its SDK, `K4A_IMAGE_FORMAT_DEPTH16`"),
    "hypersim": Unit(
        "Hypersim",
        MM,
        "its README and contrib code: 886.81 pixels of 1024",
        ray_focal=886.81 / 1024,
        remark="published as floating point in metres; NaN is missing",
    ),
    "icl": Unit("ICL-NUIM as PNG", 1 / 5000, "its web page: as TUM RGB-D"),
    "kinect": Unit("Kinect v1 and v2, OpenNI", MM, "libfreenect, `FREENECT_DEPTH_MM`"),
    "kitti": Unit("KITTI depth completion", 1 / 256, "its development kit, readme.txt"),
    "matterport": Unit("Matterport3D", 1 / 4000, "its data_organization.md"),
    "nyu": Unit(
        "NYU Depth v2 as 16-bit PNG",
        MM,
        "training lists of BTS and AdaBins",
        remark="the labelled `.mat` is floating point in metres; raw `.pgm` is Kinect disparity",
    ),
    "realsense": Unit("RealSense D415, D435, D455", MM, "librealsense, RS2_OPTION_DEPTH_UNITS"),
    "realsense-d405": Unit("RealSense D405", 1e-4, "librealsense, RS2_OPTION_DEPTH_UNITS"),
    "realsense-l515": Unit("RealSense L515", 1 / 4000, "librealsense, RS2_OPTION_DEPTH_UNITS"),
    "redwood": Unit("Redwood", MM, "its web page, section Format"),
    "replica": Unit("Replica as rendered for iMAP and NICE-SLAM", 1 / 6553.5, "configs of both"),
    "scannet": Unit("ScanNet, ScanNet++", MM, "its README, section Data Organization"),
    "stanford2d3d": Unit("2D-3D-S", 1 / 512, "its README", LARGEST),
    "sunrgbd": Unit(
        "SUN RGB-D",
        MM,
        "its toolbox, `read3dPoints.m`",
        rotated_bits=3,
        remark="stored with the bits rotated by 3",
    ),
    "taskonomy": Unit("Taskonomy, depth_zbuffer", 1 / 512, "its README", LARGEST),
    "tless": Unit("T-LESS and others of BOP with depth_scale 0.1", 1e-4, "the BOP format"),
    "vkitti2": Unit("Virtual KITTI 2", 0.01, "its web page", remark="65535 is the sky: far"),
    "ycbv": Unit("YCB-Video", 1e-4, "its README: factor_depth 10000"),
}

EXPECTED = f"metres per stored unit such as 0.0002 or 1/5000, or one of {', '.join(UNITS)}"
LENGTHS = {name: UNITS[name].unit_m for name in ("m", "cm", "mm", "um")}
NUMBER = re.compile(
    r"(?P<above>[0-9.]+(?:e[-+]?[0-9]+)?)(?:/(?P<below>[0-9.]+))?(?P<length>m|cm|mm|um)?"
)


def parse(given: str | float) -> Unit:
    """Reads what a user writes for a unit.

    Args:
      given: metres per stored unit, also as a fraction or a length (`1/5000`, `0.1mm`), or a name
        of `UNITS`; capitals, blanks and marks in a name do not count.

    Raises:
      ConfigError: anything else, naming the nearest name.
    """
    name = re.sub(r"[\s_.-]+", "", str(given).lower()).replace("+", "")
    for known, unit in UNITS.items():
        if name == known.replace("-", ""):
            return unit
    value = _number("".join(str(given).lower().split()))
    if value is None or not 0 < value < math.inf:
        raise errors.ConfigError(
            f"depth unit is {given!r}; expected {EXPECTED}.{errors.nearest(name, UNITS)}"
        )
    return Unit("", value, "")


def unknown(units: Iterable[str]) -> tuple[int, str] | None:
    """The place of the first unit that is none, and what is wrong with it; None if all are."""
    right: set[str] = set()
    for place, unit in enumerate(units):
        if unit in right:
            continue
        try:
            parse(unit)
        except errors.ConfigError as error:
            return place, str(error)
        right.add(unit)
    return None


def _number(text: str) -> float | None:
    found = NUMBER.fullmatch(text)
    if found is None:
        return None
    try:
        value = float(found["above"]) / float(found["below"] or 1)
    except (ValueError, ZeroDivisionError):
        return None
    return value * LENGTHS[found["length"] or "m"]
