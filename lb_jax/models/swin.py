"""Video Swin: frames -> tokens of every frame, by attention in windows of time and space.

Follows VALOR's `model/videoswin.py`: patches of two frames at a stride of one, stages of blocks
that attend in windows, every second one in windows shifted by half, patches merged in space between
the stages. Frames are seen together; a picture is a video of one. How a map is cut follows from its
shape, which is static, so indices and labels are numpy.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import layers, stack

FRAMES_PER_PATCH = 2  # a token's own frame and the one behind it; behind the last are zeros
BLOCKED = -100.0  # added between tokens that lie together only because a shifted map is rolled

Axes = tuple[int, int, int]  # t, h, w
NO_SHIFT: Axes = (0, 0, 0)


@dataclasses.dataclass(frozen=True)
class SwinConfig:
    """Shape of a Video Swin encoder.

    Attributes:
      width: channels of the first stage; each further stage has twice as many.
      depths: blocks of each stage.
      heads: of each stage.
      window: tokens of time, height and width that attend to each other.
      patch_size: side of a square patch, pixels.
      mlp_ratio: hidden width of an MLP, in widths of its stage.
      drop_path: in training, the share of items that the last block is left out for; the blocks
        before it rise to it from 0 in equal steps.
    """

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: Axes = (8, 7, 7)
    patch_size: int = 4
    mlp_ratio: float = 4.0
    drop_path: float = 0.2

    def __post_init__(self):
        if not self.depths or len(self.depths) != len(self.heads) or min(self.depths) < 1:
            raise errors.ConfigError(
                f"depths {self.depths} and heads {self.heads}; give both a whole number from 1 on "
                "for each stage."
            )
        for width, heads in zip(self.widths, self.heads, strict=True):
            if heads < 1 or width % heads:
                raise errors.ConfigError(
                    f"a stage of width {width} does not split into {heads} heads."
                )
        if len(self.window) != 3 or min(self.window) < 1:
            raise errors.ConfigError(
                f"window {self.window}; give tokens of time, height and width, each from 1 on."
            )
        if not 0 <= self.drop_path < 1:
            raise errors.ConfigError(f"drop_path {self.drop_path}; give a share from 0 to below 1.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.width * 2**i for i in range(len(self.depths)))

    @property
    def drop_rates(self) -> np.ndarray:
        """Share of items that each block of all stages is left out for, float64 [l]."""
        return np.linspace(0, self.drop_path, sum(self.depths))


# Video Swin's own sizes; VALOR-B has the first, the paper's ablation the second.
VARIANTS = {
    "Swin-B": SwinConfig(128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "Swin-S": SwinConfig(96, (2, 2, 18, 2), (3, 6, 12, 24)),
}


class SwinOutput(NamedTuple):
    """What the encoder returns.

    Attributes:
      tokens: [b, t, n, d] normed tokens of every frame, row by row.
      pooled: [b, t, d] their mean in each frame.
    """

    tokens: jax.Array
    pooled: jax.Array


def clamp(size: Axes, window: Axes) -> tuple[Axes, Axes]:
    """The window and the shift of odd blocks on a map of this size.

    Where the map is no larger than the window, that is the map and nothing is shifted; the other
    axes stay as they are. A shift is half of the window that the config says.
    """
    fitted = tuple(min(axes) for axes in zip(size, window, strict=True))
    shift = tuple(w // 2 if s > w else 0 for s, w in zip(size, window, strict=True))
    return (fitted[0], fitted[1], fitted[2]), (shift[0], shift[1], shift[2])


def padded(size: Axes, window: Axes) -> Axes:
    """The smallest map of whole windows that holds this one."""
    t, h, w = (math.ceil(s / one) * one for s, one in zip(size, window, strict=True))
    return t, h, w


@functools.lru_cache(maxsize=32)
def relative_index(window: Axes, tokens: int) -> np.ndarray:
    """Row of the table of position biases for query q and key k, int32 [n, n].

    The table has a row for every difference of two places in the whole window. Token i of a clamped
    window gets the place that number i has in the whole one. That is where it lies if no more than
    time is clamped; else biases are added to other pairs than their own, as the original does.
    """
    t, h, w = np.unravel_index(np.arange(tokens), window)
    rows, columns = 2 * window[1] - 1, 2 * window[2] - 1
    place = (t * rows + h) * columns + w
    middle = ((window[0] - 1) * rows + window[1] - 1) * columns + window[2] - 1
    return (place[:, None] - place + middle).astype(np.int32)


@functools.lru_cache(maxsize=32)
def window_labels(size: Axes, window: Axes, shift: Axes) -> np.ndarray:
    """Which tokens of a rolled map belong together: int32 [windows, n], equal where they do.

    An axis that is shifted by s has three regions: before the last window, in it but for its last s
    places, and those, which were rolled there from the other end.
    """
    regions = []
    for length, wide, by in zip(size, window, shift, strict=True):
        place = np.arange(length)
        region = (place >= length - wide).astype(np.int32) + (place >= length - by)
        regions.append(region if by else np.zeros_like(region))
    t, h, w = np.ix_(*regions)
    return _cut((9 * t + 3 * h + w)[None, ..., None], window)[0, ..., 0]


def shift_mask(size: Axes, window: Axes, shift: Axes) -> np.ndarray:
    """Pairs of tokens that a shifted block adds `BLOCKED` to, bool [windows, n, n]."""
    labels = window_labels(size, window, shift)
    return labels[:, :, None] != labels[:, None, :]


def _cut(x, window: Axes):
    """[b, t, h, w, c] -> [b, windows, n, c], both row by row."""
    sizes = dict(zip(("i", "j", "k"), window, strict=True))
    return rearrange(x, "b (t i) (h j) (w k) c -> b (t h w) (i j k) c", **sizes)


def _joined(x: jax.Array, size: Axes, window: Axes) -> jax.Array:
    """Inverse of `_cut`."""
    counts = (s // one for s, one in zip(size, window, strict=True))
    sizes = dict(zip("thwijk", (*counts, *window), strict=True))
    return rearrange(x, "b (t h w) (i j k) c -> b (t i) (h j) (w k) c", **sizes)


class PositionBias(nnx.Module):
    """A bias for every difference of two places in the window: [rows, h]."""

    def __init__(self, window: Axes, heads: int, *, rngs: nnx.Rngs):
        rows = math.prod(2 * size - 1 for size in window)
        self.window = window
        self.bias = nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, heads)))

    def __call__(self, tokens: int) -> jax.Array:
        """What is added to the scores in windows of n tokens, float32 [h, n, n]."""
        table = self.bias[...].astype(jnp.float32).T
        return table[:, relative_index(self.window, tokens)]


class SwinBlock(nnx.Module):
    """[b, t, h, w, d] -> same: attention in windows, MLP, each on its normed input."""

    def __init__(self, cfg: SwinConfig, stage: int, *, rngs: nnx.Rngs, dtype, attention: str):
        width, heads = cfg.widths[stage], cfg.heads[stage]
        mlp_dim = int(width * cfg.mlp_ratio)
        self.norm1 = layers.LayerNorm(width, dtype=dtype)
        self.attn = layers.Attention(width, heads, rngs=rngs, dtype=dtype, attention=attention)
        self.position = PositionBias(cfg.window, heads, rngs=rngs)
        self.norm2 = layers.LayerNorm(width, dtype=dtype)
        self.mlp = layers.Mlp(width, mlp_dim, "gelu", rngs=rngs, dtype=dtype)

    def __call__(
        self, x: jax.Array, *, window: Axes, shift: Axes, kept: jax.Array | None = None
    ) -> jax.Array:
        """[b, t, h, w, d] -> same.

        Args:
          x: the map.
          window, shift: see `clamp`.
          kept: [2, b] what attention and MLP of each item are multiplied by; None for 1.
        """
        scales = (None, None) if kept is None else kept.astype(x.dtype)[..., None, None, None, None]
        branches = (
            lambda x: self.attend(self.norm1(x), window, shift),
            lambda x: self.mlp(self.norm2(x)),
        )
        for branch, scale in zip(branches, scales, strict=True):
            x += branch(x) if scale is None else scale * branch(x)
        return x

    def attend(self, x: jax.Array, window: Axes, shift: Axes) -> jax.Array:
        """[b, t, h, w, d] -> same: every token sees those of its window.

        Tokens that fill up a window at the end are zeros, so their queries, keys and values are the
        projections' biases, and count like any other's.
        """
        size = (x.shape[1], x.shape[2], x.shape[3])
        whole = padded(size, window)
        x = jnp.pad(x, [(0, 0), *((0, w - s) for s, w in zip(size, whole, strict=True)), (0, 0)])
        axes, back = (1, 2, 3), tuple(-s for s in shift)
        if any(shift):
            x = jnp.roll(x, back, axes)
        x = _cut(x, window)  # [b, windows, n, d]
        bias = self.position(x.shape[2])[None]  # [1, h, n, n]
        if any(shift):
            labels = window_labels(whole, window, shift)
            apart = labels[:, None, :, None] != jnp.asarray(labels)[:, None, None, :]
            bias += BLOCKED * apart  # [windows, h, n, n]
            bias = jnp.broadcast_to(bias, (len(x), *bias.shape))
            bias = bias.reshape(-1, *bias.shape[2:])  # the same for every item
        x = _joined(self.attn(x, bias=bias), whole, window)
        if any(shift):
            x = jnp.roll(x, shift, axes)
        return x[:, : size[0], : size[1], : size[2]]


class PatchMerge(nnx.Module):
    """[b, t, h, w, d] -> [b, t, h / 2, w / 2, 2 d], a row or column of zeros behind odd ones."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype):
        self.norm = layers.LayerNorm(4 * width, dtype=dtype)
        self.proj = layers.Linear(4 * width, 2 * width, rngs=rngs, dtype=dtype, bias=False)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Four neighbours become one: upper left, lower left, upper right, lower right."""
        rows, columns = x.shape[2:4]
        x = jnp.pad(x, ((0, 0), (0, 0), (0, rows % 2), (0, columns % 2), (0, 0)))
        x = rearrange(x, "b t (h i) (w j) d -> b t h w (j i d)", i=2, j=2)
        return self.proj(self.norm(x))


class Stage(nnx.Module):
    """Blocks of one width, stacked on a leading layer axis, and what brings them to the next."""

    def __init__(self, cfg: SwinConfig, stage: int, *, rngs: nnx.Rngs, dtype, attention: str):
        self.window, self.depth = cfg.window, cfg.depths[stage]
        self.blocks = stack.make_stack(
            lambda rngs: SwinBlock(cfg, stage, rngs=rngs, dtype=dtype, attention=attention),
            self.depth,
            rngs=rngs,
        )
        is_last = stage + 1 == len(cfg.depths)
        self.merge = None if is_last else PatchMerge(cfg.widths[stage], rngs=rngs, dtype=dtype)

    def run(
        self,
        x: jax.Array,
        *,
        kept: jax.Array | None = None,
        scan: bool = True,
        remat: str = "none",
        constrain: Callable[[jax.Array], jax.Array] = lambda x: x,
    ) -> jax.Array:
        """Sends x, [b, t, h, w, d], through the blocks.

        Args:
          x: the map.
          kept: [l, 2, b], see `SwinBlock`.
          scan: compile two blocks, unshifted and shifted, and scan pairs of them.
          remat, constrain: see `stack.run_stack`.
        """
        graphdef, stacked = nnx.split(self.blocks)
        window, shift = clamp((x.shape[1], x.shape[2], x.shape[3]), self.window)
        shifts = (NO_SHIFT, shift) if any(shift) else (NO_SHIFT,)

        def block(x, layer, *, shift: Axes):
            state, kept = layer
            module = nnx.merge(graphdef, state)
            return constrain(module(constrain(x), window=window, shift=shift, kept=kept))

        calls = [functools.partial(block, shift=one) for one in shifts]
        if stack.REMAT[remat]:
            options = {"prevent_cse": not scan, "policy": stack.REMAT[remat]}
            calls = [jax.checkpoint(call, **options) for call in calls]

        def group(x, layers):
            for i, call in enumerate(calls):
                x = call(x, jax.tree.map(lambda leaf: leaf[i], layers))  # noqa: B023
            return x, None

        every = (stacked, kept)
        scanned = self.depth // len(calls) * len(calls) if scan else 0
        if scanned > len(calls):
            in_groups = jax.tree.map(
                lambda leaf: leaf[:scanned].reshape(-1, len(calls), *leaf.shape[1:]), every
            )
            x, _ = jax.lax.scan(group, x, in_groups)
        else:
            scanned = 0
        for i in range(scanned, self.depth):
            x = calls[i % len(calls)](x, jax.tree.map(lambda leaf: leaf[i], every))  # noqa: B023
        return x


class PatchEmbed(nnx.Module):
    """[b, t, h, w, 3] -> [b, t, h / p, w / p, d]: a convolution in time and space, with bias.

    The kernel is [2, p, p, 3, d]; its stride is 1 in time.
    """

    def __init__(self, cfg: SwinConfig, *, rngs: nnx.Rngs, dtype):
        shape = (FRAMES_PER_PATCH, cfg.patch_size, cfg.patch_size, 3, cfg.width)
        size = math.prod(shape[:-1]) ** -0.5
        self.kernel = nnx.Param(size * jax.random.normal(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(cfg.width))
        self.dtype = dtype

    def __call__(self, video: jax.Array) -> jax.Array:
        """Zeros fill up the last row and column of patches; a frame of zeros follows the last."""
        side = self.kernel.shape[1]
        rows, columns = (-video.shape[axis] % side for axis in (2, 3))
        x = jnp.pad(video.astype(self.dtype), ((0, 0), (0, 0), (0, rows), (0, columns), (0, 0)))
        x = rearrange(x, "b t (h i) (w j) c -> b t h w (i j c)", i=side, j=side)
        behind = jnp.pad(x[:, 1:], ((0, 0), (0, 1), *(((0, 0),) * 3)))
        x = jnp.concatenate([x, behind], axis=-1)  # [b, t, h, w, (2 i j c)]
        kernel = self.kernel[...].reshape(-1, self.kernel.shape[-1])
        return x @ kernel.astype(self.dtype) + self.bias[...].astype(self.dtype)


class VideoSwin(nnx.Module):
    """[b, t, h, w, 3] or [b, h, w, 3] -> `SwinOutput`.

    Args:
      cfg: its shape.
      dtype: compute dtype.
      scan, remat: see `Stage.run`.
      attention: a row of `layers.ATTENTION`.
    """

    def __init__(
        self,
        cfg: SwinConfig,
        *,
        rngs: nnx.Rngs,
        dtype=jnp.float32,
        scan: bool = True,
        remat: str = "none",
        attention: str = "xla",
    ):
        self.cfg, self.scan, self.remat = cfg, scan, remat
        self.patch_embed = PatchEmbed(cfg, rngs=rngs, dtype=dtype)
        self.pre_norm = layers.LayerNorm(cfg.width, dtype=dtype)
        options = {"rngs": rngs, "dtype": dtype, "attention": attention}
        self.stages = nnx.Dict({str(i): Stage(cfg, i, **options) for i in range(len(cfg.depths))})
        self.post_norm = layers.LayerNorm(cfg.widths[-1], dtype=dtype)

    def __call__(
        self,
        video: jax.Array,
        *,
        key: jax.Array | None = None,
        items: jax.Array | None = None,
        constrain: Callable[[jax.Array], jax.Array] = lambda x: x,
    ) -> SwinOutput:
        """Runs the encoder.

        Args:
          video: preprocessed frames, any number of any size.
          key: randomness of training (drop path); None is inference.
          items: int [b], each item's number in the batch that these are a part of; None where they
            are the whole. An item drops the same in any part.
          constrain: see `stack.run_stack`.

        Raises:
          ValueError: when the shape is not that of pictures or videos.
        """
        if video.ndim not in (4, 5) or video.shape[-1] != 3 or not math.prod(video.shape[1:]):
            raise ValueError(
                f"input of shape {video.shape} where the encoder takes [b, frames, height, width, "
                "3] or [b, height, width, 3]; preprocess it with this model's own spec."
            )
        video = video if video.ndim == 5 else video[:, None]
        kept = None
        if key is not None:
            items = jnp.arange(len(video)) if items is None else items
            kept = draw_kept(key, items, self.cfg.drop_rates)
        x, done = self.pre_norm(self.patch_embed(video)), 0
        for i, depth in enumerate(self.cfg.depths):
            stage, part = self.stages[str(i)], slice(done, done + depth)
            x = stage.run(
                x,
                kept=None if kept is None else kept[part],
                scan=self.scan,
                remat=self.remat,
                constrain=constrain,
            )
            x = stage.merge(x) if stage.merge is not None else x
            done += depth
        tokens = rearrange(self.post_norm(x), "b t h w d -> b t (h w) d")
        return SwinOutput(tokens=tokens, pooled=tokens.mean(axis=2))


def draw_kept(key: jax.Array, items: jax.Array, rates: np.ndarray) -> jax.Array:
    """What both branches of each block are multiplied by: 0 or 1 / (1 - rate), [l, 2, b].

    Item i draws from the key folded with `items[i]`, so that it does not depend on the others.
    """
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, items)
    drawn = jax.vmap(lambda one: jax.random.uniform(one, (len(rates), 2)))(keys)  # [b, l, 2]
    kept = jnp.moveaxis(drawn, 0, -1) >= rates[:, None, None]
    return kept / (1 - rates)[:, None, None].astype(np.float32)
