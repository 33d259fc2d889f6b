"""The translator of MUNIT, by which sRGB-TIR makes infrared of RGB (generators spec 2).

A model has a generator for each of two domains. Either tells the content of a picture, a map, from
its style, a vector; a picture of the other domain is the content decoded by the other's decoder
with any style of that one. Written from the description in words; the original's code, which may
not be used commercially, is no part of it. For use, not for training.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import layers
from lb_jax.models.conv2d import Conv2d

EPSILON = 1e-5
# Strided convolutions of the style encoder, however many the content encoder has, and by what
# their channels are multiples of the first one's.
STYLE_WIDTHS = (2, 4, 4, 4)


@dataclasses.dataclass(frozen=True)
class MunitConfig:
    """Shape of a generator; the usual one is that of sRGB-TIR's published config.

    Attributes:
      width: channels of the first convolution; each halving of the sides doubles them.
      mlp_dim: hidden width of what makes norms out of a style.
      style_dim: length of a style.
      halvings: how often the content encoder halves both sides.
      blocks: residual blocks of encoder and decoder.
    """

    width: int = 64
    mlp_dim: int = 256
    style_dim: int = 8
    halvings: int = 2
    blocks: int = 4

    def __post_init__(self):
        for field in dataclasses.fields(self):
            least = 0 if field.name == "halvings" else 1
            if getattr(self, field.name) < least:
                raise errors.ConfigError(
                    f"{field.name} {getattr(self, field.name)}; give a whole number from {least} "
                    "on."
                )

    @property
    def content_dim(self) -> int:
        """Channels of a content."""
        return self.width * 2**self.halvings

    @property
    def multiple(self) -> int:
        """What sides should be multiples of; a rest is cut off the picture that is made."""
        return 2**self.halvings

    @property
    def affine_dim(self) -> int:
        """Numbers that a style becomes: bias and scale of two norms a block."""
        return self.blocks * 2 * 2 * self.content_dim


def instance_norm(x: jax.Array) -> jax.Array:
    """[b, h, w, c] -> same: every channel of every picture has mean 0 and variance 1."""
    x = x - _mean_of_places(x)
    return x * jax.lax.rsqrt(_mean_of_places(x * x) + EPSILON)


def _mean_of_places(x: jax.Array) -> jax.Array:
    """[b, h, w, c] -> [b, 1, 1, c], axis by axis: one long float32 sum would lose digits."""
    return x.mean(2, keepdims=True).mean(1, keepdims=True)


class PictureNorm(nnx.Module):
    """[b, h, w, c] -> same: one mean and deviation for all of a picture, then each channel's own.

    The deviation is that of n - 1, and epsilon is added to it and not to its square.
    """

    def __init__(self, width: int, *, dtype):
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, c] -> same, in the compute dtype; computed in float32."""
        x = x.astype(jnp.float32)
        count = x[0].size
        x = x - _mean_of_places(x).mean(-1, keepdims=True)
        var = _mean_of_places(x * x).mean(-1, keepdims=True) * (count / (count - 1))
        x = x / (jnp.sqrt(var) + EPSILON)
        return (x * self.scale[...] + self.bias[...]).astype(self.dtype)


class ResBlock(nnx.Module):
    """[b, h, w, d] -> same: two convolutions with norms, ReLU between them, and the input."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype):
        options = {"padding": 1, "border": "reflect", "rngs": rngs, "dtype": dtype}
        self.conv1, self.conv2 = (Conv2d(width, width, 3, **options) for _ in range(2))
        self.dtype = dtype

    def __call__(self, x: jax.Array, affine: jax.Array | None = None) -> jax.Array:
        """[b, h, w, d] -> same.

        Args:
          x: the map.
          affine: [b, 2, 2, d] bias and scale of each of both norms; None has none.
        """
        y = jax.nn.relu(self._normed(self.conv1(x), affine, 0))
        return x + self._normed(self.conv2(y), affine, 1)

    def _normed(self, x: jax.Array, affine: jax.Array | None, which: int) -> jax.Array:
        x = instance_norm(x.astype(jnp.float32))
        if affine is not None:
            bias, scale = (affine[:, which, k, None, None].astype(jnp.float32) for k in range(2))
            x = x * scale + bias  # as it is, not 1 + scale
        return x.astype(self.dtype)


def _blocks(cfg: MunitConfig, rngs: nnx.Rngs, dtype) -> nnx.Dict:
    return nnx.Dict(
        {str(i): ResBlock(cfg.content_dim, rngs=rngs, dtype=dtype) for i in range(cfg.blocks)}
    )


class ContentEncoder(nnx.Module):
    """[b, h, w, 3] -> [b, h / 4, w / 4, d]: halved by convolutions, then residual blocks."""

    def __init__(self, cfg: MunitConfig, *, rngs: nnx.Rngs, dtype):
        options = {"border": "reflect", "rngs": rngs, "dtype": dtype}
        self.cfg, self.dtype = cfg, dtype
        self.stem = Conv2d(3, cfg.width, 7, padding=3, **options)
        self.down = nnx.Dict(
            {
                str(i): Conv2d(width, 2 * width, 4, stride=2, padding=1, **options)
                for i, width in enumerate(cfg.width * 2**i for i in range(cfg.halvings))
            }
        )
        self.blocks = _blocks(cfg, rngs, dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, 3] in -1..1 -> [b, h / 4, w / 4, d]."""
        for conv in (self.stem, *(self.down[str(i)] for i in range(self.cfg.halvings))):
            x = jax.nn.relu(instance_norm(conv(x).astype(jnp.float32))).astype(self.dtype)
        for i in range(self.cfg.blocks):
            x = self.blocks[str(i)](x)
        return x


class StyleEncoder(nnx.Module):
    """[b, h, w, 3] -> [b, s]: convolutions without norms, and their mean over all places."""

    def __init__(self, cfg: MunitConfig, *, rngs: nnx.Rngs, dtype):
        options = {"border": "reflect", "rngs": rngs, "dtype": dtype}
        self.stem = Conv2d(3, cfg.width, 7, padding=3, **options)
        widths = [cfg.width, *(cfg.width * many for many in STYLE_WIDTHS)]
        self.down = nnx.Dict(
            {
                str(i): Conv2d(*pair, 4, stride=2, padding=1, **options)
                for i, pair in enumerate(itertools.pairwise(widths))
            }
        )
        self.proj = Conv2d(widths[-1], cfg.style_dim, 1, rngs=rngs, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, 3] in -1..1 -> [b, s]."""
        for conv in (self.stem, *(self.down[str(i)] for i in range(len(STYLE_WIDTHS)))):
            x = jax.nn.relu(conv(x))
        return self.proj(_mean_of_places(x))[:, 0, 0]


class StyleMlp(nnx.Module):
    """[b, s] -> [b, n]: bias and scale of all norms of the decoder's blocks."""

    def __init__(self, cfg: MunitConfig, *, rngs: nnx.Rngs, dtype):
        options = {"rngs": rngs, "dtype": dtype}
        self.fc1 = layers.Linear(cfg.style_dim, cfg.mlp_dim, **options)
        self.fc2 = layers.Linear(cfg.mlp_dim, cfg.mlp_dim, **options)
        self.fc3 = layers.Linear(cfg.mlp_dim, cfg.affine_dim, **options)

    def __call__(self, style: jax.Array) -> jax.Array:
        """[b, s] -> [b, n]."""
        return self.fc3(jax.nn.relu(self.fc2(jax.nn.relu(self.fc1(style)))))


class UpStage(nnx.Module):
    """[b, h, w, d] -> [b, 2 h, 2 w, d / 2]: every pixel four times, a convolution, a norm."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype):
        options = {"padding": 2, "border": "reflect", "rngs": rngs, "dtype": dtype}
        self.conv = Conv2d(width, width // 2, 5, **options)
        self.norm = PictureNorm(width // 2, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, d] -> [b, 2 h, 2 w, d / 2]."""
        x = repeat(x, "b h w d -> b (h i) (w j) d", i=2, j=2)
        return jax.nn.relu(self.norm(self.conv(x)))


class Decoder(nnx.Module):
    """Content [b, h / 4, w / 4, d] and [b, n] of a style -> [b, h, w, 3]."""

    def __init__(self, cfg: MunitConfig, *, rngs: nnx.Rngs, dtype):
        self.cfg = cfg
        options = {"rngs": rngs, "dtype": dtype}
        self.blocks = _blocks(cfg, rngs, dtype)
        self.up = nnx.Dict(
            {str(i): UpStage(cfg.content_dim // 2**i, **options) for i in range(cfg.halvings)}
        )
        self.out = Conv2d(cfg.width, 3, 7, padding=3, border="reflect", **options)

    def __call__(self, content: jax.Array, affine: jax.Array) -> jax.Array:
        """[b, h / 4, w / 4, d], [b, n] -> [b, h, w, 3] in -1..1.

        Of the n numbers those of the first block's first norm come first, of each norm the biases
        before the scales.
        """
        parts = rearrange(affine, "b (l m k d) -> l b m k d", l=self.cfg.blocks, m=2, k=2)
        x = content
        for i in range(self.cfg.blocks):
            x = self.blocks[str(i)](x, parts[i])
        for i in range(self.cfg.halvings):
            x = self.up[str(i)](x)
        return jnp.tanh(self.out(x).astype(jnp.float32))


class Generator(nnx.Module):
    """One domain: what tells content and style of its pictures, and what makes such a picture.

    Args:
      cfg: its shape.
      dtype: compute dtype; means and deviations are float32 always.
    """

    def __init__(self, cfg: MunitConfig, *, rngs: nnx.Rngs, dtype=jnp.float32):
        self.cfg = cfg
        options = {"rngs": rngs, "dtype": dtype}
        self.content = ContentEncoder(cfg, **options)
        self.style = StyleEncoder(cfg, **options)
        self.mlp = StyleMlp(cfg, **options)
        self.decoder = Decoder(cfg, **options)

    def decode(self, content: jax.Array, style: jax.Array) -> jax.Array:
        """A picture of this domain: [b, h, w, d] of either, [b, s] of this -> [b, 4 h, 4 w, 3]."""
        return self.decoder(content, self.mlp(style))


def require_pictures(shape: tuple[int, ...], cfg: MunitConfig) -> None:
    """Raises `ValueError` for what is no batch of pictures, or of ones too small to reflect."""
    # the smallest map that a block pads must have two pixels; the 7 x 7 reflects three
    least = max(2 * cfg.multiple, 4)
    if len(shape) != 4 or shape[-1] != 3 or min(shape[1:3]) < least or not shape[0]:
        raise ValueError(
            f"input of shape {shape} where the translator takes [b, height, width, 3] with sides "
            f"from {least} on; resize the pictures."
        )


def translate(encoder: ContentEncoder, mlp: StyleMlp, decoder: Decoder, x, style) -> jax.Array:
    """Pictures of one domain as pictures of another: [b, h, w, 3], [b, s] -> [b, h', w', 3].

    Args:
      encoder: of the domain that they are of.
      mlp, decoder: of the other.
      x: float [b, h, w, 3] in -1..1.
      style: [b, s] of the other domain.

    Returns:
      In -1..1; sides are those of `x` without a rest of `MunitConfig.multiple`.

    Raises:
      ValueError: for another shape.
    """
    require_pictures(x.shape, encoder.cfg)
    return decoder(encoder(x), mlp(style))
