"""Infrared pictures of a clip's frames, translated by MUNIT (generators spec 2.6 and 2.7).

The preset `reference` does what LanguageBind's script did: every frame is stretched to one size,
drawn in a style of its own and scaled by its own darkest and brightest place. Styles had no seed
there. `default` keeps the shape, and a clip has one style and one scale, so that what is warm in
one frame is as bright in the next.
"""

import dataclasses
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from PIL import Image

from lb_jax.builder import picked, resizing
from lb_jax.builder.spread import Spread
from lb_jax.convert import hub
from lb_jax.convert import munit as convert
from lb_jax.core import checkpoint, fields
from lb_jax.models import munit

FOLDER = "{id}_thermal_folder"
THERMAL, RGB = convert.DOMAINS
# What is needed of both generators: the content of RGB, decoded as thermal.
PARTS = {RGB: ("content",), THERMAL: ("mlp", "decoder")}
OF = ("clip", "frame")  # what has one style, or one scale
FORMATS = ("jpg", "png")
LEAST_RANGE = 1e-5  # of a scale, so that one grey is no division by 0


@dataclasses.dataclass(frozen=True)
class InfraredOptions:
    """What becomes of frames before and behind the network.

    Attributes:
      frames: which are taken.
      first: height and width that every frame is stretched to; None keeps the shape.
      short, longest: of a frame whose shape is kept, about, pixels: the shorter side that the
        network sees, and the longer one that is not exceeded for it.
      multiple: of both sides then.
      in_antialias: of that resize, which is bilinear. The script's depends on the version of
        torchvision: without it as its notes name one, with it since 0.17.
      kernel, antialias: of the resize to the written size, see `media.kernels`.
      out_short: shorter side of what is written, pixels.
      out_sides: how the longer one follows, a row of `resizing.RULES`.
      style: whether each clip or each frame has a style of its own.
      scale: whether darkest and brightest are those of the clip or of each frame.
      seed: of the styles; one follows from it, the film's name and the frame's number.
      format: "jpg", or "png", which loses nothing.
      quality: of JPEG, 1 to 95.
    """

    frames: picked.Frames = picked.USUAL
    first: resizing.Sides | None = None
    short: int = 384  # the translator was trained with 400 x 640
    longest: int = 1024
    multiple: int = 32
    in_antialias: bool = True
    kernel: str = "bilinear"  # which does not overshoot
    antialias: bool = True
    out_short: int = 256
    out_sides: str = "rounded"
    style: str = "clip"
    scale: str = "clip"
    seed: int = 0
    format: str = "jpg"
    quality: int = 95

    def __post_init__(self):
        for name in ("short", "longest", "multiple", "out_short", "quality"):
            value = getattr(self, name)
            fields.require(value >= 1, f"{name} is {value}, expected at least 1.")
        resizing.require_kernel(self.kernel, self.antialias)
        fields.require_choice("out_sides", self.out_sides, tuple(resizing.RULES))
        fields.require_choice("style", self.style, OF)
        fields.require_choice("scale", self.scale, OF)
        fields.require_choice("format", self.format, FORMATS)
        fields.require(self.quality <= 95, f"quality is {self.quality}, expected 1 to 95.")
        fields.require(self.seed >= 0, f"seed is {self.seed}, expected a number from 0 on.")


PRESETS = {
    "default": InfraredOptions(),
    "reference": InfraredOptions(
        frames=picked.Frames(rule="script", as_stored=True),
        first=(400, 640),
        in_antialias=False,
        kernel="bicubic",
        antialias=False,
        out_sides="script",
        style="frame",
        scale="frame",
        quality=75,
    ),
}


class Translator:
    """RGB to thermal on all devices.

    Args:
      cfg, params: as `convert.munit.load` gives them; `PARTS` are enough.
      source: how records call the weights.
      devices, batch_size: see `Spread`.
    """

    def __init__(
        self,
        cfg: munit.MunitConfig,
        params: Mapping[str, Any],
        *,
        source: str,
        devices: Sequence[jax.Device] | None = None,
        batch_size: int | None = None,
    ):
        self.cfg = cfg
        used = {name: params[domain][name] for domain, names in PARTS.items() for name in names}
        digest = checkpoint.digest(used)
        self.made_by = {"network": "MUNIT", "weights": source, "digest": digest}
        self._run = Spread(program(cfg), used, devices=devices, batch_size=batch_size)
        self.batch_size = self._run.batch_size

    def __call__(self, pictures: np.ndarray, styles: np.ndarray) -> np.ndarray:
        """float32 [n, h, w, 3] in -1..1, [n, s] -> [n, h', w', 3] in -1..1; see `munit`."""
        return self._run(pictures, styles)


def load(
    source: str | Path,
    *,
    devices: Sequence[jax.Device] | None = None,
    batch_size: int | None = None,
) -> Translator:
    """Opens sRGB-TIR's `translation_weights.pt`, or a folder with it.

    Raises:
      ConfigError: for a name that is neither here nor to be had.
      CheckpointError: when the weights cannot be read or are not those of a MUNIT.
    """
    cfg, params = convert.load(source, PARTS)
    called = hub.called(source)
    return Translator(cfg, params, source=called, devices=devices, batch_size=batch_size)


def program(cfg: munit.MunitConfig) -> Callable[..., jax.Array]:
    """(params of `PARTS` by name, [b, h, w, 3], [b, s]) -> [b, h', w', 3]."""
    make = lambda: munit.Generator(cfg, rngs=nnx.Rngs(params=0))  # noqa: E731
    whole = nnx.eval_shape(make)
    graphs = {
        name: nnx.split(getattr(whole, name))[0] for names in PARTS.values() for name in names
    }

    def run(params: Any, pictures: jax.Array, styles: jax.Array) -> jax.Array:
        made = {name: nnx.merge(graph, params[name]) for name, graph in graphs.items()}
        return munit.translate(made["content"], made["mlp"], made["decoder"], pictures, styles)

    return run


def styles(seed: int, name: str, count: int, length: int, of: str) -> np.ndarray:
    """Styles of a film's frames, float32 [count, length], normally distributed.

    A frame's follows from seed, name and number alone: what else is made makes no difference.

    Args:
      seed: of the run.
      name: of the film.
      count: of frames.
      length: of a style.
      of: a row of `OF`; "clip" gives every frame that of the first.
    """
    words = np.frombuffer(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest(), "<u4")
    numbers = [0] * count if of == "clip" else range(count)
    drawn = (np.random.default_rng([seed, *words.tolist(), number]) for number in numbers)
    return np.stack([one.standard_normal(length, np.float32) for one in drawn])


class Infrared:
    """A `generators.Generator` of infrared pictures.

    Args:
      translator: the network.
      options: the rest.
    """

    modality, folder = "thermal", FOLDER

    def __init__(self, translator: Translator, options: InfraredOptions = PRESETS["default"]):
        self._translator, self.options = translator, options
        self.frames, self.batch_size = options.frames, translator.batch_size

    @property
    def record(self) -> dict[str, Any]:
        """Everything that the pictures depend on besides the film, as JSON values."""
        return {**self._translator.made_by, "options": dataclasses.asdict(self.options)}

    def prepare(self, frames: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """What `run` takes of frames, uint8 [t, h, w, 3], of a film of that name."""
        options = self.options
        drawn = styles(
            options.seed, name, len(frames), self._translator.cfg.style_dim, options.style
        )
        return self.pictures(frames), drawn

    def pictures(self, frames: np.ndarray) -> np.ndarray:
        """What the network sees of frames: uint8 [t, h, w, 3] -> float32 [t, h', w', 3], -1..1."""
        options = self.options
        sides = options.first or resizing.fitting(
            *frames.shape[1:3],
            short=options.short,
            longest=options.longest,
            multiple=options.multiple,
        )
        found = np.empty((len(frames), *sides, 3), np.float32)
        for frame, out in zip(frames, found, strict=True):
            x = (frame.astype(np.float32) / 255 - 0.5) / 0.5
            out[:] = resizing.by_weights(x, sides, "bilinear", options.in_antialias)
        return found

    def run(self, pictures: np.ndarray, styles: np.ndarray) -> np.ndarray:
        """[t, h', w', 3] in -1..1."""
        return self._translator(pictures, styles)

    def finish(self, translated: np.ndarray, sides: resizing.Sides) -> list[np.ndarray]:
        """Thermal pictures, uint8 [h, w, 3] of each frame.

        Args:
          translated: [t, h', w', 3] in -1..1.
          sides: of the film's frames.
        """
        found = self.resized(translated, sides)
        if self.options.scale == "clip":
            return scaled(found, found)
        return [picture for one in found for picture in scaled([one], [one])]

    def resized(self, translated: np.ndarray, sides: resizing.Sides) -> list[np.ndarray]:
        """Translated pictures at the size that is written, before they are scaled."""
        options = self.options
        sides = resizing.RULES[options.out_sides](*sides, options.out_short)
        return [
            resizing.by_weights((one + 1) / 2, sides, options.kernel, options.antialias)
            for one in translated
        ]

    def write(self, folder: Path, pictures: Sequence[np.ndarray]) -> None:
        """Writes `0.jpg`, `1.jpg`, … by Pillow, or png."""
        for number, picture in enumerate(pictures):
            content = io.BytesIO()
            if self.options.format == "jpg":
                Image.fromarray(picture).save(content, "JPEG", quality=self.options.quality)
            else:
                Image.fromarray(picture).save(content, "PNG")
            (folder / f"{number}.{self.options.format}").write_bytes(content.getvalue())


def scaled(pictures: Sequence[np.ndarray], by: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pictures as uint8: 0 is the smallest number of those they are scaled by, 255 the largest."""
    low, high = min(one.min() for one in by), max(one.max() for one in by)
    span = np.float32(max(high - low, LEAST_RANGE))
    return [
        np.clip((one - low) / span * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
        for one in pictures
    ]
