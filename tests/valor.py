"""The golden folder of VALOR as a model of ours: every size and name is read from it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.convert import rules, valor
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import paths
from lb_jax.models.ast import FORM, ast_config
from lb_jax.models.bert import BertConfig
from lb_jax.models.valor import ValorConfig
from lb_jax.models.vision import VisionConfig
from tests import goldens

FOLDER = goldens.FOLDER / "valor"
GROUPS = ("tva", "tv", "ta")

needs_folder = pytest.mark.skipif(
    not (FOLDER / "weights.npz").is_file(), reason=f"no golden folder {FOLDER}"
)


def settings() -> dict:
    """Content of config.json."""
    return goldens.settings(FOLDER)


@functools.cache
def arrays(name: str) -> dict[str, np.ndarray]:
    """Content of an npz file; integers as int32."""
    return {
        key: one.astype(np.int32) if one.dtype == np.int64 else one
        for key, one in goldens.arrays(FOLDER / f"{name}.npz").items()
    }


@functools.cache
def weights(*overlays: str) -> dict[str, np.ndarray]:
    """The published tensors, with others laid over them."""
    return functools.reduce(lambda a, b: {**a, **arrays(b)}, overlays, arrays("weights"))


@functools.cache
def config(cross: str = "va_concate", alignment: str = "weighted", **changed) -> ValorConfig:
    """The model's shape."""
    given = settings()
    text, video, audio = given["decoder"], given["vision"], given["audio"]

    def size(one):
        return one["width"], one["layers"], one["heads"], one["mlp"]

    return ValorConfig(
        text=BertConfig(
            *size(text),
            vocab=text["vocab_size"],
            context=text["max_positions"],
            cross=cross,
            epsilon=text["ln_eps"],
            pad=text["pad_id"],
            begin=text["bos_id"],
            end=text["eos_id"],
            mask=text["mask_id"],
        ),
        video=VisionConfig(
            *size(video),
            patch_size=video["patch"],
            image_size=(video["resolution"],) * 2,
            embed_dim=0,
            activation=video["activation"],
        ),
        audio=ast_config(
            *size(audio),
            image_size=(audio["mel_bins"], audio["frames"]),
            patch_size=audio["patch"],
            form=FORM,
        ),
        embed_dim=given["contra_dim"],
        temperature="logit_scale",
        alignment=alignment,
        **changed,
    )


@functools.cache
def params(cfg: ValorConfig, *overlays: str) -> paths.Tree:
    """The published tensors as parameters."""
    found = {name: lazy(array) for name, array in weights(*overlays).items()}
    wanted = {
        path: (places, np.float32) for path, places in rules.by_path(valor.places(cfg)).items()
    }
    leaves = rules.leaves(FOLDER, found, wanted)
    return jax.tree.map(jnp.asarray, paths.unflatten(leaves))


def lazy(array: np.ndarray) -> LazyTensor:
    """An array as what a reader gives."""
    return LazyTensor(array.shape, array.dtype, lambda rows=None: array[rows or ...])


def frames() -> np.ndarray:
    """Pictures [b, n, h, w, 3]."""
    return np.moveaxis(arrays("inputs")["video"], 2, -1)


def prompt(name: str, *, on: bool) -> np.ndarray | None:
    """A task's prompt, or none."""
    return np.asarray(settings()["prompts"][name], np.int32) if on else None
