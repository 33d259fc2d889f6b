"""The golden folder of both generators, and small ones of ours with drawn weights."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import paths
from lb_jax.models.glpn import Glpn, GlpnConfig
from lb_jax.models.munit import Generator, MunitConfig
from tests import goldens

FOLDER = goldens.FOLDER / "vidal_generators"
GLPN, MUNIT = FOLDER / "glpn", FOLDER / "munit"
needs_folder = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no golden folder {FOLDER}")

SMALL_GLPN = GlpnConfig((4, 8, 10, 16), (2, 1, 1, 1), decoder_width=4)
SMALL_MUNIT = MunitConfig(4, 6, 3, 1, 2)


def names(folder, part: str) -> list[str]:
    """Arrays of a folder's io.npz whose name begins so; none without the folder."""
    if not FOLDER.is_dir():
        return []
    return sorted(name for name in goldens.arrays(folder / "io.npz") if name.startswith(part))


def cases(folder, part: str) -> list[str]:
    """Cases whose name begins so."""
    return sorted({name.partition("/")[0] for name in names(folder, part)})


def io(folder, name: str) -> np.ndarray:
    """An array of a folder's io.npz."""
    return goldens.arrays(folder / "io.npz")[name]


def last(x: np.ndarray) -> np.ndarray:
    """Channels last: [b, c, h, w] or [c, h, w] -> [b, h, w, c], [h, w, c]."""
    return np.moveaxis(x, -3, -1)


def gap(found, expected) -> float:
    """The largest difference, of arrays of one shape."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


def off_by_one(found: np.ndarray, expected: np.ndarray) -> float:
    """The share of whole numbers that differ, none of them by more than one."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    apart = np.abs(found.astype(np.int64) - expected)
    assert apart.max() <= 1
    return float((apart > 0).mean())


@functools.cache
def drawn_glpn():
    """Parameters of the small network."""
    return _drawn(lambda: Glpn(SMALL_GLPN, rngs=nnx.Rngs(params=0)))


@functools.cache
def drawn_munit():
    """Parameters of the small generators of both domains."""
    return {
        domain: _drawn(lambda: Generator(SMALL_MUNIT, rngs=nnx.Rngs(params=0)), seed)
        for seed, domain in enumerate("ab")
    }


def _drawn(make, seed: int = 0):
    """Of a size at which every leaf shows."""
    rng = np.random.default_rng(seed)
    shapes = paths.flatten(nnx.to_pure_dict(nnx.split(nnx.eval_shape(make))[1]))
    found = {}
    for path, leaf in shapes.items():
        values = rng.standard_normal(leaf.shape).astype(np.float32)
        if path.endswith("kernel"):
            values *= np.prod(leaf.shape[:-1]) ** -0.5
        elif path.endswith(("scale", "var")):
            values = 1 + 0.1 * np.abs(values)
        else:
            values *= 0.1
        found[path] = values
    return jax.tree.map(np.asarray, paths.unflatten(found))
