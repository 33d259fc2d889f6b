"""How pictures are prepared, as foreign folders state it: followed, or refused by name.

`preprocessor_config.json`, or `image_processor` in `processor_config.json`, of transformers, and
`preprocess_cfg` of OpenCLIP. Both resize the short side with an antialiased bicubic kernel, crop
the centre and normalise, which is what is done here; what they may ask for besides is refused.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lb_jax.convert import fields
from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"

# What both take where nothing is stated, and `lb_jax.media.specs` too.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
WHITE = 255.0
MAX_DEPTH_M = 10.0  # of a depth map that states none
_CLIP = "CLIPImageProcessor"
# The classes that do the same with the same fields.
_CLASSES = (_CLIP, f"{_CLIP}Fast", f"{_CLIP}Pil", "CLIPFeatureExtractor")
# What changes no picture: names, and how arrays are handed over.
_NEUTRAL = {
    *("image_processor_type", "feature_extractor_type", "processor_class", "auto_map"),
    *("do_convert_rgb", "default_to_square", "data_format", "input_data_format", "return_tensors"),
    *("device", "disable_grouping", "_valid_processor_keys", "do_reduce_labels", "crop_size"),
    *("size", "resample", "rescale_factor", "image_mean", "image_std", "do_rescale"),
    *("do_resize", "do_center_crop", "do_normalize", "transformers_version"),
}
_BICUBIC = (3, "bicubic")
_RESAMPLE = {"bicubic": _BICUBIC[0], "bilinear": 2}  # Pillow's number of a spec's kernel
_KERNELS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}

_NUMBER = fields.number(-fields.MOST, fields.MOST)
_THREE: fields.Check = (
    lambda value: (
        _NUMBER[0](value)
        or (isinstance(value, list | tuple) and len(value) == 3 and all(map(_NUMBER[0], value)))
    ),
    "three numbers or one",
)
_DEVIATION: fields.Check = (
    lambda value: _THREE[0](value) and min([value] if _NUMBER[0](value) else value) > 0,
    "three numbers above 0 or one",
)
_SWITCH = fields.none_or((lambda value: type(value) is bool, "true or false"))
_CHECKS = {
    "image_mean": fields.none_or(_THREE),
    "image_std": fields.none_or(_DEVIATION),
    "rescale_factor": fields.none_or(fields.number(1e-9)),
    **dict.fromkeys(("do_resize", "do_center_crop", "do_rescale", "do_normalize"), _SWITCH),
    "mean": fields.none_or(_THREE),
    "std": fields.none_or(_DEVIATION),
}


def of_hf(
    folder: Mapping[str, Mapping[str, Any]], side: int, modality: str, where: object
) -> dict[str, Any]:
    """What the files of a Hugging Face folder fix of a modality's preprocessing spec.

    Args:
      folder: content of its JSON files by name.
      side: of the pictures that the tower takes.
      modality: what the tower is used for; sound has a spec of its own.
      where: for messages.

    Raises:
      CheckpointError: naming every field that asks for what is not done here.
    """
    given = stated(folder, where)
    if given is None or modality == "audio":
        return {}
    fields.require(fields.problems(given, _CHECKS, f"{PREPROCESSOR}: "), where)
    usual = {"do_resize": True, "do_center_crop": True, "do_rescale": True, "do_normalize": True}
    does = {
        name: default if given.get(name) is None else given[name] for name, default in usual.items()
    }
    other = _asks_for_other(given, does, side, modality)
    if other:
        raise _refusal(where, PREPROCESSOR, other)
    factor = given.get("rescale_factor") or 1 / WHITE
    white = WHITE * factor if does["do_rescale"] else WHITE  # what 255 becomes
    mean, std = _three(given.get("image_mean")), _three(given.get("image_std"))
    if not does["do_normalize"]:
        mean, std = (0.0,) * 3, (1.0,) * 3
    mean, std = mean or CLIP_MEAN, std or CLIP_STD
    found = {"mean": [one / white for one in mean], "std": [one / white for one in std]}
    return {} if are_usual(found) else found


def stated(folder: Mapping[str, Mapping[str, Any]], where: object) -> Mapping[str, Any] | None:
    """The settings of the image processor, None where a folder states none.

    transformers looks into `processor_config.json` first.
    """
    nested = folder.get(PROCESSOR, {}).get("image_processor")
    if nested is not None:
        return fields.as_object(nested, f"{where}: {PROCESSOR}: image_processor")
    return folder.get(PREPROCESSOR)


def _asks_for_other(
    given: Mapping[str, Any], does: Mapping[str, bool], side: int, modality: str
) -> list[str]:
    """What a `preprocessor_config.json` asks for that is not done here."""
    kind = given.get("image_processor_type") or given.get("feature_extractor_type") or _CLIP
    found = [] if kind in _CLASSES else [f"image_processor_type={kind!r} (known: {_CLIP})"]
    found += [
        f"{name}={value!r}" for name, value in given.items() if name not in _NEUTRAL and value
    ]
    found += [f"{name}=False" for name in ("do_resize", "do_center_crop") if not does[name]]
    size = given.get("size")
    squashes = isinstance(size, list | tuple) or (
        isinstance(size, Mapping) and not size.get("shortest_edge")
    )
    if isinstance(size, int) and given.get("default_to_square"):
        squashes = True
    ends = size.get("longest_edge") if isinstance(size, Mapping) else None
    if not squashes and ends:
        found.append(f"size={size!r} (done here: the short side becomes {side}, however long)")
    elif squashes:
        found.append(
            f"size={size!r} (done here: the short side becomes {side}, nothing is squashed)"
        )
    short = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if not (squashes or ends) and short not in (None, side):
        found.append(f"size={size!r} (done here: the short side becomes the tower's {side})")
    crop = given.get("crop_size")
    sides = [crop.get("height"), crop.get("width")] if isinstance(crop, Mapping) else crop
    if sides not in (None, side, [side, side]):
        found.append(f"crop_size={crop!r} (the tower takes {side})")
    # frames of a video are resized as the preset says
    if given.get("resample", 3) not in (*_BICUBIC, None) and not MODALITIES[modality].has_frames:
        name = (
            _KERNELS.get(given["resample"], given["resample"])
            if _hashable(given["resample"])
            else "?"
        )
        found.append(f"resample={given['resample']!r}, {name} (done here: 3, bicubic)")
    return found


def _hashable(value: Any) -> bool:
    return isinstance(value, int | str)


def of_open_clip(
    given: Mapping[str, Any], image_size: tuple[int, int], modality: str, where: object
) -> dict[str, Any]:
    """What a `preprocess_cfg` fixes of a modality's preprocessing spec; as OpenCLIP, it passes over
    fields that it does not know.

    Raises:
      CheckpointError: naming every field that asks for what is not done here.
    """
    if modality == "audio":
        return {}
    given = {name: value for name, value in given.items() if value is not None}
    fields.require(fields.problems(given, _CHECKS, "preprocess_cfg."), where)
    other = [
        f"{name}={given[name]!r} (done here: {values[0]!r})"
        for name, values in _OPEN_CLIP.items()
        if name in given
        and given[name] not in values
        and not (name == "interpolation" and MODALITIES[modality].has_frames)
    ]
    size = given.get("size", image_size)
    if (size if isinstance(size, int) else list(size)) not in (image_size[0], list(image_size)):
        other.append(f"{size=!r} (the tower takes {list(image_size)})")
    if other:
        raise _refusal(where, "preprocess_cfg", other)
    return {
        name: given[name] if isinstance(given[name], list) else list(_three(given[name]))
        for name in ("mean", "std")
        if name in given
    }


# Fields of OpenCLIP and the values that ask for what is done here; `random` is of training alone.
_OPEN_CLIP = {
    "mode": ("RGB",),
    "interpolation": ("bicubic", "random"),
    "resize_mode": ("shortest",),
}


def _refusal(where: object, file: str, other: Sequence[str]) -> errors.CheckpointError:
    return errors.CheckpointError(
        f"{where}: {file} asks for {', '.join(other)}, so images would not get the numbers the "
        "model was trained on; take these fields out to load it regardless."
    )


def _three(value: Any) -> tuple[float, ...] | None:
    """One number for all channels, or one for each."""
    if value is None:
        return None
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(map(float, value))


def numbers(spec: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Mean and deviation of a preprocessing spec's fields."""
    return list(spec.get("mean", CLIP_MEAN)), list(spec.get("std", CLIP_STD))


def are_usual(spec: Mapping[str, Any]) -> bool:
    """Whether a spec normalises with CLIP's numbers."""
    pairs = zip(numbers(spec), (CLIP_MEAN, CLIP_STD), strict=True)
    return all(
        math.isclose(a, b, rel_tol=1e-6)
        for one, two in pairs
        for a, b in zip(one, two, strict=True)
    )


def to_hf(spec: Mapping[str, Any], side: int) -> dict[str, Any]:
    """The `preprocessor_config.json` that says what a spec does."""
    mean, std = numbers(spec)
    return {
        "image_processor_type": _CLIP,
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": _RESAMPLE[spec.get("kernel", "bicubic")],
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / WHITE,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }


def differences(spec: Mapping[str, Any], modality: str) -> list[str]:
    """What transformers does otherwise than a spec that `to_hf` states, and what it takes."""
    found = []
    if not spec.get("antialias", True):
        found.append(
            "transformers smooths a picture as it shrinks it, these weights were made without; "
            f"pictures whose short side is {spec.get('size', 'the model’s')} pixels are the same"
        )
    if modality == "depth":
        top = spec.get("max_depth_m", MAX_DEPTH_M)
        white = f"{top:g} m" if top else "the largest depth of the picture"
        found.append(f"give maps as 8-bit pictures, black at 0 and white at {white}")
    if modality == "thermal":
        found.append("give readings as 8-bit pictures")
    return found


def to_open_clip(spec: Mapping[str, Any], side: int) -> dict[str, Any]:
    """The `preprocess_cfg` that says what a spec does."""
    mean, std = numbers(spec)
    plain: dict[str, Any] = {name: values[0] for name, values in _OPEN_CLIP.items()}
    plain["interpolation"] = spec.get("kernel", plain["interpolation"])
    return {"size": side, **plain, "mean": mean, "std": std}
