"""What readers of depth maps share: which array of a file is the map, its size, damage told."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from lb_jax.core import errors
from lb_jax.media import image

NAMES = ("depth", "depths", "depthmap", "z", "dataset", "data", "arr0")


def choose(arrays: Mapping[str, tuple[tuple[int, ...], np.dtype]], name: str) -> str:
    """The array of a file that is the depth map: the only one, or the one that is called so.

    Args:
      arrays: key -> shape and type.
      name: of the file, for the error.

    Raises:
      DataError: none is a map of numbers, or several are.
    """
    maps = [
        key
        for key, (shape, dtype) in arrays.items()
        if dtype.kind in "fiu" and len([n for n in shape if n != 1]) == 2
    ]
    plain = {key: key.rpartition("/")[2].lower().replace("_", "") for key in maps}
    for wanted in NAMES:
        named = [key for key in maps if plain[key] == wanted]
        if len(maps) > 1 and len(named) == 1:
            maps = named
    named = [key for key in maps if "depth" in plain[key]]
    if len(maps) > 1 and len(named) == 1:  # depth_gt, pred_depth
        maps = named
    if len(maps) == 1:
        return maps[0]
    found = ", ".join(
        f"{printable(key)} {dtype} {list(shape)}"
        for key, (shape, dtype) in list(arrays.items())[:8]
    )
    raise errors.DataError(
        name,
        f"holds {found or 'no array'}; expected one map [h, w] of numbers, or one called depth. "
        "Save the map alone",
    )


def one_map(array: np.ndarray) -> np.ndarray:
    """[h, w, 1], as programs write one map, without that axis; [1, h, w] is a batch."""
    return array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array


def two_axes(array: np.ndarray) -> np.ndarray:
    """A map without axes of length 1 beside its own two."""
    return array if array.ndim == 2 else array.squeeze()


def require_size(width: int, height: int, name: str) -> None:
    """Raises DataError for a map without a pixel, or of more than `image.MAX_PIXELS`."""
    if min(width, height) < 1 or width * height > image.MAX_PIXELS:
        raise image.too_large(name, f"{width}x{height}")


@contextlib.contextmanager
def told(what: str, name: str, kinds: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Makes what a library raises on a damaged file an error of that file.

    These libraries raise whatever is at hand, and everything inside is done by them.

    Args:
      what: the format.
      name: of the file.
      kinds: what of it is damage.
    """
    try:
        yield
    except errors.LbJaxError:
        raise
    except kinds as e:
        raise errors.DataError(
            name, f"is a damaged {what} file, or of a kind that is not read ({short(e)})"
        ) from e


def printable(key: str) -> str:
    """A name in a file, fit for a line."""
    return key[:40] if key.isprintable() else ascii(key[:40])


def short(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__
