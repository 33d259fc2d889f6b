"""ResNet v2, whose blocks normalise before they convolve: spectrograms -> features (MMV spec 1.4).

`Trunk` is what the audio tower and TSM share: maps in, maps out.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from lb_jax.core import errors
from lb_jax.models.convolution import CONVOLUTIONS, BatchNorm, Conv, Features, require_shape


class Shift(NamedTuple):
    """What becomes of the input of a block's first convolution.

    Attributes:
      move: of the input, [n, h, w, i] -> same.
      order: of the kernel's input channels, [*window, i, o] -> same.
    """

    move: Callable[[jax.Array], jax.Array]
    order: Callable[[jax.Array], jax.Array]


NO_SHIFT = Shift(lambda x: x, lambda kernel: kernel)

# Behind the trunk's last norm and ReLU; the last group's own map lies before them.
LAST = "final"


def require_groups(channels: Sequence[int], blocks: Sequence[int]) -> None:
    """Checks the shape of a trunk.

    Raises:
      ConfigError: unless every group has channels and blocks.
    """
    if not channels or len(channels) != len(blocks) or min(*channels, *blocks) < 1:
        raise errors.ConfigError(
            f"channels {tuple(channels)} and blocks {tuple(blocks)}; give both a whole number from "
            "1 on for each group."
        )


def require_quarters(channels: Sequence[int]) -> None:
    """Checks the channels of bottlenecks.

    Raises:
      ConfigError: naming those that four does not divide.
    """
    if uneven := [one for one in channels if one % 4]:
        raise errors.ConfigError(
            f"{', '.join(map(str, uneven))} channels, of which a bottleneck takes a quarter; give "
            "multiples of 4."
        )


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """Shape of the audio tower.

    Attributes:
      channels: of the map behind each group.
      blocks: of each group.
      bottleneck: whether a block has three convolutions, the first two of a quarter of its
        channels; else two of all, of windows 1 and 3 as in MMV's code.
      stem: channels of the first convolution.
      inputs: channels of the input.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    bottleneck: bool = True
    stem: int = 64
    inputs: int = 1

    def __post_init__(self):
        require_groups(self.channels, self.blocks)
        if self.bottleneck:
            require_quarters(self.channels)

    @property
    def width(self) -> int:
        """Of the features."""
        return self.channels[-1]


# By depth.
VARIANTS = {
    18: ResNetConfig((64, 128, 256, 512), (2, 2, 2, 2), bottleneck=False),
    34: ResNetConfig((64, 128, 256, 512), (3, 4, 6, 3), bottleneck=False),
    50: ResNetConfig((256, 512, 1024, 2048), (3, 4, 6, 3)),
    101: ResNetConfig((256, 512, 1024, 2048), (3, 4, 23, 3)),
    152: ResNetConfig((256, 512, 1024, 2048), (3, 8, 36, 3)),
}


class Step(NamedTuple):
    """A convolution of a block: its channels, the side of its window, its stride."""

    channels: int
    side: int
    stride: int


class Block(nnx.Module):
    """[n, h, w, i] -> [n, h / stride, w / stride, o]: norm, ReLU, convolution, two or three times.

    Args:
      inputs, outputs: channels.
      stride: of the block, which the convolution of window 3 has.
      project: whether a convolution brings the input to the output's shape; else it is added as it
        is.
      bottleneck: see `ResNetConfig`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        *,
        project: bool,
        bottleneck: bool,
        rngs: nnx.Rngs,
        dtype,
        convolution: str,
    ):
        options = {"rngs": rngs, "dtype": dtype, "convolution": convolution}
        inner = outputs // 4 if bottleneck else outputs
        steps = (Step(inner, 1, 1), Step(inner, 3, stride), Step(outputs, 1, 1))
        self.depth, width = 3 if bottleneck else 2, inputs
        for i, step in enumerate(steps[: self.depth], 1):
            window, strides = (step.side,) * 2, (step.stride,) * 2
            setattr(self, f"norm{i}", BatchNorm(width, dtype=dtype))
            setattr(self, f"conv{i}", Conv(width, step.channels, window, strides, **options))
            width = step.channels
        shortcut = (inputs, outputs, (1, 1), (stride, stride))
        self.shortcut = Conv(*shortcut, **options) if project else None

    def __call__(self, x: jax.Array, *, counted: jax.Array | None, shift: Shift) -> jax.Array:
        """Runs the block; `shift` changes what the first convolution sees, not the shortcut."""
        added = x
        for i in range(1, self.depth + 1):
            x = jax.nn.relu(getattr(self, f"norm{i}")(x, counted))
            if i == 1:
                added = added if self.shortcut is None else self.shortcut(x)
                x = shift.move(x)
            x = getattr(self, f"conv{i}")(x, shift.order if i == 1 else NO_SHIFT.order)
        return x + added


class Trunk(nnx.Module):
    """Maps [n, h, w, i] -> maps by name: stem, groups of blocks, norm and ReLU.

    Args:
      cfg: channels, blocks, stem and inputs, of a `ResNetConfig` or TSM's.
      bottleneck: see `ResNetConfig`.
      always_project: whether the first block of every group has a convolution for its input, or
        only where channels or places change.
    """

    def __init__(
        self,
        cfg: Any,
        *,
        bottleneck: bool,
        always_project: bool,
        rngs: nnx.Rngs,
        dtype,
        convolution: str,
    ):
        options = {"rngs": rngs, "dtype": dtype, "convolution": convolution}
        self.stem = Conv(cfg.inputs, cfg.stem, (7, 7), (2, 2), **options)
        self.max_pool = CONVOLUTIONS[convolution].max_pool
        groups, width = {}, cfg.stem
        for i, (channels, count) in enumerate(zip(cfg.channels, cfg.blocks, strict=True)):
            made = {}
            for j in range(count):
                stride = 2 if i and not j else 1
                made[str(j)] = Block(
                    width,
                    channels,
                    stride=stride,
                    project=not j and (always_project or width != channels or stride > 1),
                    bottleneck=bottleneck,
                    **options,
                )
                width = channels
            groups[str(i)] = nnx.Dict(made)
        self.groups = nnx.Dict(groups)
        self.final_norm = BatchNorm(width, dtype=dtype)

    def run(
        self, x: jax.Array, counted: jax.Array | None, shift: Shift = NO_SHIFT
    ) -> dict[str, jax.Array]:
        """The maps behind `stem`, each of `groups/0` … and `final`.

        Args:
          x: [n, h, w, i].
          counted: [n], see `BatchNorm`.
          shift: see `Block`.
        """
        x = self.max_pool(self.stem(x), (3, 3), (2, 2))
        maps = {"stem": x}
        for i, group in self.groups.items():
            for block in group.values():
                x = block(x, counted=counted, shift=shift)
            maps[f"groups/{i}"] = x
        maps[LAST] = jax.nn.relu(self.final_norm(x, counted))
        return maps


class AudioResNet(Trunk):
    """Spectrograms [b, frames, mel, 1] -> `Features`; any number of frames and bins."""

    def __init__(
        self, cfg: ResNetConfig, *, rngs: nnx.Rngs, dtype=jnp.float32, convolution: str = "xla"
    ):
        options = {"bottleneck": cfg.bottleneck, "always_project": False}
        super().__init__(cfg, rngs=rngs, dtype=dtype, convolution=convolution, **options)
        self.cfg = cfg

    def __call__(self, x: jax.Array, counted: jax.Array | None = None) -> Features:
        """Runs the tower; `counted` as for `BatchNorm`."""
        require_shape(x, "frames, mel bins", self.cfg.inputs)
        maps = self.run(x, counted)
        return Features(maps[LAST].astype(jnp.float32).mean((1, 2)), maps)
