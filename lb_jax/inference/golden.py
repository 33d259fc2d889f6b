"""Golden vectors: what a model gave where it was right, kept beside its weights, and compared.

On two levels, so that a difference tells where it comes from: `preprocessing`, of media made by
formulas, and `tower`, of arrays made by formulas.
"""

import base64
import binascii
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lb_jax.core import checkpoint, errors, notices
from lb_jax.core.modalities import TEXT
from lb_jax.inference import encoder
from lb_jax.media import given, preprocess, specs
from lb_jax.media.sensors import cameras

FORMAT = "lb_jax-golden-1"
SENTENCE = "a red circle moves to the left while a dog barks twice"
SHOWN = 8  # values of a vector that people can read
PREPROCESSING_TOLERANCE = 1e-4  # of normalised values; libraries differ in their last bits
# Largest difference of one element of a unit vector, by dtype. Accelerators round more than CPUs
# in float32 too, where products are computed with fewer bits.
TOLERANCES = {"float32": 1e-5, "bfloat16": 0.05}
ACCELERATOR_TOLERANCE = 5e-3


@dataclasses.dataclass(frozen=True)
class Compared:
    """One modality on one level.

    Attributes:
      modality: its name.
      level: "preprocessing" or "tower".
      difference: the largest one.
      tolerance: largest that is all right.
      rounding: largest that fewer bits in an accelerator's products explain.
    """

    modality: str
    level: str
    difference: float
    tolerance: float
    rounding: float


def media(modality: str) -> given.Media:
    """Media that are the same on every machine, with no file to decode.

    Returns:
      uint8 [96, 128, 3] (image, thermal), uint16 [96, 128] in millimetres (depth), uint8
      [12, 96, 128, 3] (video), (float32 [24000], 16000) (audio), (float64 [1000, 6], 100) in m/s2
      and rad/s (imu), a sentence (text).
    """
    t, y, x, c = np.ogrid[:12, :96, :128, :3]
    clip = ((7 * t + 3 * y + 2 * x + 50 * c + (x * y) // 16) % 256).astype(np.uint8)
    n = np.arange(24_000)
    wave = ((n * (50 + n // 600)) % 1600 / 800 - 1).astype(np.float32)  # a saw that rises
    made: dict[str, given.Media] = {
        "video": clip,
        "image": clip[0],
        "thermal": clip[5],
        "depth": (500 + 30 * y[0] + 20 * x[0] + 0 * c[0])[..., 0].astype(np.uint16),
        "audio": (0.3 * wave, 16_000),
        "imu": (_swaying(), 100.0),
        TEXT: SENTENCE,
    }
    return made[modality]


def _swaying() -> np.ndarray:
    """A sensor that sways about an axis: gravity turns against it as its gyroscope says."""
    seconds = np.arange(1000) / 100
    angle, turning = 0.8 * np.sin(2 * seconds), 1.6 * np.cos(2 * seconds)
    nothing = np.zeros_like(seconds)
    down = (0.5 * np.sin(9 * seconds), 9.8 * np.sin(angle), 9.8 * np.cos(angle))
    return np.stack([*down, turning, nothing, nothing], axis=1)


def array(model: encoder.Encoder, modality: str) -> np.ndarray:
    """Input of a tower with every value between -1 and 1: float32 [1, ...]."""
    shape = (1, *specs.shape(model.specs[modality]))
    numbers = np.arange(np.prod(shape), dtype=np.int64)
    return ((numbers * 7919 + numbers // 31) % 1009 / 504 - 1).astype(np.float32).reshape(shape)


def sums(prepared: np.ndarray) -> list[float]:
    """Means that change with any change of the array: plain, squared, by place, and eight values.

    The weights of a place have no short period, so that mirrored or swapped values show.
    """
    flat = prepared.astype(np.float64).ravel()
    places = np.arange(flat.size) * 0.6180339887498949 % 1
    picked = flat[np.linspace(0, flat.size - 1, SHOWN).astype(int)]
    return [flat.mean(), (flat**2).mean() ** 0.5, 2 * (flat * places).mean(), *picked]


def write_golden(model: encoder.Encoder) -> Path:
    """Writes `golden.json` into the checkpoint that a model was loaded from.

    Raises:
      ConfigError: for weights that are no checkpoint of this package, or loaded in another type.
      CheckpointError: when the disk does not take it.
    """
    if model.folder is None:
        raise errors.ConfigError(
            "golden vectors lie in a checkpoint of this package, which this is not; write one with "
            "`lb-jax convert SRC DST --to=safetensors`."
        )
    if np.dtype(model.dtype).name != "float32":
        raise errors.ConfigError(
            f"golden vectors are those of float32; the model was loaded as {model.dtype}."
        )
    rows = {}
    for name in model.inputs:
        found = prepared(model, name)
        taken = found if name == TEXT else array(model, name)
        [vector] = model.encode(name, taken)
        rows[name] = {
            "preprocessing": sums(found),
            "first": [round(float(value), 6) for value in vector[:SHOWN]],
            "vector": base64.b64encode(vector.astype("<f4").tobytes()).decode(),
        }
        if name == TEXT:
            rows[name]["ids"] = found[0].tolist()
    path = model.folder / checkpoint.GOLDEN
    try:
        checkpoint.write_json(path, {"format": FORMAT, "model": model.digest, "modalities": rows})
    except OSError as error:
        raise errors.CheckpointError(
            f"{path}: cannot be written ({error.strerror or error}); copy the checkpoint to "
            "another place."
        ) from error
    return path


def read(folder: Path) -> dict[str, Any]:
    """Reads `golden.json` of a checkpoint; empty when there is none.

    Raises:
      CheckpointError: when it is damaged.
    """
    path = Path(folder) / checkpoint.GOLDEN
    if not path.is_file():
        return {}
    stored = checkpoint.read_json(path)
    try:
        if stored["format"] != FORMAT:
            raise ValueError(f'"format" is {stored["format"]!r}, expected {FORMAT!r}')
        rows = {
            name: {
                "preprocessing": np.array(row["preprocessing"], np.float64),
                "vector": np.frombuffer(base64.b64decode(row["vector"], validate=True), "<f4"),
                "ids": np.array([row.get("ids", ())], np.int32),
            }
            for name, row in stored["modalities"].items()
        }
        return {"model": str(stored["model"]), "modalities": rows}
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise errors.CheckpointError(
            f"{path}: not golden vectors of this version ({type(error).__name__}: {error}); write "
            "them again with `lb-jax doctor --write-golden` where the model is right."
        ) from error


def compare(model: encoder.Encoder, golden: dict[str, Any], modality: str) -> Iterator[Compared]:
    """Compares a model with golden vectors, one `Compared` for each level of a modality."""
    row = golden["modalities"][modality]
    found = prepared(model, modality)
    yield Compared(
        modality,
        "preprocessing",
        _difference(np.array(sums(found)), row["preprocessing"]),
        PREPROCESSING_TOLERANCE,
        PREPROCESSING_TOLERANCE,
    )
    [vector] = model.encode(modality, row["ids"] if modality == TEXT else array(model, modality))
    tolerance = TOLERANCES[np.dtype(model.dtype).name]
    rounding = (
        tolerance if jax.default_backend() == "cpu" else max(tolerance, ACCELERATOR_TOLERANCE)
    )
    yield Compared(modality, "tower", _difference(vector, row["vector"]), tolerance, rounding)


def prepared(model: encoder.Encoder, modality: str) -> np.ndarray:
    """`media` as the encoder takes it, [1, ...], with nothing said about what it shows."""
    with notices.collected():  # the thermal picture has colours
        spec = model.specs[modality]
        if isinstance(spec, specs.DepthSpec) and spec.form == "disparity" and spec.focal_px is None:
            known = dataclasses.replace(spec, **cameras.parse("kinect"))
            return preprocess.preprocess(modality, [media(modality)], known)
        return model.preprocess(modality, [media(modality)])


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
