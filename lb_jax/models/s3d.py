"""S3D-G: videos -> features by convolutions apart in space and time, with gates (MMV spec 1.2)."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import layers
from lb_jax.models.convolution import CONVOLUTIONS, BatchNorm, Conv, Features, require_shape

Axes = tuple[int, int, int]  # t, h, w

FOLD = 2  # frames, rows and columns that space-to-depth makes one of


class Pool(NamedTuple):
    """A layer that takes the largest of each window."""

    window: Axes
    strides: Axes


class Mixed(NamedTuple):
    """An Inception block: the channels of its four branches, and before those that see around."""

    branch_0: int
    before_1: int
    branch_1: int
    before_2: int
    branch_2: int
    branch_3: int

    @property
    def channels(self) -> int:
        """Of its map."""
        return self.branch_0 + self.branch_1 + self.branch_2 + self.branch_3


LAST = Mixed(384, 192, 384, 48, 128, 128)

# In their order; a number is the channels of a unit.
LAYERS: dict[str, Pool | Mixed | int] = {
    "conv_1a": 64,
    "pool_2a": Pool((1, 3, 3), (1, 2, 2)),
    "conv_2b": 64,
    "conv_2c": 192,
    "pool_3a": Pool((1, 3, 3), (1, 2, 2)),
    "mixed_3b": Mixed(64, 96, 128, 16, 32, 32),
    "mixed_3c": Mixed(128, 128, 192, 32, 96, 64),
    "pool_4a": Pool((3, 3, 3), (2, 2, 2)),
    "mixed_4b": Mixed(192, 96, 208, 16, 48, 64),
    "mixed_4c": Mixed(160, 112, 224, 24, 64, 64),
    "mixed_4d": Mixed(128, 128, 256, 24, 64, 64),
    "mixed_4e": Mixed(112, 144, 288, 32, 64, 64),
    "mixed_4f": Mixed(256, 160, 320, 32, 128, 128),
    "pool_5a": Pool((2, 2, 2), (2, 2, 2)),
    "mixed_5b": Mixed(256, 160, 320, 32, 128, 128),
    "mixed_5c": LAST,
}
# Layers from which on there may be gates, or windows of several frames.
STARTS = tuple(name for name in LAYERS if name == "conv_2c" or name.startswith("mixed"))
_IN_TIME = 3  # frames of such a window


@dataclasses.dataclass(frozen=True)
class S3DConfig:
    """Shape of the video tower.

    Attributes:
      space_to_depth: whether cubes of two frames, rows and columns become channels first.
      first_frames: window in time of the first convolution; None is the published one, 7, or 2
        behind `space_to_depth`.
      gated_from: the first layer of `LAYERS` with gates; None for no gates.
      temporal_from: the first layer that sees several frames; None for none.
    """

    space_to_depth: bool = False
    first_frames: int | None = None
    gated_from: str | None = "conv_2c"
    temporal_from: str | None = "conv_2c"

    def __post_init__(self):
        for name in ("gated_from", "temporal_from"):
            start = getattr(self, name)
            if start is not None and start not in STARTS:
                raise errors.ConfigError(
                    f"{name} {start!r}; give a layer of {', '.join(STARTS)}, or none."
                    f"{errors.nearest(str(start), STARTS)}"
                )
        if self.first_frames is not None and self.first_frames < 1:
            raise errors.ConfigError(
                f"first_frames {self.first_frames}; give a whole number from 1 on."
            )

    @property
    def width(self) -> int:
        """Of the features."""
        return LAST.channels

    @property
    def entry(self) -> tuple[int, Axes, Axes]:
        """The first convolution's input channels, window and strides."""
        if self.space_to_depth:
            return 3 * FOLD**3, (self.first_frames or 2, 4, 4), (1, 1, 1)
        return 3, (self.first_frames or 7, 7, 7), (2, 2, 2)

    def is_from(self, layer: str, start: str | None) -> bool:
        """Whether a layer is `start` or a later one."""
        order = list(LAYERS)
        return start is not None and order.index(layer) >= order.index(start)


def fold(video: jax.Array) -> jax.Array:
    """Space-to-depth: [b, t, h, w, c] -> [b, t / 2, h / 2, w / 2, 8 c], of t, then y, x, colour."""
    if odd := [size for size in video.shape[1:4] if size % FOLD]:
        raise ValueError(
            f"a video of shape {video.shape}, where space-to-depth takes even numbers of frames, "
            f"rows and columns, not {', '.join(map(str, odd))}; crop it."
        )
    pattern = "b (t i) (h j) (w k) c -> b t h w (i j k c)"
    return rearrange(video, pattern, i=FOLD, j=FOLD, k=FOLD)


class Gate(nnx.Module):
    """Multiplies each channel of [b, t, h, w, c] by what the clip's mean says of it, 0 to 1."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype):
        self.proj = layers.Linear(width, width, rngs=rngs, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, t, h, w, c] -> same."""
        mean = x.astype(jnp.float32).mean((1, 2, 3), keepdims=True)
        return x * jax.nn.sigmoid(self.proj(mean))


class Unit(nnx.Module):
    """[b, t, h, w, i] -> [b, t', h', w', o]: convolution, norm, ReLU; the same in time; a gate.

    Args:
      inputs, outputs: channels.
      window, strides: of the first convolution.
      frames: window of a second convolution, in time alone; None for none.
      gated: whether a gate follows.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        window: Axes = (1, 1, 1),
        strides: Axes = (1, 1, 1),
        *,
        frames: int | None = None,
        gated: bool = False,
        rngs: nnx.Rngs,
        dtype,
        convolution: str,
    ):
        options = {"rngs": rngs, "dtype": dtype, "convolution": convolution}
        self.conv = Conv(inputs, outputs, window, strides, **options)
        self.norm = BatchNorm(outputs, dtype=dtype)
        in_time = (outputs, outputs, (frames or 1, 1, 1))
        self.time_conv = Conv(*in_time, **options) if frames else None
        self.time_norm = BatchNorm(outputs, dtype=dtype) if frames else None
        self.gate = Gate(outputs, rngs=rngs, dtype=dtype) if gated else None

    def __call__(self, x: jax.Array, counted: jax.Array | None) -> jax.Array:
        """Runs the unit; `counted`, [b], as for `BatchNorm`."""
        x = jax.nn.relu(self.norm(self.conv(x), counted))
        if self.time_conv is not None and self.time_norm is not None:
            x = jax.nn.relu(self.time_norm(self.time_conv(x), counted))
        return x if self.gate is None else self.gate(x)


class Inception(nnx.Module):
    """[b, t, h, w, i] -> [b, t, h, w, o]: four branches beside each other."""

    def __init__(self, inputs: int, size: Mixed, *, frames: int, gated: bool, **options):
        def point(before: int, behind: int, **gates: bool) -> Unit:
            return Unit(before, behind, **gates, **options)

        def wide(before: int, behind: int) -> Unit:
            return Unit(before, behind, (1, 3, 3), frames=frames, gated=gated, **options)

        self.branch_0 = point(inputs, size.branch_0, gated=gated)
        self.before_1 = point(inputs, size.before_1)
        self.branch_1 = wide(size.before_1, size.branch_1)
        self.before_2 = point(inputs, size.before_2)
        self.branch_2 = wide(size.before_2, size.branch_2)
        self.branch_3 = point(inputs, size.branch_3, gated=gated)
        self.max_pool = CONVOLUTIONS[options["convolution"]].max_pool

    def __call__(self, x: jax.Array, counted: jax.Array | None) -> jax.Array:
        """Runs the block; `counted` as for `BatchNorm`."""
        pooled = self.max_pool(x, (3, 3, 3), (1, 1, 1))
        branches = (
            self.branch_0(x, counted),
            self.branch_1(self.before_1(x, counted), counted),
            self.branch_2(self.before_2(x, counted), counted),
            self.branch_3(pooled, counted),
        )
        return jnp.concatenate(branches, axis=-1)


class S3D(nnx.Module):
    """Videos [b, t, h, w, 3] -> `Features`, with the map behind each of `LAYERS`."""

    def __init__(
        self, cfg: S3DConfig, *, rngs: nnx.Rngs, dtype=jnp.float32, convolution: str = "xla"
    ):
        self.cfg, self.max_pool = cfg, CONVOLUTIONS[convolution].max_pool
        options = {"rngs": rngs, "dtype": dtype, "convolution": convolution}
        width, window, strides = cfg.entry
        for name, size in LAYERS.items():
            if isinstance(size, Pool):
                continue
            frames = _IN_TIME if cfg.is_from(name, cfg.temporal_from) else 1
            gated = cfg.is_from(name, cfg.gated_from)
            if isinstance(size, Mixed):
                made = Inception(width, size, frames=frames, gated=gated, **options)
            elif name == "conv_1a":
                made = Unit(width, size, window, strides, **options)
            elif name == "conv_2b":
                made = Unit(width, size, **options)
            else:
                made = Unit(width, size, (1, 3, 3), frames=frames, gated=gated, **options)
            setattr(self, name, made)
            width = size.channels if isinstance(size, Mixed) else size

    def __call__(self, video: jax.Array, counted: jax.Array | None = None) -> Features:
        """Runs the tower; `counted`, [b], as for `BatchNorm`."""
        require_shape(video, "frames, height, width", 3)
        x, maps = fold(video) if self.cfg.space_to_depth else video, {}
        for name, size in LAYERS.items():
            x = (
                self.max_pool(x, *size)
                if isinstance(size, Pool)
                else getattr(self, name)(x, counted)
            )
            maps[name] = x
        return Features(x.astype(jnp.float32).mean((1, 2, 3)), maps)
