"""One vision tower for every modality: pixels or spectrogram -> embedding.

Follows LanguageBind `languagebind/video/modeling_video.py` and `model/process_clip.py`: patches,
class token, position table, patch dropout, pre norm, blocks with optional temporal attention, post
norm on the class token, mean over frames, projection.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx

from lb_jax.core import config as config_lib
from lb_jax.core import errors
from lb_jax.models import layers
from lb_jax.models.lora import LoraConfig
from lb_jax.models.stack import Tower

BRANCHES = 2  # of a block that drop path may leave out: attention within a frame, MLP


def _later() -> Any:
    """A field that came later: what was stored before has none of it."""
    return dataclasses.field(default=None, repr=False, metadata=config_lib.OPTIONAL)


@dataclasses.dataclass(frozen=True)
class Form:
    """In what a tower differs from a CLIP's.

    Attributes:
      channels: of the input.
      patch_bias: whether the patches' convolution has a bias.
      pre_norm: whether there is a norm before the blocks.
      epsilon: of all norms.
      dropout: share that training drops of the embedded tokens and in every block, see
        `layers.Block`.
      patch: rows and columns of a patch that is no square; None goes by `patch_size`.
      stride: from one patch to the next, in both directions; None is the patch itself, so that
        patches lie side by side.
      stem_norm: epsilon of a norm of the embedded patches; None for no such norm.
      bias_kv: whether attention has a key and a value of its own, see `layers.Attention`.
      stills: whether a tube takes one frame for all of its own.
    """

    channels: int = 3
    patch_bias: bool = False
    pre_norm: bool = True
    epsilon: float = layers.LAYER_NORM_EPSILON
    dropout: float = 0.0
    patch: tuple[int, int] | None = _later()
    stride: int | None = _later()
    stem_norm: float | None = _later()
    bias_kv: bool | None = _later()
    stills: bool | None = _later()


@dataclasses.dataclass(frozen=True)
class VisionConfig:
    """Shape of a vision tower.

    Attributes:
      width, depth, heads, mlp_dim: size of the transformer.
      patch_size: side of a square patch, pixels.
      image_size: rows and columns of the input, pixels (mel bins and spectrogram frames for audio).
        What does not fill a whole patch is cut off, as a strided convolution does.
      embed_dim: size e of the shared space; 0 for a tower without projection.
      activation: "gelu" (exact) or "quick_gelu".
      frames: frames of a clip; 1 for still modalities.
      tube_size: 0 embeds each frame by itself (v1); s > 0 embeds tubes of s frames with a 3-D
        kernel and gives every tube a class embedding of its own (v1.5).
      temporal: whether blocks attend over time first.
      lora: low-rank factors, None for none.
      form: in what the tower differs from a CLIP's; None for one of that kind.
    """

    width: int
    depth: int
    heads: int
    mlp_dim: int
    patch_size: int
    image_size: tuple[int, int]
    embed_dim: int
    activation: str = "gelu"
    frames: int = 1
    tube_size: int = 0
    temporal: bool = False
    lora: LoraConfig | None = None
    form: Form | None = dataclasses.field(default=None, repr=False, metadata=config_lib.OPTIONAL)

    def __post_init__(self):
        if self.heads < 1 or self.width % self.heads:
            raise errors.ConfigError(
                f"a tower of width {self.width} does not split into {self.heads} heads."
            )
        if self.tube_size and self.frames % self.tube_size:
            raise errors.ConfigError(
                f"{self.frames} frames do not split into tubes of {self.tube_size}; choose a "
                "tube_size that divides the number of frames, or 0."
            )
        if self.kind.stills and self.steps != 1:
            raise errors.ConfigError(
                f"{self.frames} frames are {self.steps} tubes, and a still is one; expected "
                f"frames={self.tube_size or 1}."
            )

    @property
    def patch(self) -> tuple[int, int]:
        """Rows and columns of a patch."""
        return self.kind.patch or (self.patch_size, self.patch_size)

    @property
    def strides(self) -> tuple[int, int]:
        """Rows and columns from one patch to the next."""
        stride = self.kind.stride
        return (stride, stride) if stride else self.patch

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per column and per row."""
        sizes = zip(self.image_size, self.patch, self.strides, strict=True)
        rows, columns = ((size - patch) // stride + 1 for size, patch, stride in sizes)
        return rows, columns

    @property
    def frame(self) -> tuple[int, ...]:
        """Shape of one frame, [h, w, c]; of a signal, which has one row, [n, c]."""
        sides = self.image_size[1:] if self.image_size[0] == 1 else self.image_size
        return (*sides, self.kind.channels)

    @property
    def kind(self) -> Form:
        """The form, that of a CLIP where none is given."""
        return self.form or Form()

    @property
    def steps(self) -> int:
        """Length of the time axis inside the tower: frames, or tubes of them."""
        return self.frames // (self.tube_size or 1)


class VisionBlock(layers.Block):
    """[b, t, n, d] -> same: attention over time (optional), attention within a frame, MLP."""

    def __init__(self, cfg: VisionConfig, *, rngs: nnx.Rngs, dtype, attention: str = "xla"):
        options = {"rngs": rngs, "dtype": dtype, "attention": attention, "lora": cfg.lora}
        if cfg.temporal:
            # of the size of what it is added to, or attention learns order only slowly
            self.temporal_embed = nnx.Param(
                jax.random.normal(rngs.params(), (cfg.steps, cfg.width))
            )
            self.temporal_norm = layers.LayerNorm(cfg.width, dtype=dtype)
            self.temporal_attn = layers.Attention(
                cfg.width, cfg.heads, path="blocks/temporal_attn", **options
            )
        self.temporal = cfg.temporal
        size = (cfg.width, cfg.heads, cfg.mlp_dim, cfg.activation)
        form = {"epsilon": cfg.kind.epsilon, "dropout": cfg.kind.dropout}
        form["bias_kv"] = bool(cfg.kind.bias_kv)
        super().__init__(*size, path="blocks/attn", **options, **form)

    def __call__(
        self, x: jax.Array, *, key: jax.Array | None = None, branches: jax.Array | None = None
    ) -> jax.Array:
        """[b, t, n, d] -> same; the key is for LoRA dropout, `branches` [2, b] of `layers.Block`.

        What attends over time is no branch of its own to it, and stays.
        """
        spatial_key, temporal_key = (None, None) if key is None else jax.random.split(key)
        if self.temporal:
            x = rearrange(x, "b t n d -> b n t d")  # attend over time
            if x.shape[2] > 1:  # a single frame gets no time embedding (modeling_video.py)
                x += self.temporal_embed[...].astype(x.dtype)
            x += self.temporal_attn(self.temporal_norm(x), key=temporal_key)
            x = rearrange(x, "b n t d -> b t n d")
        return super().__call__(x, key=spatial_key, branches=branches)  # attend within a frame


class PatchEmbed(nnx.Module):
    """Patches [..., p] -> tokens [..., d]: a strided convolution, and the norm of its form.

    The kernel is [kt, kh, kw, c, d] or [kh, kw, c, d].
    """

    def __init__(self, cfg: VisionConfig, *, rngs: nnx.Rngs, dtype):
        tube = (cfg.tube_size,) if cfg.tube_size else ()
        shape = (*tube, *cfg.patch, cfg.kind.channels, cfg.width)
        self.kernel = nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(cfg.width)) if cfg.kind.patch_bias else None
        self.dtype, epsilon = dtype, cfg.kind.stem_norm
        norm = functools.partial(layers.LayerNorm, cfg.width, dtype=dtype)
        self.norm = None if epsilon is None else norm(epsilon=epsilon)

    def __call__(self, patches: jax.Array) -> jax.Array:
        """[..., p] -> [..., d]; p is of a whole tube, or of one frame that stands for all of it."""
        kernel = self.kernel[...]
        if patches.shape[-1] < kernel.size // kernel.shape[-1]:
            kernel = kernel.sum(0)  # the same as repeating the frame
        y = patches.astype(self.dtype) @ kernel.reshape(-1, kernel.shape[-1]).astype(self.dtype)
        if self.bias is not None:
            y += self.bias[...].astype(self.dtype)
        return y if self.norm is None else self.norm(y)


class VisionTower(Tower):
    """[b, h, w, 3] or [b, t, h, w, 3] -> `layers.TowerOutput`.

    Options besides its shape are those of `stack.Tower`.
    """

    def __init__(self, cfg: VisionConfig, *, rngs: nnx.Rngs, **options: Any):
        super().__init__(**options)
        self.cfg = cfg
        rows, columns = cfg.grid
        per_step = (cfg.steps,) if cfg.tube_size else ()
        self.patch_embed = PatchEmbed(cfg, rngs=rngs, dtype=self.dtype)
        self.class_embed = nnx.Param(
            cfg.width**-0.5 * jax.random.normal(rngs.params(), (*per_step, cfg.width))
        )
        # of the size of an embedded patch: where something is counts from the first step
        self.position_embed = nnx.Param(
            0.5 * jax.random.normal(rngs.params(), (1 + rows * columns, cfg.width))
        )
        norm = functools.partial(
            layers.LayerNorm, cfg.width, dtype=self.dtype, epsilon=cfg.kind.epsilon
        )
        self.pre_norm = norm() if cfg.kind.pre_norm else None
        self.blocks = self.stack(VisionBlock, cfg, rngs)
        self.post_norm = norm()
        self.proj = self.projection(cfg, rngs)

    def __call__(
        self,
        pixels: jax.Array,
        *,
        key: jax.Array | None = None,
        items: jax.Array | None = None,
        patch_dropout: float = 0.0,
        drop_path: float = 0.0,
        head_dropout: float = 0.0,
        **options: Any,
    ) -> layers.TowerOutput:
        """Runs the tower.

        Args:
          pixels: preprocessed input of the config's size; a clip has `cfg.frames` frames or exactly
            one.
          key: randomness of training (all dropout); None is inference.
          items: int [b], each item's number in the batch that these are a part of; None where they
            are the whole. An item drops the same patches, branches and features in any part; LoRA
            dropout is drawn per call, by the first number.
          patch_dropout: share of the patches dropped per item when a key is given.
          drop_path: share of the items for which the last layer is left out, see
            `layers.drop_path`, when a key is given.
          head_dropout: share of the features dropped before the projection when a key is given.
          **options: of `run_stack`: `constrain`.
        """
        drop_key, lora_key = (None, None) if key is None else jax.random.split(key)
        if key is not None:
            items = jnp.arange(len(pixels)) if items is None else items
            lora_key = jax.random.fold_in(lora_key, items[0])
        patches = patchify(pixels, self.cfg)  # [b, t, n, p]
        positions = jnp.broadcast_to(
            self.position_embed[1:], (patches.shape[0], *self.position_embed[1:].shape)
        )  # [b, n, d]
        if key is not None and patch_dropout:
            kept = kept_patches(drop_key, items, patches.shape[2], patch_dropout)  # [b, k]
            patches = jnp.take_along_axis(
                patches, kept[:, None, :, None], axis=2
            )  # dropped before they are embedded
            positions = jnp.take_along_axis(positions, kept[:, :, None], axis=1)
        x = self.patch_embed(patches) + positions[:, None].astype(self.dtype)
        # [d], or [t, d] with tubes; added in float32 however they are stored
        first = self.class_embed[...].astype(jnp.float32) + self.position_embed[0]
        first = jnp.broadcast_to(first[..., None, :], (*x.shape[:2], 1, x.shape[-1]))
        x = jnp.concatenate([first.astype(self.dtype), x], axis=2)  # [b, t, 1 + k, d]
        if self.pre_norm is not None:
            x = self.pre_norm(x)
        if key is not None:
            x = layers.dropped(x, self.cfg.kind.dropout, jax.random.fold_in(lora_key, 1))
        each = {}
        if key is not None and drop_path:
            shape = (self.cfg.depth, BRANCHES)
            draws = layers.by_item(jax.random.fold_in(drop_key, 1), items, shape)
            each["branches"] = layers.drop_path(draws, drop_path)
        x = self.run(x, key=lora_key, each=each, **options)
        pooled = self.post_norm(x[:, :, 0]).mean(axis=1)  # norm first, then the mean over frames
        seen = pooled
        if key is not None and head_dropout:
            draws = layers.by_item(jax.random.fold_in(drop_key, 2), items, pooled.shape[1:])
            seen = jnp.where(draws < head_dropout, 0, pooled / (1 - head_dropout))
        embed = seen if self.proj is None else self.proj(seen)
        return layers.TowerOutput(embed, pooled, hidden=x, tokens=self.post_norm(x))


def patchify(pixels: jax.Array, cfg: VisionConfig) -> jax.Array:
    """Cuts pixels [b, h, w, c] or [b, t, h, w, c] into flat patches [b, t, n, p], rows first.

    A signal is [b, n, c]. Of a tower for stills with tubes, one frame gives patches of one frame.

    Raises:
      ValueError: when the shape is not what the tower takes.
    """
    size = (*cfg.image_size, cfg.kind.channels)
    given = ("b", *((cfg.frames,) if cfg.frames > 1 else ()), *cfg.frame)
    if len(given) == pixels.ndim == 3:
        pixels = pixels[:, None]  # its one row
    frames = pixels.shape[1] if pixels.ndim == 5 else 1
    allowed = {cfg.frames} if cfg.tube_size and not cfg.kind.stills else {1, cfg.frames}
    if pixels.ndim not in (4, 5) or pixels.shape[-3:] != size or frames not in allowed:
        raise ValueError(
            f"input of shape {pixels.shape} where the tower takes "
            f"[{', '.join(map(str, given))}]; preprocess "
            "it with this model's own spec."
        )
    if pixels.ndim == 4:
        pixels = pixels[:, None]
    (rows, columns), (kh, kw), strides = cfg.grid, cfg.patch, cfg.strides
    if strides != cfg.patch:  # windows that overlap are laid side by side
        for axis, count, side, stride in ((2, rows, kh, strides[0]), (3, columns, kw, strides[1])):
            places = np.arange(count)[:, None] * stride + np.arange(side)
            pixels = jnp.take(pixels, places.reshape(-1), axis=axis)
    return rearrange(
        pixels[:, :, : rows * kh, : columns * kw],
        "b (t kt) (r kh) (s kw) c -> b t (r s) (kt kh kw c)",
        kt=min(cfg.tube_size or 1, frames),
        kh=kh,
        kw=kw,
    )


def kept_patches(key: jax.Array, items: jax.Array, patches: int, dropout: float) -> jax.Array:
    """Draws the patches to keep, [b, max(1, int(patches * (1 - dropout)))].

    The same ones in all frames of a clip, independent between clips. Item i draws from the key
    folded with `items[i]`, so what it keeps does not depend on the items beside it.
    """
    keep = max(1, int(patches * (1 - dropout)))
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, items)
    noise = jax.vmap(lambda one: jax.random.normal(one, (patches,)))(keys)  # [b, n]
    # all sorted, for top_k is computed on every device for the whole batch
    return jnp.argsort(noise, axis=-1, descending=True)[:, :keep]
