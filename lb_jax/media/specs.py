"""The preprocessing of each modality as data.

One frozen dataclass per modality, stored inside checkpoints.

`PRESETS["default"]` is the sound choice, `PRESETS["reference"]` what the released weights were
trained with (LanguageBind spec section 5); `presets` says what differs.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping

from lb_jax.core import errors, fields, modalities
from lb_jax.media import presets
from lb_jax.media.sensors import temperatures
from lb_jax.text import spec as text_spec

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
RGB = tuple[float, float, float]

RESAMPLERS = ("soxr_hq", "soxr_vhq", "soxr_mq", "soxr_lq", "sinc_hann")


# How the numbers of a thermal picture are told; "auto" goes by the file. Or kelvin per count.
THERMAL_UNITS = (temperatures.AUTO, *temperatures.UNITS, temperatures.COUNTS)


def _require_std(std: RGB) -> None:
    fields.require(all(s > 0 for s in std), f"std is {std}, expected three positive numbers")


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
    """

    size: int = 224
    antialias: bool = True
    mean: RGB = CLIP_MEAN
    std: RGB = CLIP_STD
    kernel: str = fields.added("bicubic", before="bicubic")

    def __post_init__(self):
        fields.require(self.size > 0, f"size is {self.size}, expected a positive number of pixels")
        _require_std(self.std)
        fields.require_choice("kernel", self.kernel, ("bicubic", "bilinear"))


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
    """

    range_k: tuple[float, float] | None = fields.added(None, before=None)
    unit: str = fields.added("auto", before="auto")
    stretch: str = fields.added("robust", before="full")

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
    """

    unit_m: float = 0.001
    min_depth_m: float = 0.01
    max_depth_m: float | None = 10.0
    missing: tuple[int, ...] = fields.added((), before=())
    rotated_bits: int = fields.added(0, before=0)
    ray_focal: float | None = fields.added(None, before=None)

    def __post_init__(self):
        super().__post_init__()
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


@dataclasses.dataclass(frozen=True)
class VideoSpec:
    """Preprocessing of clips.

    Attributes:
      frames: frames taken.
      size: side of the square in pixels; the short side is resized to it, bilinear.
      antialias: whether the bilinear kernel widens when shrinking. Off in training of the published
        weights.
      mean: subtracted per channel, on a 0..1 scale.
      std: divided by per channel.
      train_crop: the crop in training; evaluation always crops the centre. "resized" takes a
        square of a drawn share of the picture, see `video.drawn_square`.
      train_flip: probability of mirroring a whole clip in training; evaluation never mirrors.
      pixel_aspect: "square" scales frames whose pixels are not square (DVD, DV) to the shape that
        players show; "stored" takes the grid as it is.
      colour: "srgb" maps HDR (PQ, HLG) and wide gamuts to it, and applies the ICC profiles of still
        pictures; "stored" takes the numbers as they are.
      choice: which frames: "spread" evenly from the first to the last; "chunks" takes one of each
        part of the film, in training a drawn one (`chunks.choose`), and takes a single picture for
        a film of one frame; "run" takes frames that follow each other, the middle ones, in training
        a drawn run (`chunks.run`).
      fps: frames per second among which that choice is made; None takes those of the file. Frames
        that are given as such are what they are.
      shape: "square" cuts a square out; "stretch" shows the whole frame, its sides made equal.
      augmentation: of scale and colours in training: "none", or a row of
        `augmentation.AUGMENTATIONS`.
    """

    frames: int = 8
    size: int = 224
    antialias: bool = False
    mean: RGB = CLIP_MEAN
    std: RGB = CLIP_STD
    train_crop: str = "random"
    train_flip: float = 0.0
    pixel_aspect: str = fields.added("square", before="stored")
    colour: str = fields.added("srgb", before="stored")
    choice: str = fields.added("spread", before="spread")
    fps: float | None = fields.added(None, before=None)
    shape: str = fields.added("square", before="square")
    augmentation: str = fields.added("none", before="none")

    def __post_init__(self):
        fields.require(self.frames > 0, f"frames is {self.frames}, expected at least 1")
        fields.require(self.size > 0, f"size is {self.size}, expected a positive number of pixels")
        _require_std(self.std)
        fields.require_choice("train_crop", self.train_crop, ("random", "centre", "resized"))
        fields.require_choice("choice", self.choice, ("spread", "chunks", "run"))
        fields.require_choice("shape", self.shape, ("square", "stretch"))
        fields.require(
            self.shape == "square" or self.train_crop == "centre",
            f"train_crop is {self.train_crop!r} and shape 'stretch', which shows the whole frame; "
            "expected train_crop 'centre'",
        )
        fields.require_choice("augmentation", self.augmentation, ("none", "dmvr"))
        fields.require(
            self.shape == "square" or self.augmentation == "none",
            f"augmentation is {self.augmentation!r} and shape 'stretch', which shows the whole "
            "frame; expected augmentation 'none'",
        )
        fields.require(
            self.fps is None or 0 < self.fps < math.inf,
            f"fps is {self.fps}, expected frames per second above 0, or None",
        )
        fields.require(
            0 <= self.train_flip <= 1,
            f"train_flip is {self.train_flip}, expected a probability from 0 to 1",
        )
        fields.require_choice("pixel_aspect", self.pixel_aspect, ("square", "stored"))
        fields.require_choice("colour", self.colour, ("srgb", "stored"))


@dataclasses.dataclass(frozen=True)
class AudioSpec:
    """Preprocessing of sound.

    Attributes:
      sample_rate_hz: rate the sound is resampled to; None keeps the file's own.
      mel_bins: filters of the log-mel bank.
      target_frames: length of each of the three time crops, of a slice or of the whole, in steps of
        the bank.
      mean: subtracted from the log-mel values.
      std: twice this divides them.
      mono: "mean" mixes all channels, "first" takes channel 0.
      resampler: a `soxr_*` quality, or "sinc_hann", the windowed sinc of the reference.
      train_crop: "random" draws the places in training, "first" keeps those of evaluation.
      layout: "crops" are three time crops as channels, "slices" consecutive ones as clips, "whole"
        is one stretch with time first.
      clips: slices taken.
      padding: of the last slice: "silence" is digital silence; "published" is 0 before it is
        normalised, which is no silence, and at least one frame of it.
      bank: "kaldi" is `fbank`, powers every 10 ms; "dmvr" and "vatt" are `magnitude_mel`, with one
        logarithm or the other.
    """

    sample_rate_hz: int | None = 16000
    mel_bins: int = 112
    target_frames: int = 1036
    mean: float = -4.2677393
    std: float = 4.5689974
    mono: str = "mean"
    resampler: str = "soxr_hq"
    train_crop: str = "random"
    layout: str = fields.added("crops", before="crops")
    clips: int = fields.added(1, before=1)
    padding: str = fields.added("silence", before="silence")
    bank: str = fields.added("kaldi", before="kaldi")

    def __post_init__(self):
        fields.require(
            self.sample_rate_hz is None or self.sample_rate_hz >= 1000,
            f"sample_rate_hz is {self.sample_rate_hz}, expected at least 1000",
        )
        fields.require(self.mel_bins > 0, f"mel_bins is {self.mel_bins}, expected at least 1")
        fields.require(
            self.target_frames > 0, f"target_frames is {self.target_frames}, expected at least 1"
        )
        fields.require(self.std > 0, f"std is {self.std}, expected a positive number")
        fields.require_choice("mono", self.mono, ("mean", "first"))
        fields.require_choice("resampler", self.resampler, RESAMPLERS)
        fields.require_choice("train_crop", self.train_crop, ("random", "first"))
        fields.require_choice("layout", self.layout, ("crops", "slices", "whole"))
        fields.require(self.clips > 0, f"clips is {self.clips}, expected at least 1")
        fields.require_choice("padding", self.padding, ("silence", "published"))
        fields.require_choice("bank", self.bank, ("kaldi", "dmvr", "vatt"))
        fields.require(
            self.bank == "kaldi" or self.sample_rate_hz is not None,
            f"bank is {self.bank!r}, whose steps are samples; expected a sample_rate_hz",
        )


Spec = ImageSpec | DepthSpec | ThermalSpec | VideoSpec | AudioSpec | text_spec.TextSpec

SPECS = {
    "image": ImageSpec,
    "video": VideoSpec,
    "depth": DepthSpec,
    "thermal": ThermalSpec,
    "audio": AudioSpec,
    modalities.TEXT: text_spec.TextSpec,
}


def _preset(changes: Mapping[str, Mapping[str, typing.Any]]) -> dict[str, Spec]:
    return {name: cls(**changes.get(name, {})) for name, cls in SPECS.items()}


PRESETS: dict[str, dict[str, Spec]] = {
    name: _preset(changes) for name, changes in presets.CHANGES.items()
}

# VALOR's augmentation of MSR-VTT, and of captions of MSVD, in place of `shape` and `train_crop`.
CROP_FLIP = {"shape": "square", "train_crop": "resized", "train_flip": 0.5}
# What pictures are normalised by: CLIP's encoders by its own, others by that of ImageNet.
STATISTICS: dict[str, dict[str, RGB]] = {
    "clip": {"mean": CLIP_MEAN, "std": CLIP_STD},
    "imagenet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
}


def preset(modality: str, name: str = "default") -> Spec:
    """Returns the spec of one modality in a preset.

    Raises:
      errors.ConfigError: no such preset or modality.
    """
    return _lookup(_lookup(PRESETS, name, "preset"), modality, "modality")


def still(film: VideoSpec) -> ImageSpec:
    """The spec by which a picture becomes what a frame of a film becomes in evaluation.

    Raises:
      errors.ConfigError: for films whose frames are stretched, which no picture is.
    """
    if film.shape != "square":
        raise errors.ConfigError(
            f"frames of shape {film.shape!r}, and stills are square; expected shape 'square'."
        )
    return ImageSpec(
        size=film.size,
        antialias=film.antialias,
        mean=film.mean,
        std=film.std,
        kernel="bilinear",
        colour=film.colour,
    )


def draws_frames(spec: Spec) -> bool:
    """Whether training takes other parts of a file each time it decodes it."""
    return isinstance(spec, VideoSpec) and spec.choice != "spread"


def shape(spec: Spec) -> tuple[int, ...]:
    """Shape of the array that a spec makes of an item."""
    match spec:
        case AudioSpec(layout="slices"):
            return spec.clips, spec.mel_bins, spec.target_frames
        case AudioSpec(layout="whole"):
            return spec.target_frames, spec.mel_bins, 1
        case AudioSpec():
            return spec.mel_bins, spec.target_frames, 3
        case VideoSpec():
            return spec.frames, spec.size, spec.size, 3
        case PictureSpec():
            return spec.size, spec.size, 3
    return (spec.context,)


def of_text(found: Mapping[str, Spec]) -> text_spec.TextSpec:
    """The spec of text among those of a model; every model has one."""
    spec = found[modalities.TEXT]
    assert isinstance(spec, text_spec.TextSpec)
    return spec


def to_dict(spec: Spec) -> dict[str, object]:
    """Returns the fields of a spec as JSON values; `from_dict` is its inverse."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(spec).items()}


def from_dict(modality: str, fields: Mapping[str, object]) -> Spec:
    """Builds the spec of a modality from JSON values; absent fields take their defaults.

    Raises:
      errors.ConfigError: unknown modality or field, a value of the wrong type or out of range.
    """
    cls = _lookup(SPECS, modality, "modality")
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in fields.items():
        if key not in hints:
            known = ", ".join(hints)
            raise errors.ConfigError(
                f"{modality} preprocessing has no field {key!r}; it has "
                f"{known}.{errors.nearest(key, hints)}"
            )
        values[key] = _typed(f"{modality} preprocessing field {key!r}", hints[key], value)
    return cls(**values)


# Raised where the same file and spec give other numbers than before, in any preset, so that vectors
# of before and after are of different preprocessing.
# 2: which track, times as a player shows them, the length that a file states, joined files.
_READING: dict[type, int] = {VideoSpec: 2, AudioSpec: 2}


def digest(spec: Spec) -> str:
    """Returns 16 hex digits that change whenever the preprocessing does.

    Stable between runs, machines and versions that do the same.
    """
    fields = to_dict(spec)
    content = [type(spec).__name__, {name: fields[name] for name in _telling(spec)}]
    text = json.dumps([*content, *_version(spec)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def told(spec: Spec) -> str:
    """A spec as text, for digests of what holds it: its `repr`, without fields as `digest`."""
    fields = [f"{name}={getattr(spec, name)!r}" for name in _telling(spec)]
    return f"{type(spec).__name__}({', '.join([*fields, *_version(spec)])})"


def _version(spec: Spec) -> list[str]:
    """How files are read, unless it is as it always was."""
    return [f"reading {_READING[type(spec)]}"] if type(spec) in _READING else []


def _telling(spec: Spec) -> list[str]:
    """Fields that tell a spec from others: those that came later only where they change it."""
    return [
        field.name
        for field in dataclasses.fields(spec)
        if "before" not in field.metadata or getattr(spec, field.name) != field.metadata["before"]
    ]


def _typed(what: str, hint: object, value: object) -> object:
    """Returns `value` as the annotated type; JSON made ints of floats and lists of tuples."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for kind in kinds:
        if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
            each, *others = typing.get_args(kind)
            fits = others == [...] or len(value) == 1 + len(others)
            if fits and all(map(_is_number if each is float else _is_whole, value)):
                return tuple(map(each, value))
        if kind is float and _is_number(value):
            return float(value)
        if kind in (int, bool, str, types.NoneType) and type(value) is kind:
            return value
    expected = "three numbers" if hint == RGB else str(getattr(hint, "__name__", hint))
    raise errors.ConfigError(f"{what} is {value!r}, expected {expected}")


def _is_whole(value: object) -> bool:
    return type(value) is int


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _lookup(table: Mapping[str, typing.Any], key: str, what: str) -> typing.Any:
    if key not in table:
        raise errors.ConfigError(
            f"no {what} {key!r}; expected one of {', '.join(table)}.{errors.nearest(key, table)}"
        )
    return table[key]
