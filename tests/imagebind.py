"""The golden folder of ImageBind as towers of ours: every size and name is read from it."""

import functools

import jax
import numpy as np
from flax import nnx

from lb_jax.convert import imagebind as convert
from lb_jax.convert import rules, tensors
from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.models.text import TextTower
from lb_jax.models.vision import VisionTower
from tests import goldens

FOLDER = goldens.FOLDER / "imagebind"
WHOLE = FOLDER / "whole"
FILE = WHOLE / "imagebind.pth"


def settings(case: str) -> dict:
    """Content of config.json."""
    return goldens.settings(FOLDER / case)


def arrays(case: str) -> dict[str, np.ndarray]:
    """Content of io.npz."""
    return goldens.arrays(FOLDER / case / "io.npz")


@functools.cache
def stored(case: str) -> dict:
    """The tensors of a tower by their names in the state dict."""
    file = FOLDER / case / "model.safetensors"
    return tensors.state_dict(tensors.open_tensors(file), file)


@functools.cache
def config(case: str):
    """The shape of a tower."""
    shapes = {name: tensor.shape for name, tensor in stored(case).items()}
    towers, text = convert.towers_of(case, shapes, settings(case))
    return text if case == TEXT else towers[convert.TOWERS[case][0]]


@functools.cache
def leaves(case: str) -> dict[str, np.ndarray]:
    """Path -> array of a tower and of its temperature, every tensor of the file used."""
    graph, state = split(case, config(case))
    del graph
    shapes = {f"{case}/{path}": leaf.shape for path, leaf in state.items()}
    if case != convert.VISION:
        shapes[f"logit_scale/{case}"] = ()
    places, ignored = rules.places(convert.RULES, shapes), ()
    if case == TEXT:
        ignored = (convert.MASK.replace(".", r"\."),)
    assert rules.prove(case, stored(case), places, ignored) == tuple(
        [convert.MASK] if ignored else []
    )
    wanted = {path: (group, np.float32) for path, group in rules.by_path(places).items()}
    return rules.leaves(case, stored(case), wanted)


def split(case: str, cfg, **options):
    """The graph of a tower and the shapes of its parameters by path."""
    kind = TextTower if case == TEXT else VisionTower
    made = nnx.eval_shape(lambda: kind(cfg, rngs=nnx.Rngs(params=0), **options))
    graph, state = nnx.split(made)
    return graph, paths.flatten(nnx.to_pure_dict(state))


def tower(case: str, cfg=None, changed=None, **options):
    """A tower with the weights of the folder.

    Args:
      case: which.
      cfg: of another form or size.
      changed: path -> what takes the place of a leaf.
      **options: of `stack.Tower`.
    """
    graph, shapes = split(case, cfg or config(case), **options)
    found = {path.removeprefix(f"{case}/"): leaf for path, leaf in leaves(case).items()}
    found |= changed or {}
    return nnx.merge(
        graph, paths.unflatten({path: jax.numpy.asarray(found[path]) for path in shapes})
    )


def temperature(case: str) -> float:
    """What the reference multiplies unit vectors by."""
    scale = leaves(case).get(f"logit_scale/{case}")
    return 1.0 if scale is None else min(float(np.exp(np.float64(scale))), 100.0)


def ours(case: str, x: np.ndarray) -> tuple[np.ndarray, int | None]:
    """An input as the tower takes it, and how many clips an item has; None without such an axis."""
    if case == TEXT:
        return x.astype(np.int32), None
    plain = 3 if case == "imu" else 4
    clips = x.shape[1] if x.ndim > plain else None
    x = np.asarray(x, np.float32)
    x = x if clips is None else x.reshape(-1, *x.shape[2:])  # [b, c, ...]
    return np.moveaxis(x, 1, -1), clips
