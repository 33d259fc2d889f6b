"""Whether weights still compute the same after they were converted."""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert.lazy import LazyTensor
from lb_jax.convert.parts import Weights
from lb_jax.convert.safetensors_reader import read_safetensors
from lb_jax.convert.weights import open_weights
from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.models.languagebind import LanguageBind, ModelConfig, input_shape

BATCH = 2


def differences(before: Weights, folder: Path, to: str) -> dict[str, float]:
    """Largest absolute difference of unit embeddings of the same random inputs, by tower.

    Args:
      before: the weights that were converted.
      folder: what was written.
      to: its format.
    """
    model = LanguageBind(before.config)
    found = {}
    for name in (*model.modalities, TEXT):
        x = random_input(model, name)
        found[name] = float(
            np.abs(embed(before, name, x) - _again(model, folder, to, name, x)).max()
        )
    return found


def _again(model: LanguageBind, folder: Path, to: str, name: str, x: np.ndarray) -> np.ndarray:
    """Embeds with what was written."""
    if to == "stablehlo":
        exported = jax.export.deserialize((folder / f"{name}.stablehlo").read_bytes())
        tensors: dict[str, LazyTensor] = read_safetensors(folder / f"{name}.safetensors")
        return np.asarray(exported.call({path: t.read() for path, t in tensors.items()}, x))
    if to in ("hf", "clip", "open_clip") and model.cfg.family is None:
        several = len(model.modalities) > 1
        one = model.modalities[0] if name == TEXT else name
        return embed(open_weights({one: folder / one if several else folder}), name, x)
    return embed(open_weights(folder), name, x)


def embed(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Unit embeddings, float32 [n, e], by one tower of weights."""
    if name == TEXT:
        params = {TEXT: weights.part(TEXT, np.float32)}
    else:
        params = {
            "base": weights.part("base", np.float32),
            "towers": {name: weights.part(f"towers/{name}", np.float32)},
        }
    return np.asarray(_program(weights.config)(_on_device(params), name, x))


@functools.lru_cache(maxsize=8)
def _program(config: ModelConfig) -> Callable[..., jax.Array]:
    """Compiled `encode`, the same for all weights of one config."""
    return jax.jit(LanguageBind(config).encode, static_argnums=1)


def random_input(model: LanguageBind, name: str) -> np.ndarray:
    """Normal pixels, or texts of random words that end with the largest id."""
    rng = np.random.default_rng(0)
    if name == TEXT:
        text = model.cfg.text
        ids = rng.integers(1, text.vocab - 1, (BATCH, text.context), np.int32)
        ids[:, text.context // 2 :] = 0
        ids[:, text.context // 2] = text.vocab - 1
        return ids
    return rng.standard_normal((BATCH, *input_shape(model.cfg, name)), np.float32)


def _on_device(params: paths.Tree) -> paths.Tree:
    return jax.tree.map(jnp.asarray, params)
