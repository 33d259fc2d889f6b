"""Depth pictures of a clip's frames: millimetres in 16-bit PNG (generators spec 1.6 and 1.7).

The preset `reference` does what LanguageBind's script did: every frame is stretched to one size,
whatever its shape, and millimetres are cut off at 10 m. `default` keeps the shape.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lb_jax.builder import picked, resizing
from lb_jax.builder.spread import Spread
from lb_jax.convert import glpn as convert
from lb_jax.convert import hub
from lb_jax.core import checkpoint, errors, fields
from lb_jax.models import layers
from lb_jax.models.glpn import Glpn, GlpnConfig

FOLDER = "{id}_depth_f8glpn_folder"
MOST = np.iinfo(np.uint16).max
ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nearest": np.rint,
    "truncate": np.trunc,
}


@dataclasses.dataclass(frozen=True)
class DepthOptions:
    """What becomes of frames before and behind the network.

    Attributes:
      frames: which are taken.
      first: height and width that every frame is stretched to, by OpenCV; the network then sees
        both rounded down to its multiple, by Pillow. None keeps the shape, in one resize.
      short, longest: of a frame whose shape is kept, about, pixels: the shorter side that the
        network sees, and the longer one that is not exceeded for it.
      kernel, antialias: of the resize of metres to the written size, see `media.kernels`.
      out_short: shorter side of what is written, pixels.
      out_sides: how the longer one follows, a row of `resizing.RULES`.
      most_m: metres beyond which depth is cut off; None is what 16 bits hold.
      units: of what is written, for a metre.
      rounding: a row of `ROUNDINGS`.
      compression: of the PNG, 0 to 9; none of them loses anything.
    """

    frames: picked.Frames = picked.USUAL
    first: resizing.Sides | None = None
    short: int = 480  # of the pictures that glpn-nyu was trained with
    longest: int = 1152
    kernel: str = "bilinear"  # which does not overshoot
    antialias: bool = True
    out_short: int = 256
    out_sides: str = "rounded"
    most_m: float | None = None
    units: int = 1000
    rounding: str = "nearest"
    compression: int = 3

    def __post_init__(self):
        for name in ("short", "longest", "out_short", "units"):
            value = getattr(self, name)
            fields.require(value >= 1, f"{name} is {value}, expected at least 1.")
        resizing.require_kernel(self.kernel, self.antialias)
        fields.require_choice("out_sides", self.out_sides, tuple(resizing.RULES))
        fields.require_choice("rounding", self.rounding, tuple(ROUNDINGS))
        fields.require(
            self.most_m is None or 0 < self.most_m * self.units <= MOST,
            f"most_m is {self.most_m}, expected metres of which 16 bits hold {self.units} units.",
        )
        fields.require(
            0 <= self.compression <= 9, f"compression is {self.compression}, expected 0 to 9."
        )


PRESETS = {
    "default": DepthOptions(),
    "reference": DepthOptions(
        frames=picked.Frames(rule="script", as_stored=True),
        first=(796, 448),
        kernel="bicubic",
        antialias=False,
        out_sides="script",
        most_m=10.0,
        rounding="truncate",
        compression=0,
    ),
}


class DepthModel(Protocol):
    """What tells depth: a function of frames, in two steps.

    Attributes:
      batch_size: frames that it takes at once; a call may have any number.
      made_by: what is written down of it beside its pictures.
    """

    batch_size: int
    made_by: Mapping[str, Any]

    def prepare(self, frames: np.ndarray, options: DepthOptions) -> np.ndarray:
        """Frames, uint8 [t, h, w, 3], as the network takes them, [t, ...]."""
        ...

    def __call__(self, prepared: np.ndarray) -> np.ndarray:
        """Metres, float32 [t, h', w'], of frames of any size."""
        ...


class Given:
    """A function of one's own as a `DepthModel`.

    Args:
      metres: frames, uint8 [t, h, w, 3] -> metres, float [t, h', w'].
      made_by: what is written down of it.
      batch_size: frames that it takes at once.
    """

    def __init__(
        self,
        metres: Callable[[np.ndarray], np.ndarray],
        made_by: Mapping[str, Any],
        batch_size: int = 8,
    ):
        self._metres, self.made_by, self.batch_size = metres, dict(made_by), batch_size

    def prepare(self, frames: np.ndarray, options: DepthOptions) -> np.ndarray:
        """The frames as they are: what becomes of them is the function's business."""
        del options
        return frames

    def __call__(self, prepared: np.ndarray) -> np.ndarray:
        """Metres, float32 [t, h', w'].

        Raises:
          InternalError: the function gave something else.
        """
        found = np.asarray(self._metres(prepared), np.float32)
        if found.ndim != 3 or len(found) != len(prepared) or not found.size:
            raise errors.InternalError(
                f"{self.made_by.get('weights', 'the depth model')} gave {list(found.shape)} for "
                f"{len(prepared)} frames; expected [t, height, width]."
            )
        return found


class GlpnDepth:
    """GLPN as a `DepthModel`, on all devices.

    Args:
      cfg, params: as `convert.glpn.load` gives them.
      source: how records call the weights.
      devices, batch_size: see `Spread`.
    """

    def __init__(
        self,
        cfg: GlpnConfig,
        params: Mapping[str, Any],
        *,
        source: str,
        devices: Sequence[jax.Device] | None = None,
        batch_size: int | None = None,
    ):
        self.cfg = cfg
        digest = checkpoint.digest(params)
        self.made_by = {"network": "GLPN", "weights": source, "digest": digest}
        self._run = Spread(program(cfg), params, devices=devices, batch_size=batch_size)
        self.batch_size = self._run.batch_size

    def prepare(self, frames: np.ndarray, options: DepthOptions) -> np.ndarray:
        """uint8 [t, h, w, 3] -> uint8 [t, h', w', 3]; both sides are multiples of the network's."""
        multiple = self.cfg.multiple
        if options.first is None:
            sides = resizing.fitting(
                *frames.shape[1:3],
                short=options.short,
                longest=options.longest,
                multiple=multiple,
            )
        else:
            frames = np.stack([resizing.by_opencv(one, options.first) for one in frames])
            down, right = (side // multiple * multiple for side in options.first)
            sides = down, right
            fields.require(
                min(sides) > 0, f"first is {options.first}, expected sides from {multiple} on."
            )
        return np.stack([resizing.by_pillow(frame, sides) for frame in frames])

    def __call__(self, prepared: np.ndarray) -> np.ndarray:
        """uint8 [t, h', w', 3] -> metres, float32 [t, h', w']."""
        return self._run(prepared)


def load(
    source: str | Path = convert.PUBLISHED,
    *,
    devices: Sequence[jax.Device] | None = None,
    batch_size: int | None = None,
) -> GlpnDepth:
    """Opens a GLPN: a folder as transformers writes it, or a name on the hub.

    Raises:
      ConfigError: for a name that is neither here nor to be had.
      CheckpointError: when the weights cannot be read or are not a GLPN's.
    """
    cfg, params = convert.load(source)
    called = hub.called(source)
    return GlpnDepth(cfg, params, source=called, devices=devices, batch_size=batch_size)


def program(cfg: GlpnConfig) -> Callable[..., jax.Array]:
    """(params, uint8 [b, h, w, 3]) -> metres [b, h, w]."""
    attention = layers.usual_attention(jax.default_backend())
    make = lambda: Glpn(cfg, rngs=nnx.Rngs(params=0), attention=attention)  # noqa: E731
    graph, _ = nnx.split(nnx.eval_shape(make))

    def run(params: Any, frames: jax.Array) -> jax.Array:
        return nnx.merge(graph, params)(frames.astype(jnp.float32) / 255).depth

    return run


def units(metres: np.ndarray, options: DepthOptions) -> np.ndarray:
    """Metres, float32, as what is written, uint16 of the same shape."""
    most = MOST / options.units if options.most_m is None else options.most_m
    found = np.clip(metres, 0, most).astype(np.float32) * np.float32(options.units)
    return ROUNDINGS[options.rounding](found).astype(np.uint16)


class Depth:
    """A `generators.Generator` of depth pictures.

    Args:
      model: what tells depth.
      options: the rest.
    """

    modality, folder = "depth", FOLDER

    def __init__(self, model: DepthModel, options: DepthOptions = PRESETS["default"]):
        self._model, self.options = model, options
        self.frames, self.batch_size = options.frames, model.batch_size

    @property
    def record(self) -> dict[str, Any]:
        """Everything that the pictures depend on besides the film, as JSON values."""
        return {**self._model.made_by, "options": dataclasses.asdict(self.options)}

    def prepare(self, frames: np.ndarray, name: str) -> tuple[np.ndarray]:
        """uint8 [t, h, w, 3] -> what `run` takes, [t, ...]."""
        del name
        return (self._model.prepare(frames, self.options),)

    def run(self, prepared: np.ndarray) -> np.ndarray:
        """Metres, float32 [t, h', w']."""
        return self._model(prepared)

    def finish(self, metres: np.ndarray, sides: resizing.Sides) -> list[np.ndarray]:
        """Units, uint16 [h, w] of each frame.

        Args:
          metres: [t, h', w'].
          sides: of the film's frames.
        """
        options = self.options
        sides = resizing.RULES[options.out_sides](*sides, options.out_short)
        resized = (
            resizing.by_weights(one, sides, options.kernel, options.antialias) for one in metres
        )
        return [units(one, options) for one in resized]

    def write(self, folder: Path, pictures: Sequence[np.ndarray]) -> None:
        """Writes `0.png`, `1.png`, …"""
        for number, picture in enumerate(pictures):
            flags = [cv2.IMWRITE_PNG_COMPRESSION, self.options.compression]
            is_done, content = cv2.imencode(".png", picture, flags)
            if not is_done:
                raise OSError(f"{folder}: OpenCV could not encode a picture")
            (folder / f"{number}.png").write_bytes(content)
