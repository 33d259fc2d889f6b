"""The preprocessing of each modality as data.

One frozen dataclass per modality, stored inside checkpoints: `picture_specs` and `timed_specs` hold
them, this module their table.

`PRESETS["default"]` is the sound choice, `PRESETS["reference"]` what the released weights were
trained with (LanguageBind spec section 5); `presets` says what differs.
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping

from lb_jax.core import errors, modalities
from lb_jax.media import presets
from lb_jax.media.picture_specs import (
    CLIP_MEAN,
    CLIP_STD,
    RGB,
    THERMAL_UNITS,
    DepthSpec,
    ImageSpec,
    PictureSpec,
    ThermalSpec,
)
from lb_jax.media.timed_specs import RESAMPLERS, AudioSpec, ImuSpec, VideoSpec
from lb_jax.text import spec as text_spec

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "RESAMPLERS",
    "RGB",
    "THERMAL_UNITS",
    "PictureSpec",
]

Spec = ImageSpec | DepthSpec | ThermalSpec | VideoSpec | AudioSpec | ImuSpec | text_spec.TextSpec

SPECS = {
    "image": ImageSpec,
    "video": VideoSpec,
    "depth": DepthSpec,
    "thermal": ThermalSpec,
    "audio": AudioSpec,
    "imu": ImuSpec,
    modalities.TEXT: text_spec.TextSpec,
}


def _preset(changes: Mapping[str, Mapping[str, typing.Any]]) -> dict[str, Spec]:
    return {name: cls(**changes.get(name, {})) for name, cls in SPECS.items()}


PRESETS: dict[str, dict[str, Spec]] = {
    name: _preset(changes) for name, changes in presets.CHANGES.items()
}

# Of a spec of films that are several views: one of the whole film.
ONE_CLIP = {"clip_s": None, "clips": 1, "crops": 1}
# VALOR's augmentation of MSR-VTT, and of captions of MSVD, in place of `shape` and `train_crop`.
CROP_FLIP = {"shape": "square", "train_crop": "resized", "train_flip": 0.5}
# What pictures are normalised by: CLIP's encoders by its own, others by that of ImageNet, thermal
# pictures of ImageBind not at all.
STATISTICS: dict[str, dict[str, RGB]] = {
    "clip": {"mean": CLIP_MEAN, "std": CLIP_STD},
    "plain": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},  # 0..1
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
    return isinstance(spec, VideoSpec) and (spec.choice != "spread" or spec.clip_s is not None)


def shape(spec: Spec) -> tuple[int, ...]:
    """Shape of the array that a spec makes of an item."""
    match spec:
        case AudioSpec(layout="slices"):
            return spec.clips, spec.mel_bins, spec.target_frames
        case AudioSpec(layout="whole"):
            return spec.target_frames, spec.mel_bins, 1
        case AudioSpec(layout="windows"):
            return spec.clips, spec.mel_bins, spec.target_frames, 1
        case AudioSpec():
            return spec.mel_bins, spec.target_frames, 3
        case VideoSpec(clip_s=None):
            return spec.frames, spec.size, spec.size, 3
        case VideoSpec():
            return spec.clips * spec.crops, spec.frames, spec.size, spec.size, 3
        case ThermalSpec() | DepthSpec():
            return spec.size, spec.size, spec.channels
        case PictureSpec():
            return spec.size, spec.size, 3
        case ImuSpec():
            return spec.samples, 6
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
    if key not in tuple(table):  # what is no name need not have a hash
        raise errors.ConfigError(
            f"no {what} {key!r}; expected one of {', '.join(table)}.{errors.nearest(key, table)}"
        )
    return table[key]
