"""The preprocessing of pictures as data: stills, thermal pictures, depth maps."""

import dataclasses
import math

from lb_jax.core import fields
from lb_jax.media.sensors import temperatures

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
RGB = tuple[float, float, float]

# How the numbers of a thermal picture are told; "auto" goes by the file. Or kelvin per count.
THERMAL_UNITS = (temperatures.AUTO, *temperatures.UNITS, temperatures.COUNTS)


def require_std(std: RGB) -> None:
    """Raises `ConfigError` where a channel would be divided by what is not above 0."""
    fields.require(all(s > 0 for s in std), f"std is {std}, expected three positive numbers")


def require_channels(channels: int) -> None:
    """Raises `ConfigError` for another number of channels than a picture may have."""
    fields.require(channels in (1, 3), f"channels is {channels}, expected 1 or 3")


@dataclasses.dataclass(frozen=True)
class PictureSpec:
    """Preprocessing that pictures of all modalities share.

    Attributes:
      size: side of the square crop in pixels; the short side is resized to it.
      antialias: whether the kernel widens when shrinking. Off = torchvision 0.14 on tensors, the
        published training.
      mean: subtracted per channel, on a 0..1 scale.
      std: divided by per channel.
      kernel: of the resize: "bicubic", or "bilinear" as of the frames of a film.
      levels: of the resized picture: "float" keeps what the kernel gives; "bytes" rounds each of
        its two passes to 0..255, as Pillow does with pictures of 8 bits (ImageBind spec 5.1).
    """

    size: int = 224
    antialias: bool = True
    mean: RGB = CLIP_MEAN
    std: RGB = CLIP_STD
    kernel: str = fields.added("bicubic", before="bicubic")
    levels: str = fields.added("float", before="float")

    def __post_init__(self):
        fields.require(self.size > 0, f"size is {self.size}, expected a positive number of pixels")
        require_std(self.std)
        fields.require_choice("kernel", self.kernel, ("bicubic", "bilinear"))
        fields.require_choice("levels", self.levels, ("float", "bytes"))
        fields.require(
            self.levels == "float" or self.antialias,
            "levels are 'bytes', which Pillow makes with a kernel that widens; expected antialias",
        )


@dataclasses.dataclass(frozen=True)
class ImageSpec(PictureSpec):
    """Preprocessing of still images.

    Attributes:
      colour: "srgb" shows the picture as viewers do: an ICC profile is applied. "stored" takes the
        numbers as they are. Of an image out of a film it also says what `colour` and `pixel_aspect`
        of `VideoSpec` do.
    """

    colour: str = fields.added("srgb", before="stored")

    def __post_init__(self):
        super().__post_init__()
        fields.require_choice("colour", self.colour, ("srgb", "stored"))


@dataclasses.dataclass(frozen=True)
class ThermalSpec(PictureSpec):
    """Preprocessing of thermal images: as still images, their numbers as stored.

    Attributes:
      range_k: lowest and highest temperature shown, in kelvin, so that pictures compare; None goes
        by the picture.
      unit: how stored numbers are told: one of `THERMAL_UNITS`, or kelvin per count, such as 0.04.
      stretch: of pictures of more than 8 bits. "robust" shows the range of the readings, picture by
        picture, as the published corpus was made; "full" the range of the type, as the original.
        A `range_k` comes before both.
      channels: 3 equal ones, or 1, which `mean[0]` and `std[0]` normalise (ImageBind spec 5.6).
    """

    range_k: tuple[float, float] | None = fields.added(None, before=None)
    unit: str = fields.added("auto", before="auto")
    stretch: str = fields.added("robust", before="full")
    channels: int = fields.added(3, before=3)

    def __post_init__(self):
        super().__post_init__()
        low, high = self.range_k or (0.0, 1.0)
        fields.require(
            0 <= low < high < math.inf,
            f"range_k is {low:g} to {high:g}, expected two rising temperatures in kelvin",
        )
        if not temperatures.is_unit(self.unit):
            fields.require_choice("unit", self.unit, THERMAL_UNITS)
        fields.require_choice("stretch", self.stretch, ("robust", "full"))
        require_channels(self.channels)


@dataclasses.dataclass(frozen=True)
class DepthSpec(PictureSpec):
    """Preprocessing of depth maps.

    Attributes:
      unit_m: metres per stored unit of integers; 0.001 = millimetres. Floating point is metres.
      min_depth_m: smaller values, missing readings (0) included, are raised to it.
      max_depth_m: larger values are lowered to it, and it maps to 1. None divides by the largest
        depth of the image.
      missing: stored integers that stand for no reading, besides 0 and what is below.
      rotated_bits: places to the left by which the bits of 16-bit integers were rotated.
      ray_focal: of distances along the ray to the camera: its focal length in widths of the
        picture. None is depth along the axis of the camera.
      form: "metres" scales depth to `max_depth_m`; "disparity" is baseline_m focal_px / metres,
        scaled to `max_disparity` (ImageBind spec 5.5).
      baseline_m: of the camera, between its two eyes or projector and eye.
      focal_px: of the camera, in pixels of the map; None is not known, and then there is no
        disparity.
      max_disparity: in pixels; larger values are lowered to it, and it maps to 1.
      holes: what a missing reading is: "near" is raised to `min_depth_m`; "far" has disparity 0.
      channels: 3 equal ones, or 1, which `mean[0]` and `std[0]` normalise.
    """

    unit_m: float = 0.001
    min_depth_m: float = 0.01
    max_depth_m: float | None = 10.0
    missing: tuple[int, ...] = fields.added((), before=())
    rotated_bits: int = fields.added(0, before=0)
    ray_focal: float | None = fields.added(None, before=None)
    form: str = fields.added("metres", before="metres")
    baseline_m: float = fields.added(0.075, before=0.075)
    focal_px: float | None = fields.added(None, before=None)
    max_disparity: float = fields.added(75.0, before=75.0)
    holes: str = fields.added("near", before="near")
    channels: int = fields.added(3, before=3)

    def __post_init__(self):
        super().__post_init__()
        require_channels(self.channels)
        fields.require_choice("form", self.form, ("metres", "disparity"))
        fields.require_choice("holes", self.holes, ("near", "far"))
        for name, unit in (("baseline_m", "metres"), ("max_disparity", "pixels")):
            value = getattr(self, name)
            fields.require(0 < value < math.inf, f"{name} is {value}, expected {unit} above 0")
        fields.require(
            self.focal_px is None or 0 < self.focal_px < math.inf,
            f"focal_px is {self.focal_px}, expected pixels above 0",
        )
        fields.require(
            self.holes == "near" or self.form == "disparity",
            f"holes are {self.holes!r} and form {self.form!r}; expected form 'disparity'",
        )
        fields.require(self.levels == "float", "levels are 'bytes', expected 'float' of depth")
        fields.require(
            0 < self.unit_m < math.inf,
            f"unit_m is {self.unit_m}, expected metres per stored unit above 0",
        )
        fields.require(
            0 <= self.rotated_bits < 16, f"rotated_bits is {self.rotated_bits}, expected 0 to 15"
        )
        fields.require(
            self.ray_focal is None or 0 < self.ray_focal < math.inf,
            f"ray_focal is {self.ray_focal}, expected widths of the picture above 0",
        )
        top = float("inf") if self.max_depth_m is None else self.max_depth_m
        found = f"{self.min_depth_m}, {self.max_depth_m}"
        fields.require(
            0 < self.min_depth_m < top,
            f"min_depth_m, max_depth_m are {found}, expected 0 < min < max metres",
        )
