"""GLPN under the names of transformers (generators spec 1.5), in and out."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from flax import nnx

from lb_jax.convert import fields, hub, lazy, rules, source, tensors
from lb_jax.convert.rules import CONVOLUTION, Rule
from lb_jax.core import checkpoint, errors, paths
from lb_jax.models.glpn import STRIDES, Glpn, GlpnConfig

MODEL_TYPE = "glpn"
PUBLISHED = "vinvino02/glpn-nyu"  # Apache-2.0
PREPROCESSOR = {  # of all published ones; nothing in it changes with the model
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "GLPNFeatureExtractor",
    "resample": 2,
    "size_divisor": 32,
}

_STAGE, _BLOCK = r"encoder/(\d+)/", r"encoder/(\d+)/blocks/"
_EMBED, _THEIRS = r"glpn.encoder.patch_embeddings.\1.", r"glpn.encoder.block.\1.{layer}."
_DECODER, _FUSE = r"decoder/(\d+)/", r"decoder/(\d+)/fuse/"
_STAGES, _FUSION = r"decoder.stages.\1.", r"decoder.stages.\1.fusion.convolutional_layer\2"
_RUNNING = {"mean": "running_mean", "var": "running_var"}
# How many batches a norm saw; its mean and variance are no longer counted on.
_SEEN = "num_batches_tracked"
IGNORED = (rf"decoder\.stages\.\d+\.fusion\.convolutional_layer\d+\.1\.{_SEEN}",)


def conv(ours: str, theirs: str) -> tuple[Rule, Rule]:
    """The rows of a convolution with bias."""
    return (
        Rule(f"{ours}/kernel", f"{theirs}.weight", CONVOLUTION),
        Rule(f"{ours}/bias", f"{theirs}.bias"),
    )


RULES = (
    *conv(f"{_STAGE}patch_embed", f"{_EMBED}proj"),
    *rules.norm(f"{_STAGE}embed_norm", f"{_EMBED}layer_norm"),
    *rules.norm(f"{_BLOCK}norm([12])", rf"{_THEIRS}layer_norm_\2"),
    *(
        row
        for one, other in (("q", "query"), ("k", "key"), ("v", "value"))
        for row in rules.linear(f"{_BLOCK}attn/{one}_proj", f"{_THEIRS}attention.self.{other}")
    ),
    *rules.linear(f"{_BLOCK}attn/out_proj", f"{_THEIRS}attention.output.dense"),
    *conv(f"{_BLOCK}reduce", f"{_THEIRS}attention.self.sr"),
    *rules.norm(f"{_BLOCK}reduce_norm", f"{_THEIRS}attention.self.layer_norm"),
    *rules.linear(f"{_BLOCK}mlp/fc([12])", rf"{_THEIRS}mlp.dense\2"),
    *conv(f"{_BLOCK}mlp/depthwise", f"{_THEIRS}mlp.dwconv.dwconv"),
    *rules.norm(f"{_STAGE}norm", r"glpn.encoder.layer_norm.\1"),
    *conv(f"{_DECODER}proj", f"{_STAGES}convolution"),
    *conv(f"{_FUSE}conv([12])", f"{_FUSION}.0"),
    *conv(f"{_FUSE}conv(3)", _FUSION),
    *rules.norm(f"{_FUSE}norm([12])", f"{_FUSION}.1"),
    *(Rule(f"{_FUSE}norm([12])/{a}", f"{_FUSION}.1.{b}") for a, b in _RUNNING.items()),
    *conv("head/conv1", "head.head.0"),
    *conv("head/conv2", "head.head.2"),
)

# Field of theirs -> of ours, and what transformers has where a config leaves it out.
_FIELDS = {
    "hidden_sizes": ("widths", (32, 64, 160, 256)),
    "depths": ("depths", (2, 2, 2, 2)),
    "num_attention_heads": ("heads", (1, 2, 5, 8)),
    "sr_ratios": ("reductions", (8, 4, 2, 1)),
    "patch_sizes": ("patch_sizes", (7, 3, 3, 3)),
    "mlp_ratios": ("mlp_ratios", (4, 4, 4, 4)),
    "decoder_hidden_size": ("decoder_width", 64),
    "max_depth": ("max_depth_m", 10),
}
# What else a config may say, and all that our network does.
_FIXED = {
    "strides": list(STRIDES),
    "num_encoder_blocks": len(STRIDES),
    "num_channels": 3,
    "hidden_act": "gelu",
    "head_in_index": -1,
}


def _of_stages(check: fields.Check) -> fields.Check:
    return (
        lambda value: (
            isinstance(value, list | tuple)
            and len(value) == len(STRIDES)
            and all(check[0](one) for one in value)
        ),
        f"{len(STRIDES)} of {check[1]}",
    )


_WHOLE = _of_stages(fields.whole())
_CHECKS = {
    **dict.fromkeys(("hidden_sizes", "num_attention_heads", "sr_ratios", "patch_sizes"), _WHOLE),
    "depths": _of_stages(fields.whole(1, fields.MOST_LAYERS)),
    "mlp_ratios": _of_stages(fields.number(1)),
    "decoder_hidden_size": fields.whole(2),
    "max_depth": fields.number(1e-6),
    **{
        name: ((lambda value, only=only: value == only), repr(only))
        for name, only in _FIXED.items()
    },
}


def config(stated: Mapping[str, Any], where: object) -> GlpnConfig:
    """The network of a `config.json`; absent fields are transformers' defaults.

    Its `layer_norm_eps` is not read, as transformers does not.

    Raises:
      CheckpointError: for another kind of model, naming every field that our network cannot follow.
    """
    if (kind := stated.get("model_type")) != MODEL_TYPE:
        raise errors.CheckpointError(
            f"{where}: config.json has model_type {kind!r}, expected {MODEL_TYPE!r}; another "
            "depth model is read by transformers: --depth transformers:NAME."
        )
    values = {name: stated.get(name, usual) for name, (_, usual) in _FIELDS.items()}
    given = {name: stated[name] for name in _FIXED if name in stated}
    fields.require(fields.problems({**values, **given}, _CHECKS, ""), where)
    with fields.told_of(where):
        return GlpnConfig(
            **{
                ours: tuple(values[name]) if isinstance(usual, tuple) else values[name]
                for name, (ours, usual) in _FIELDS.items()
            }
        )


def to_config(cfg: GlpnConfig) -> dict[str, Any]:
    """The `config.json` of a network, such that `config` gives it again."""
    values = {name: getattr(cfg, ours) for name, (ours, _) in _FIELDS.items()}
    if float(cfg.max_depth_m).is_integer():  # transformers takes no other
        values["max_depth"] = int(cfg.max_depth_m)
    return {
        "model_type": MODEL_TYPE,
        "architectures": ["GLPNForDepthEstimation"],
        **{name: list(v) if isinstance(v, tuple) else v for name, v in values.items()},
        **_FIXED,
    }


@functools.lru_cache(maxsize=8)  # building the network to see its shapes takes a while
def leaf_shapes(cfg: GlpnConfig) -> Mapping[str, tuple[int, ...]]:
    """Path -> shape of all leaves."""
    module = nnx.eval_shape(lambda: Glpn(cfg, rngs=nnx.Rngs(params=0)))
    leaves = paths.flatten(nnx.to_pure_dict(nnx.split(module)[1]))
    return {path: leaf.shape for path, leaf in leaves.items()}


def places(cfg: GlpnConfig) -> list[rules.Place]:
    """Where every leaf lies in a file of transformers."""
    return rules.places(RULES, leaf_shapes(cfg))


def load(given: str | Path, dtype: Any = np.float32) -> tuple[GlpnConfig, paths.Tree]:
    """Reads a folder of transformers' GLPN, or one of the hub.

    Args:
      given: folder with config.json and weights, or a name such as `PUBLISHED`.
      dtype: of the result; None keeps what is stored.

    Returns:
      Its shape, and parameters as numpy arrays.

    Raises:
      ConfigError: for a name that is neither here nor to be had.
      CheckpointError: when it cannot be read, is another model, or naming what is missing, has no
        place in the network, is of another shape or not finite.
    """
    path = hub.local(given)
    file = source.weights_file(path)
    beside = file.with_name(source.CONFIG)
    if not beside.is_file():
        raise errors.CheckpointError(
            f"{path}: no {source.CONFIG} beside the weights; give a folder of a GLPN as "
            "transformers writes it."
        )
    cfg = config(lazy.parse_json(beside, beside.read_bytes()), path)
    found = tensors.state_dict(tensors.open_tensors(file), file)
    expected = places(cfg)
    rules.prove(file, found, expected, IGNORED)
    wanted = {
        leaf: (group, dtype or rules.stored(found, group))
        for leaf, group in rules.by_path(expected).items()
    }
    return cfg, paths.unflatten(rules.leaves(file, found, wanted))


def named(params: Mapping[str, Any], cfg: GlpnConfig) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of a file: the inverse of `load`.

    Yields:
      (name, contiguous tensor); batch norms are told to have seen no batch, which is not kept.
    """
    flat = paths.flatten(params)

    def leaf(path: str, layer: int | None) -> np.ndarray:
        array = np.asarray(flat[path])
        return array if layer is None else array[layer]

    for name, tensor in rules.written(leaf, places(cfg)):
        yield name, tensor
        if name.endswith(_RUNNING["mean"]):
            yield name.replace(_RUNNING["mean"], _SEEN), np.zeros((), np.int64)


def save(folder: Path, cfg: GlpnConfig, params: Mapping[str, Any]) -> None:
    """Writes a folder that transformers and `load` read.

    Raises:
      CheckpointError: when the disk does not take it; what was there stays as it was.
    """
    with checkpoint.replacing(folder) as partial:
        tensors_of = dict(named(params, cfg))
        safetensors.numpy.save_file(tensors_of, partial / checkpoint.WEIGHTS, {"format": "pt"})
        checkpoint.write_json(partial / source.CONFIG, to_config(cfg))
        checkpoint.write_json(partial / "preprocessor_config.json", PREPROCESSOR)
