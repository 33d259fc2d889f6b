"""TSM-ResNet: a ResNet v2 that sees neighbouring frames by shifted channels (MMV spec 1.3)."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import resnet
from lb_jax.models.convolution import Features, require_shape


class Layout(NamedTuple):
    """How frames lie among the rows that a convolution takes: einops patterns."""

    apart: str
    rows: str


# Batch by batch is what GPUs and CPUs are given, frame by frame what TPUs are. The original rounds
# what it shifts to bfloat16 in the second; ours is the same function in both.
LAYOUTS = {
    "batch_major": Layout("b t h w c", "(b t) h w c"),
    "time_major": Layout("t b h w c", "(t b) h w c"),
}


@dataclasses.dataclass(frozen=True)
class TSMConfig:
    """Shape of the video tower.

    Attributes:
      channels, blocks: of each group of bottlenecks.
      stem: channels of the first convolution.
      shift: share of the channels that come from the next frame, and of those from the last.
      layout: a row of `LAYOUTS`.
    """

    channels: tuple[int, ...] = (256, 512, 1024, 2048)
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    stem: int = 64
    shift: float = 0.125
    layout: str = "batch_major"

    def __post_init__(self):
        resnet.require_groups(self.channels, self.blocks)
        resnet.require_quarters(self.channels)
        if not 0 <= self.shift <= 0.5:
            raise errors.ConfigError(f"shift {self.shift}; give a share from 0 to 0.5.")
        if self.layout not in LAYOUTS:
            raise errors.ConfigError(
                f"unknown layout {self.layout!r}; known: {', '.join(LAYOUTS)}."
                f"{errors.nearest(self.layout, LAYOUTS)}"
            )

    @property
    def inputs(self) -> int:
        """Channels of a frame."""
        return 3

    @property
    def width(self) -> int:
        """Of the features."""
        return self.channels[-1]

    def wider(self, times: int) -> "TSMConfig":
        """The same with that many times the channels, as the published x2 has."""
        channels = tuple(times * one for one in self.channels)
        return dataclasses.replace(self, channels=channels, stem=times * self.stem)


def shifted_count(channels: int, share: float) -> int:
    """Of so many channels, how many come from the next frame; as many from the last."""
    return int(channels * share)


def swap_ends(x: jax.Array, share: float, axis: int = -1) -> jax.Array:
    """The first channels and the last, as many as are shifted, in each other's place."""
    count = shifted_count(x.shape[axis], share)
    first, middle, last = jnp.split(x, (count, x.shape[axis] - count), axis=axis)
    return jnp.concatenate([last, middle, first], axis=axis)


def shift_in_place(x: jax.Array, share: float, axis: int = 1) -> jax.Array:
    """Brings channels of the next and the last frame into each frame; each keeps its place.

    The last channels become the next frame's, the first channels the last frame's. Beyond the ends
    are zeros. One pass over memory on CPUs, where the pieces joined anew are three.

    Args:
      x: [..., c].
      share: of the channels that each group has.
      axis: of time.
    """
    count = shifted_count(x.shape[-1], share)
    if not count:
        return x
    channel = jnp.arange(x.shape[-1])

    def moved(by: int) -> jax.Array:
        inside = jax.lax.slice_in_dim(x, max(-by, 0), x.shape[axis] - max(by, 0), axis=axis)
        widths = [(0, 0)] * x.ndim
        widths[axis] = (max(by, 0), max(-by, 0))
        return jnp.pad(inside, widths)

    is_last = channel >= x.shape[-1] - count
    return jnp.where(channel < count, moved(1), jnp.where(is_last, moved(-1), x))


def temporal_shift(x: jax.Array, share: float, axis: int = 1) -> jax.Array:
    """Brings channels of the next and the last frame into each frame, as published.

    The last channels of the next frame become the first, the first channels of the last frame
    become the last; the two groups swap places. The tower swaps its kernels' channels instead.

    Args:
      x: [..., c].
      share: of the channels that each group has.
      axis: of time.
    """
    return swap_ends(shift_in_place(x, share, axis), share)


class TSM(resnet.Trunk):
    """Videos [b, t, h, w, 3] -> `Features`, with maps of every frame: [b, t, h, w, c]."""

    def __init__(
        self, cfg: TSMConfig, *, rngs: nnx.Rngs, dtype=jnp.float32, convolution: str = "xla"
    ):
        options = {"bottleneck": True, "always_project": True}
        super().__init__(cfg, rngs=rngs, dtype=dtype, convolution=convolution, **options)
        self.cfg = cfg

    def __call__(self, video: jax.Array, counted: jax.Array | None = None) -> Features:
        """Runs the tower; `counted`, [b], as for `convolution.BatchNorm`."""
        require_shape(video, "frames, height, width", 3)
        layout = LAYOUTS[self.cfg.layout]
        sizes = {"b": video.shape[0], "t": video.shape[1]}

        def move(rows: jax.Array) -> jax.Array:
            x = rearrange(rows, f"{layout.rows} -> {layout.apart}", **sizes)
            x = shift_in_place(x, self.cfg.shift, axis=layout.apart.split().index("t"))
            return rearrange(x, f"{layout.apart} -> {layout.rows}")

        def order(kernel: jax.Array) -> jax.Array:
            return swap_ends(kernel, self.cfg.shift, axis=-2)

        if counted is not None:
            counted = repeat(counted, f"b -> {layout.rows.removesuffix(' h w c')}", t=sizes["t"])
        rows = rearrange(video, f"b t h w c -> {layout.rows}")
        maps = {
            name: rearrange(one, f"{layout.rows} -> b t h w c", **sizes)
            for name, one in self.run(rows, counted, resnet.Shift(move, order)).items()
        }
        return Features(maps[resnet.LAST].astype(jnp.float32).mean((1, 2, 3)), maps)
