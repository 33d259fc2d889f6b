"""The golden folder of MMV as models of ours: every size and name is read from it."""

import dataclasses
import functools
import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lb_jax.convert import mmv as convert
from lb_jax.convert import rules
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import paths
from lb_jax.models import resnet
from lb_jax.models.graphs import GraphConfig, HeadConfig
from lb_jax.models.mmv import TOWERS, MmvConfig
from lb_jax.models.s3d import S3DConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.models.words import WordsConfig
from tests import goldens

FOLDER = goldens.FOLDER / "mmv"
STEPS = 3  # of training, in every case that trains


def cases(prefix: str) -> list[str]:
    """Names of the cases that begin so, of those with numbers."""
    return sorted(path.parent.name for path in FOLDER.glob(f"{prefix}*/io.npz"))


def settings(case: str) -> dict:
    """Content of config.json."""
    return goldens.settings(FOLDER / case)


def arrays(case: str) -> dict[str, np.ndarray]:
    """Content of io.npz."""
    return goldens.arrays(FOLDER / case / "io.npz")


def tree(case: str) -> dict:
    """Content of tree.json: `parameters` and `state`."""
    return json.loads((FOLDER / case / "tree.json").read_text())


def drawn(seed: int, path: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array by the README's rule; float32."""
    key = zlib.crc32(f"{path}/{name}".encode())
    z = np.random.RandomState((key ^ seed) & 0xFFFFFFFF).standard_normal(shape)
    if name == "w":
        gain = 1.9 if len(shape) == 5 else 1.0
        z = gain * z / np.sqrt(np.prod(shape[:-1]))
    elif name == "average":
        z = 0.1 * z if path.endswith("/mean_ema") else np.exp(0.2 * z)
    else:
        scale, shift = {
            "b": (0.05, 0.0),
            "scale": (0.1, 1.0),
            "offset": (0.1, 0.0),
            "embeddings": (0.5, 0.0),
        }[name]
        z = shift + scale * z
    return np.asarray(z, np.float32)


def _statistic(seed: int, path: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name == "counter":
        return np.float32(5)
    average = drawn(seed, path, "average", shape)
    if name == "hidden":
        average = (np.float64(average) * (1 - 0.9**5)).astype(np.float32)
    return average


@functools.cache
def tensors(case: str, state: str = "rule") -> dict[str, np.ndarray]:
    """Every array by its published name, the statistics of the version "rule" or "fresh"."""
    seed, listed = settings(case)["seed"], tree(case)
    found = {
        f"{path}/{name}": drawn(seed, path, name, tuple(shape))
        for path, name, shape in listed["parameters"]
    }
    for path, name, shape in listed.get("state", ()):
        array = _statistic(seed, path, name, tuple(shape))
        found[f"{path}/{name}"] = array if state == "rule" else np.zeros_like(array)
    return found


def lazy(array: np.ndarray) -> LazyTensor:
    """An array as what a reader gives."""
    return LazyTensor(array.shape, array.dtype, lambda rows=None: array[rows or ...])


def filled(places: list[rules.Place], found: dict[str, np.ndarray]) -> paths.Tree:
    """The leaves of all places, every tensor used."""
    given = {name: lazy(array) for name, array in found.items()}
    assert rules.prove(FOLDER, given, places) == ()
    wanted = {path: (group, np.float32) for path, group in rules.by_path(places).items()}
    return jax.tree.map(jnp.asarray, paths.unflatten(rules.leaves(FOLDER, given, wanted)))


@functools.cache
def network(case: str):
    """The tower's config and the names' rules of a case of one network."""
    given = settings(case)
    if given["net"] == "tsm":
        changed = {}
        if "group_channels" in given:
            changed = {"channels": given["group_channels"], "blocks": given["group_blocks"]}
        cfg = TSMConfig(**{name: tuple(one) for name, one in changed.items()})
        return cfg.wider(given.get("width_mult", 1))
    if given["net"] == "resnet":
        return resnet.VARIANTS[given["depth"]]
    return S3DConfig(
        space_to_depth=given["space_to_depth"],
        first_frames=given.get("first_temporal_kernel_size"),
        gated_from=_layer(given.get("gating_startat", "Conv2d_2c_3x3")),
        temporal_from=_layer(given.get("temporal_conv_startat", "Conv2d_2c_3x3")),
    )


def _layer(name: str | None) -> str | None:
    """Our name of one of S3D's layers: Conv2d_2c_3x3 -> conv_2c."""
    if name is None:
        return None
    kind, place = name.replace("Conv2d", "conv").replace("MaxPool", "pool").split("_")[:2]
    return f"{kind.lower()}_{place}"


def endpoint(net: str, name: str) -> str | None:
    """Our name of a named intermediate; None for the pooled features."""
    if name in ("Embeddings", "output"):
        return None
    if net == "s3d":
        return _layer(name)
    if name == "last_conv":  # the audio network gives it before its last norm
        return resnet.LAST if net == "tsm" else "groups/3"
    return "stem" if name.endswith("stem") else f"groups/{name.rpartition('_')[2]}"


def changed(cfg, **fields):
    """A config with other values."""
    return dataclasses.replace(cfg, **fields)


@functools.cache
def module(cfg):
    """The graph of a tower and the shapes of its leaves."""
    return nnx.split(nnx.eval_shape(lambda: TOWERS[type(cfg)](cfg, rngs=nnx.Rngs(params=0))))


@functools.cache
def leaf_places(case: str) -> list[rules.Place]:
    """Where every leaf of a case's network lies."""
    cfg = network(case)
    _, state = module(cfg)
    shapes = {p: leaf.shape for p, leaf in paths.flatten(nnx.to_pure_dict(state)).items()}
    where, make = convert.TOWER_RULES[type(cfg)]
    root = where.rsplit("~/", 1)[1]
    return rules.places(make("", root, convert.norm_name(tensors(case))), shapes)


@functools.cache
def params(case: str, state: str = "rule") -> paths.Tree:
    """The leaves of a case's network."""
    return filled(leaf_places(case), tensors(case, state))


def _head(mode: str, width: int, norm: bool) -> HeadConfig:
    kind, *inner = mode.split("@")
    return HeadConfig(width, tuple(map(int, inner)), inner_norm=kind != "mlp_nobn", norm=norm)


# What the package takes where a case names no heads: (mode, norm, width).
_DEFAULTS = {
    "config_video_audio": {
        "embedding_dim": 512,
        "toaud_head_mode": "mlp@512",
        "toaud_bn_after_proj": True,
        "tovid_head_mode": "linear",
        "tovid_bn_after_proj": False,
    },
    "config_video_text": {
        "embedding_dim": 512,
        "totxt_head_mode": "mlp@512",
        "totxt_bn_after_proj": True,
        "tovid_head_mode": "linear",
        "tovid_bn_after_proj": False,
    },
    "config_audio_text": {
        "embedding_dim": 512,
        "totxt_head_mode": "linear",
        "totxt_bn_after_proj": False,
        "toaud_head_mode": "linear",
        "toaud_bn_after_proj": False,
    },
}
# Our head -> (pair, which of its heads).
_PAIRS = {
    "video_va": ("config_video_audio", "toaud"),
    "audio_va": ("config_video_audio", "tovid"),
    "video_vt": ("config_video_text", "totxt"),
    "video_vat": ("config_video_text", "totxt"),
    "coarse": ("config_video_text", "totxt"),
    "audio_vat": ("config_video_audio", "tovid"),
    "text_vt": ("config_video_text", "tovid"),
    "text_vat": ("config_video_text", "tovid"),
    "audio_at": ("config_audio_text", "totxt"),
    "text_at": ("config_audio_text", "toaud"),
}


def graph(model: dict) -> GraphConfig:
    """The graph of a case's constructor arguments."""
    kind, _, interaction = model["mm_embedding_graph"].partition("_")
    plain = GraphConfig(kind, {}, interaction or "none", model.get("use_audio_text", False))
    heads = {}
    for name in {route.head for _, _, route in plain.routes()}:
        pair, side = _PAIRS[name]
        given = model.get(pair) or _DEFAULTS[pair]
        mode, norm = given[f"{side}_head_mode"], given[f"{side}_bn_after_proj"]
        heads[name] = _head(mode, given["embedding_dim"], norm)
    return GraphConfig(plain.kind, heads, plain.interaction, plain.audio_text)


def full(given: dict) -> MmvConfig:
    """The model of a case of whole models, or of a tree."""
    model = given["model"]
    if model["visual_backbone"] == "s3d":
        video = S3DConfig(space_to_depth=given["space_to_depth"])
    else:
        video = TSMConfig().wider(model.get("vision_model_kwargs", {}).get("width_mult", 1))
    depth = int(model["audio_backbone"].removeprefix("resnet"))
    text = WordsConfig(model["sentence_dim"], given["vocabulary"], given["word_dim"])
    return MmvConfig(graph(model), video, resnet.VARIANTS[depth], text)


# Output of the published networks -> modality, and our spaces in the order in which they stand for
# it.
OUTPUTS = {
    "vid_embd.toaud": ("video", ("va", "vat")),
    "vid_embd.totxt": ("video", ("vt", "vat")),
    "aud_embd.tovid": ("audio", ("va", "vat")),
    "aud_embd.totxt": ("audio", ("vat", "at")),
    "txt_embd.tovid": ("text", ("vt", "vat")),
    "txt_embd.toaud": ("text", ("at", "vat")),
}


def output(embeddings, name: str):
    """The embedding that a published output stands for."""
    modality, spaces = OUTPUTS[name]
    return next(embeddings[modality][one] for one in spaces if one in embeddings[modality])


def gap(found, expected) -> list[float]:
    """The largest difference and their mean, in shares of the largest expected value."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    apart = np.abs(found - expected) / max(np.abs(expected).max(), 1e-30)
    return [float(apart.max()), float(apart.mean())]
