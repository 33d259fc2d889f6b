"""GLPN: a picture -> metres of every pixel (generators spec 1).

The encoder is a Mix Transformer of four stages, each at half the sides of the one before: patches
that overlap, blocks whose keys lie on a coarser grid, a depthwise convolution inside the MLP. The
decoder goes back from the coarsest map, weighing what it has against each finer one. For use, not
for training: nothing is dropped, and batch norms read what they were trained with.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import layers, stack
from lb_jax.models.conv2d import Conv2d, Depthwise

BATCH_NORM_EPSILON = 1e-5
STRIDES = (4, 2, 2, 2)  # of each stage; the decoder doubles as often


@dataclasses.dataclass(frozen=True)
class GlpnConfig:
    """Shape of a GLPN; the usual one is that of the published `vinvino02/glpn-nyu`.

    Attributes:
      widths, depths, heads: of each stage.
      reductions: of each stage, the side of the squares that a key and value stand for.
      patch_sizes: side of a patch of each stage, pixels of the map before.
      mlp_ratios: hidden width of an MLP of each stage, in its widths.
      decoder_width: channels of the decoder.
      max_depth_m: what the head's sigmoid is multiplied by, metres.
    """

    widths: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (3, 8, 27, 3)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    patch_sizes: tuple[int, ...] = (7, 3, 3, 3)
    mlp_ratios: tuple[float, ...] = (4, 4, 4, 4)
    decoder_width: int = 64
    max_depth_m: float = 10.0

    def __post_init__(self):
        for name in ("widths", "depths", "heads", "reductions", "patch_sizes", "mlp_ratios"):
            found = getattr(self, name)
            if len(found) != len(STRIDES) or min(found) < 1:
                raise errors.ConfigError(
                    f"{name} {found}; give {len(STRIDES)} numbers from 1 on, one for each stage."
                )
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads:
                raise errors.ConfigError(
                    f"a stage of width {width} does not split into {heads} heads."
                )
        if self.decoder_width < 2 or self.decoder_width % 2:
            raise errors.ConfigError(
                f"decoder_width {self.decoder_width}; give an even number from 2 on."
            )
        if not 0 < self.max_depth_m < math.inf:
            raise errors.ConfigError(f"max_depth_m {self.max_depth_m}; give metres above 0.")

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be multiples of, pixels."""
        scales = (math.prod(STRIDES[: i + 1]) for i in range(len(STRIDES)))
        return math.lcm(*(s * r for s, r in zip(scales, self.reductions, strict=True)))


class GlpnOutput(NamedTuple):
    """What the network returns; unused fields cost nothing under `jax.jit`.

    Attributes:
      hidden: normed map of each stage of the encoder, [b, h / 4, w / 4, d] and so on.
      fused: map of each stage of the decoder, the coarsest first, [b, h / 16, w / 16, d] and so
        on; the last is enlarged once more, [b, h, w, d].
      depth: [b, h, w] metres.
    """

    hidden: tuple[jax.Array, ...]
    fused: tuple[jax.Array, ...]
    depth: jax.Array


class MixMlp(nnx.Module):
    """[b, h, w, d] -> same: widened, a depthwise convolution, GELU, narrowed."""

    def __init__(self, width: int, mlp_dim: int, *, rngs: nnx.Rngs, dtype):
        self.fc1 = layers.Linear(width, mlp_dim, rngs=rngs, dtype=dtype)
        self.depthwise = Depthwise(mlp_dim, rngs=rngs, dtype=dtype)
        self.fc2 = layers.Linear(mlp_dim, width, rngs=rngs, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, d] -> same; there is no activation before the convolution."""
        return self.fc2(layers.ACTIVATIONS["gelu"](self.depthwise(self.fc1(x))))


class MixBlock(nnx.Module):
    """[b, h, w, d] -> same: attention to a coarser grid, MLP, each on its normed input."""

    def __init__(self, cfg: GlpnConfig, stage: int, *, rngs: nnx.Rngs, dtype, attention: str):
        width, heads, side = cfg.widths[stage], cfg.heads[stage], cfg.reductions[stage]
        mlp_dim = int(width * cfg.mlp_ratios[stage])
        self.norm1 = layers.LayerNorm(width, dtype=dtype)
        self.attn = layers.Attention(width, heads, rngs=rngs, dtype=dtype, attention=attention)
        if side > 1:
            self.reduce = Conv2d(width, width, side, stride=side, rngs=rngs, dtype=dtype)
            self.reduce_norm = layers.LayerNorm(width, dtype=dtype)
        else:
            self.reduce = self.reduce_norm = None
        self.norm2 = layers.LayerNorm(width, dtype=dtype)
        self.mlp = MixMlp(width, mlp_dim, rngs=rngs, dtype=dtype)

    def __call__(self, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
        """[b, h, w, d] -> same; nothing is drawn, whatever the key."""
        del key
        asking = self.norm1(x)
        asked = asking
        if self.reduce is not None and self.reduce_norm is not None:
            asked = self.reduce_norm(self.reduce(asking))
        tokens, memory = (rearrange(one, "b h w d -> b (h w) d") for one in (asking, asked))
        x += self.attn(tokens, memory=memory).reshape(x.shape)
        return x + self.mlp(self.norm2(x))


class Stage(nnx.Module):
    """[b, h, w, c] -> [b, h / s, w / s, d]: patches that overlap, blocks, a norm."""

    def __init__(self, cfg: GlpnConfig, stage: int, *, rngs: nnx.Rngs, dtype, attention: str):
        width, side = cfg.widths[stage], cfg.patch_sizes[stage]
        inputs = cfg.widths[stage - 1] if stage else 3
        options = {"stride": STRIDES[stage], "padding": side // 2}
        self.patch_embed = Conv2d(inputs, width, side, rngs=rngs, dtype=dtype, **options)
        self.embed_norm = layers.LayerNorm(width, dtype=dtype)
        self.blocks = stack.make_stack(
            lambda rngs: MixBlock(cfg, stage, rngs=rngs, dtype=dtype, attention=attention),
            cfg.depths[stage],
            rngs=rngs,
        )
        self.norm = layers.LayerNorm(width, dtype=dtype)

    def __call__(self, x: jax.Array, *, scan: bool) -> jax.Array:
        """[b, h, w, c] -> [b, h / s, w / s, d]."""
        x = self.embed_norm(self.patch_embed(x))
        return self.norm(stack.run_stack(self.blocks, x, scan=scan))


class KeptNorm(nnx.Module):
    """[b, h, w, c] -> same: batch norm by the mean and variance that it was trained with."""

    def __init__(self, width: int, *, dtype):
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))
        self.mean, self.var = nnx.Param(jnp.zeros(width)), nnx.Param(jnp.ones(width))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, c] -> same, in the compute dtype; computed in float32."""
        rate = self.scale[...] * jax.lax.rsqrt(self.var[...] + BATCH_NORM_EPSILON)
        y = (x.astype(jnp.float32) - self.mean[...]) * rate + self.bias[...]
        return y.astype(self.dtype)


class Fusion(nnx.Module):
    """Two maps [b, h, w, d] -> one: both weighed at every place."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype):
        options = {"padding": 1, "rngs": rngs, "dtype": dtype}
        self.conv1 = Conv2d(2 * width, width, 3, **options)
        self.norm1 = KeptNorm(width, dtype=dtype)
        self.conv2 = Conv2d(width, width // 2, 3, **options)
        self.norm2 = KeptNorm(width // 2, dtype=dtype)
        self.conv3 = Conv2d(width // 2, 2, 3, **options)

    def __call__(self, near: jax.Array, whole: jax.Array) -> jax.Array:
        """The encoder's map and the decoder's; the weights need not sum to one."""
        x = jnp.concatenate([near, whole], axis=-1)
        x = jax.nn.relu(self.norm1(self.conv1(x)))
        x = jax.nn.relu(self.norm2(self.conv2(x)))
        weights = jax.nn.sigmoid(self.conv3(x))  # [b, h, w, 2]
        return near * weights[..., :1] + whole * weights[..., 1:]


class DecoderStage(nnx.Module):
    """A map of the encoder and that of the stage before -> one of twice the sides."""

    def __init__(self, inputs: int, width: int, *, is_first: bool, rngs: nnx.Rngs, dtype):
        # a stage of the decoder's own width goes in as it is
        self.proj = Conv2d(inputs, width, 1, rngs=rngs, dtype=dtype) if inputs != width else None
        self.fuse = None if is_first else Fusion(width, rngs=rngs, dtype=dtype)

    def __call__(self, near: jax.Array, whole: jax.Array | None) -> jax.Array:
        """[b, h, w, c], [b, h, w, d] -> [b, 2 h, 2 w, d]."""
        near = near if self.proj is None else self.proj(near)
        return doubled(near if self.fuse is None else self.fuse(near, whole))


class Head(nnx.Module):
    """[b, h, w, d] -> what a sigmoid makes shares of the largest depth of, [b, h, w]."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype):
        self.conv1 = Conv2d(width, width, 3, padding=1, rngs=rngs, dtype=dtype)
        self.conv2 = Conv2d(width, 1, 3, padding=1, rngs=rngs, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, d] -> [b, h, w]."""
        return self.conv2(jax.nn.relu(self.conv1(x)))[..., 0]


class Glpn(nnx.Module):
    """[b, h, w, 3] in 0..1 -> `GlpnOutput`.

    Args:
      cfg: its shape.
      dtype: compute dtype.
      scan: compile one block of a stage and scan it, instead of unrolling all.
      attention: a row of `layers.ATTENTION`.
    """

    def __init__(
        self,
        cfg: GlpnConfig,
        *,
        rngs: nnx.Rngs,
        dtype=jnp.float32,
        scan: bool = True,
        attention: str = "xla",
    ):
        self.cfg, self.scan, stages = cfg, scan, len(cfg.widths)
        options = {"rngs": rngs, "dtype": dtype}
        self.encoder = nnx.Dict(
            {str(i): Stage(cfg, i, attention=attention, **options) for i in range(stages)}
        )
        self.decoder = nnx.Dict(
            {
                str(n): DecoderStage(width, cfg.decoder_width, is_first=not n, **options)
                for n, width in enumerate(reversed(cfg.widths))
            }
        )
        self.head = Head(cfg.decoder_width, **options)

    def __call__(self, x: jax.Array) -> GlpnOutput:
        """Runs the network.

        Raises:
          ValueError: for another shape; both sides must be multiples of `cfg.multiple`.
        """
        require_sides(x.shape, self.cfg.multiple)
        hidden, fused = [], []
        for i in range(len(self.cfg.widths)):
            x = self.encoder[str(i)](x, scan=self.scan)
            hidden.append(x)
        whole = None
        for n, near in enumerate(reversed(hidden)):
            whole = self.decoder[str(n)](near, whole)
            fused.append(whole)
        fused[-1] = doubled(fused[-1])
        share = jax.nn.sigmoid(self.head(fused[-1]).astype(jnp.float32))
        return GlpnOutput(tuple(hidden), tuple(fused), share * self.cfg.max_depth_m)


def require_sides(shape: tuple[int, ...], multiple: int) -> None:
    """Raises `ValueError` for what is no batch of pictures of such sides."""
    is_one = len(shape) == 4 and shape[-1] == 3 and min(shape) > 0
    if not is_one or any(side % multiple for side in shape[1:3]):
        raise ValueError(
            f"input of shape {shape} where GLPN takes [b, height, width, 3] with sides that are "
            f"multiples of {multiple}; resize the pictures."
        )


def doubled(x: jax.Array) -> jax.Array:
    """[b, h, w, c] -> [b, 2 h, 2 w, c]: bilinear, half-pixel centres, edges repeated."""
    for axis in (1, 2):
        before = jnp.concatenate([_end(x, axis, 0), x], axis)
        behind = jnp.concatenate([x, _end(x, axis, -1)], axis)
        size = x.shape[axis]
        first = 0.25 * jax.lax.slice_in_dim(before, 0, size, axis=axis) + 0.75 * x
        second = 0.75 * x + 0.25 * jax.lax.slice_in_dim(behind, 1, size + 1, axis=axis)
        shape = (*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
        x = jnp.stack([first, second], axis + 1).reshape(shape)
    return x


def _end(x: jax.Array, axis: int, index: int) -> jax.Array:
    return jax.lax.index_in_dim(x, index % x.shape[axis], axis)
