"""Convolutions of pictures as torch lays them out: so many pixels on every side, and a bias.

Towers of TensorFlow's borders take `convolution.Conv`.
"""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx

BORDERS = ("zeros", "reflect")  # reflect: the outermost pixel is not repeated


class Conv2d(nnx.Module):
    """[b, h, w, i] -> [b, h', w', o], a kernel [k, k, i, o] and a bias.

    h' is (h + 2 padding - k) // stride + 1.

    Args:
      inputs, outputs: channels.
      side: k.
      stride: of the window, down and right.
      padding: pixels on every side.
      border: a row of `BORDERS`, what these are.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        *,
        rngs: nnx.Rngs,
        dtype,
        stride: int = 1,
        padding: int = 0,
        border: str = "zeros",
    ):
        shape = (side, side, inputs, outputs)
        size = (side * side * inputs) ** -0.5
        self.kernel = nnx.Param(size * jax.random.normal(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(outputs))
        self.dtype, self.stride, self.padding, self.border = dtype, stride, padding, border

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, i] -> [b, h', w', o] in the compute dtype."""
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        return convolve(x, kernel, self.stride, self.padding, self.border) + self.bias[...].astype(
            self.dtype
        )


def convolve(
    x: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0, border: str = "zeros"
) -> jax.Array:
    """[b, h, w, i], [k, k, i, o] -> [b, h', w', o]; see `Conv2d`.

    Windows that do not overlap are a product of matrices.
    """
    side = kernel.shape[0]
    if side == stride and not padding:
        return _of_patches(x, kernel)
    around = [(padding, padding)] * 2
    if padding and border == "reflect":
        x = jnp.pad(x, [(0, 0), *around, (0, 0)], mode="reflect")
        around = [(0, 0)] * 2
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), around, dimension_numbers=names
    )


def _of_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    side = kernel.shape[0]
    rows, columns = (size // side * side for size in x.shape[1:3])
    patches = rearrange(x[:, :rows, :columns], "b (h i) (w j) c -> b h w (i j c)", i=side, j=side)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


class Depthwise(nnx.Module):
    """[b, h, w, c] -> same: each channel alone, a window of 3 x 3 over zeros around, and a bias.

    The kernel is [3, 3, 1, c]. It is a sum of nine products: XLA's CPU backend takes many times as
    long for a convolution of as many groups as channels.
    """

    SIDE = 3

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype):
        shape = (self.SIDE, self.SIDE, 1, width)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), shape) / self.SIDE)
        self.bias = nnx.Param(jnp.zeros(width))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, c] -> same, in the compute dtype."""
        height, width = x.shape[1:3]
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel = self.kernel[...].astype(self.dtype)
        y = self.bias[...].astype(self.dtype)
        for i in range(self.SIDE):
            for j in range(self.SIDE):
                y = y + x[:, i : i + height, j : j + width] * kernel[i, j, 0]
        return y
