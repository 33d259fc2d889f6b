"""The encoders that VALOR starts from, as parts of its parameters (VALOR spec 1.1, 1.3).

BERT          a Hugging Face folder, or one file of its weights
AST           the same, or the original's file; its distillation token is dropped
CLIP and LanguageBind's towers        whatever `open_weights` opens
Video Swin    `convert.swin.load`
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from lb_jax.convert import fields, lazy, rules, source, tensors, valor
from lb_jax.convert.lazy import LazyTensor
from lb_jax.convert.parts import tower_leaf
from lb_jax.convert.rules import CONVOLUTION, TRANSPOSED, Layout, Rule
from lb_jax.convert.valor import LEADING_ONES
from lb_jax.convert.weights import open_weights
from lb_jax.core import checkpoint, errors, paths
from lb_jax.models import adapt
from lb_jax.models.ast import PUBLISHED_GRID, ast_config
from lb_jax.models.bert import Bert, BertConfig
from lb_jax.models.valor import ValorConfig
from lb_jax.models.vision import VisionTower

HEAD_WIDTH = 64  # of published BERTs and ASTs
VOCABULARY = "vocab.txt"
_SPECIAL = {"pad": "[PAD]", "begin": "[CLS]", "end": "[SEP]", "mask": "[MASK]"}


class Base(NamedTuple):
    """An encoder to start from.

    Attributes:
      config: its shape.
      params: as of the role's part of VALOR's parameters; what it lacks is drawn.
      logit_scale: of a CLIP; None for others.
    """

    config: Any
    params: paths.Tree
    logit_scale: np.ndarray | None = None


# The head of masked language modelling, and names that are of no use.
BERT_NAMES = valor.bert_rules(
    "",
    "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm",
    "cls.predictions.bias",
)
_BERT_TWINS = (
    (r"cls\.predictions\.decoder\.weight", "embeddings.word_embeddings.weight"),
    (r"cls\.predictions\.decoder\.bias", "cls.predictions.bias"),
)
_BERT_IGNORED = (r"pooler\..*", r"cls\.seq_relationship\..*", r"embeddings\.position_ids")
_BERT_CHECKS: dict[str, fields.Check] = {
    "model_type": (lambda value: value == "bert", "bert"),
    "num_attention_heads": fields.whole(),
    "layer_norm_eps": fields.number(),
    "hidden_act": (lambda value: value == "gelu", "gelu"),
    "position_embedding_type": (lambda value: value == "absolute", "absolute"),
}

# A table with the row of the distillation token, which lies second.
_POSITIONS = Layout(
    lambda a: np.delete(a[0], 1, axis=0), lambda a: np.insert(a, 1, 0, axis=0)[None]
)


def _ast_rules(stem: str, layer: str, attention: tuple[Rule, ...], rest: Mapping[str, str]):
    """The rows of an AST."""
    return (
        Rule("class_embed", f"{stem}cls_token", LEADING_ONES),
        Rule("position_embed", f"{stem}{rest['positions']}", _POSITIONS),
        Rule("patch_embed/kernel", f"{stem}{rest['patches']}.weight", CONVOLUTION),
        Rule("patch_embed/bias", f"{stem}{rest['patches']}.bias"),
        *attention,
        *(
            row
            for ours in ("norm1", "norm2", "mlp/fc1", "mlp/fc2")
            for row in (rules.norm if "norm" in ours else rules.linear)(
                f"blocks/{ours}", f"{layer}{rest[ours]}"
            )
        ),
        *rules.norm("post_norm", rest["norm"]),
    )


_HF_LAYER, _LAYER = "encoder.layer.{layer}.", "v.blocks.{layer}."
_QKV = ("q_proj", "k_proj", "v_proj")
# How the names begin -> the table of those names, and what is of no use.
AST_NAMES = {
    "embeddings.": (
        _ast_rules(
            "embeddings.",
            _HF_LAYER,
            (
                *rules.linear("blocks/attn/q_proj", f"{_HF_LAYER}attention.attention.query"),
                *rules.linear("blocks/attn/k_proj", f"{_HF_LAYER}attention.attention.key"),
                *rules.linear("blocks/attn/v_proj", f"{_HF_LAYER}attention.attention.value"),
                *rules.linear("blocks/attn/out_proj", f"{_HF_LAYER}attention.output.dense"),
            ),
            {
                "positions": "position_embeddings",
                "patches": "patch_embeddings.projection",
                "norm1": "layernorm_before",
                "norm2": "layernorm_after",
                "mlp/fc1": "intermediate.dense",
                "mlp/fc2": "output.dense",
                "norm": "layernorm",
            },
        ),
        (r"embeddings\.distillation_token", r"classifier\..*"),
    ),
    "v.": (
        _ast_rules(
            "v.",
            _LAYER,
            (
                *(
                    Rule(f"blocks/attn/{name}/{ours}", f"{_LAYER}attn.qkv.{theirs}", layout, (i, 3))
                    for i, name in enumerate(_QKV)
                    for ours, theirs, layout in (
                        ("kernel", "weight", TRANSPOSED),
                        ("bias", "bias", rules.COPY),
                    )
                ),
                *rules.linear("blocks/attn/out_proj", f"{_LAYER}attn.proj"),
            ),
            {
                "positions": "pos_embed",
                "patches": "patch_embed.proj",
                "norm1": "norm1",
                "norm2": "norm2",
                "mlp/fc1": "mlp.fc1",
                "mlp/fc2": "mlp.fc2",
                "norm": "v.norm",
            },
        ),
        (r"v\.dist_token", r"v\.head(_dist)?\..*", r"mlp_head\..*"),
    ),
}


def load_bert(path: Path, *, cross: str | None = "va_concate") -> Base:
    """Reads a BERT.

    Args:
      path: a Hugging Face folder, or a file of weights; a `config.json` and a `vocab.txt` beside it
        are followed.
      cross: the cross-attention that the decoder is to have, whose weights are drawn.

    Raises:
      CheckpointError: for weights that are no BERT's, or a config that is not to be followed.
    """
    file = source.weights_file(Path(path))
    found = _opened(file, ("bert.",), "embeddings.word_embeddings.weight", "a BERT")
    found = {_modern(name): one for name, one in found.items()}
    found = valor.without_twins(file, found, _BERT_TWINS)
    shapes = {name: tensor.shape for name, tensor in found.items()}
    beside = file.parent / source.CONFIG
    config = fields.as_object(checkpoint.read_json(beside), beside) if beside.is_file() else {}
    fields.require(fields.problems(config, _BERT_CHECKS, ""), beside)
    vocab, width = shapes["embeddings.word_embeddings.weight"]
    layers = [name.split(".")[2] for name in shapes if name.startswith("encoder.layer.")]
    hidden = shapes.get("encoder.layer.0.intermediate.dense.weight", (4 * width,))[0]
    with fields.told_of(file):
        cfg = BertConfig(
            width=width,
            depth=1 + max(map(int, layers), default=0),
            heads=config.get("num_attention_heads", width // HEAD_WIDTH),
            mlp_dim=hidden,
            vocab=vocab,
            context=shapes.get("embeddings.position_embeddings.weight", (512,))[0],
            cross=cross,
            epsilon=config.get("layer_norm_eps", 1e-12),
            **_special(file.parent / VOCABULARY),
        )
        leaves = leaf_shapes(Bert, cfg)
    has_head = "cls.predictions.bias" in found
    wanted = {
        f"text/{path}": shape
        for path, shape in leaves.items()
        if path != "prompt_embed"
        and not any(f"/{name}_" in path for name in cfg.branches)
        and (has_head or not path.startswith("head/"))
    }
    params = _read(file, found, BERT_NAMES, wanted, _BERT_IGNORED)
    return Base(cfg, params["text"])


def load_ast(
    path: Path,
    *,
    image_size: tuple[int, int] = (64, 512),
    grid: tuple[int, int] = PUBLISHED_GRID,
) -> Base:
    """Reads an AST, without its distillation token, its positions resized.

    Args:
      path: a Hugging Face folder, or a file of weights under their names or the original's.
      image_size: mel bins and frames that the tower is to take.
      grid: patches of mel bins and of time that the weights have.

    Raises:
      CheckpointError: for weights that are no AST's, or of another grid.
    """
    file = source.weights_file(Path(path))
    found = _opened(file, ("audio_spectrogram_transformer.", "base_model."), "cls_token", "an AST")
    first = next((one for one in AST_NAMES if f"{one}cls_token" in found), None)
    if first is None:
        raise errors.CheckpointError(
            f"{file}: no AST: has no {' or '.join(f'{one}cls_token' for one in AST_NAMES)}, but "
            f"{lazy.some(found, 3)}."
        )
    table, ignored = AST_NAMES[first]
    by_ours = {row.ours: row.theirs for row in table}
    shapes = {name: tensor.shape for name, tensor in found.items()}
    width, _, patch, _ = shapes.get(by_ours["patch_embed/kernel"], (0, 1, 1, 1))
    pattern = by_ours["blocks/norm1/scale"]
    depth = sum(pattern.replace("{layer}", str(i)) in shapes for i in range(len(shapes)))
    hidden = shapes.get(by_ours["blocks/mlp/fc1/bias"].replace("{layer}", "0"), (4 * width,))[0]
    stored = (grid[0] * patch, grid[1] * patch)
    size = (width, depth, max(1, width // HEAD_WIDTH), hidden)
    with fields.told_of(file):
        cfg = ast_config(*size, image_size=image_size, patch_size=patch)
        leaves = leaf_shapes(VisionTower, ast_config(*size, image_size=stored, patch_size=patch))
    params = _read(file, found, table, leaves, ignored)
    table = adapt.resize_positions(params["position_embed"], grid, cfg.grid, "bilinear")
    return Base(cfg, {**params, "position_embed": np.asarray(table)})


def load_tower(
    path: Path,
    modality: str,
    *,
    image_size: tuple[int, int] | None = None,
    merge_lora: bool = False,
) -> Base:
    """Reads a tower of CLIP or LanguageBind, without its projection.

    Args:
      path: whatever `open_weights` opens.
      modality: of the tower; a plain CLIP's is "image".
      image_size: that the tower is to take, its positions resized; None is the tower's own.
      merge_lora: fold LoRA factors into the kernels.

    Raises:
      ConfigError: for a modality that the weights do not have.
    """
    weights = open_weights(path, merge_lora=merge_lora)
    if modality not in weights.config.towers:
        raise errors.ConfigError(
            f"{path}: has {', '.join(weights.config.towers)} and no {modality}; choose one of them."
        )
    whole = weights.config.towers[modality]
    cfg = dataclasses.replace(whole, embed_dim=0, image_size=image_size or whole.image_size)
    leaves = {
        one: tower_leaf(weights, modality, one, np.float32) for one in leaf_shapes(VisionTower, cfg)
    }
    if cfg.grid != whole.grid:
        table = leaves["position_embed"]
        table = adapt.resize_positions(jnp.asarray(table), whole.grid, cfg.grid, "bilinear")
        leaves["position_embed"] = np.asarray(table)
    scale = tower_leaf(weights, "logit_scale", modality, np.float32)
    return Base(cfg, paths.unflatten(leaves), scale)


def initial(
    cfg: ValorConfig, drawn: Mapping[str, Any], bases: Mapping[str, Base]
) -> tuple[paths.Tree, tuple[str, ...]]:
    """Parameters to start from.

    Args:
      cfg: the model.
      drawn: newly drawn parameters of it.
      bases: role -> its encoder.

    Returns:
      The parameters, and the paths of those leaves of the bases' roles that stay as drawn.

    Raises:
      ConfigError: for a base of another shape than the model's.
    """
    fresh = paths.flatten(drawn)
    given: dict[str, Any] = {}
    for role, base in bases.items():
        given |= {f"{role}/{path}": leaf for path, leaf in paths.flatten(base.params).items()}
    scale = bases["video"].logit_scale if "video" in bases else None
    if scale is not None and cfg.temperature == "logit_scale":
        given["logit_scale"] = scale
    shapes = {path: list(leaf.shape) for path, leaf in fresh.items()}
    wrong = [
        f"{path} is {list(leaf.shape)}, expected {shapes.get(path, 'none')}"
        for path, leaf in given.items()
        if list(leaf.shape) != shapes.get(path)
    ]
    if wrong:
        raise errors.ConfigError(
            f"the encoders to start from are not the model's: {lazy.some(wrong)}; give the model "
            "their config."
        )
    kept = tuple(path for path in fresh if path not in given and path.split("/")[0] in bases)
    return paths.unflatten({**fresh, **given}), kept


def _opened(file: Path, prefixes: Sequence[str], needed: str, what: str) -> dict[str, LazyTensor]:
    """The tensors of a file without `module.` and the first prefix that they have.

    Raises:
      CheckpointError: when none has the name that is needed.
    """
    found = tensors.state_dict(tensors.open_tensors(file), file)
    for prefix in prefixes:
        if any(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): one for name, one in found.items()}
    if not any(name.endswith(needed) for name in found):
        raise errors.CheckpointError(
            f"{file}: the weights are not those of {what}: none is named {needed}, found "
            f"{lazy.some(found, 3)}."
        )
    return found


def _modern(name: str) -> str:
    """A norm's name as it is since 2019."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )


def _special(file: Path) -> dict[str, int]:
    """Ids of the tokens that are no words, by the vocabulary; empty without one.

    Raises:
      CheckpointError: naming those that are not in it.
    """
    if not file.is_file():
        return {}
    words = {word: i for i, word in enumerate(file.read_text(encoding="utf-8").splitlines())}
    if missing := [word for word in _SPECIAL.values() if word not in words]:
        raise errors.CheckpointError(
            f"{file}: has no {', '.join(missing)}; give the vocabulary of a BERT."
        )
    return {name: words[word] for name, word in _SPECIAL.items()}


def leaf_shapes(kind: type, cfg: Any) -> dict[str, tuple[int, ...]]:
    """Path -> shape of a module's parameters."""
    module = nnx.eval_shape(lambda: kind(cfg, rngs=nnx.Rngs(params=0)))
    flat = paths.flatten(nnx.to_pure_dict(nnx.split(module)[1]))
    return {path: leaf.shape for path, leaf in flat.items()}


def _read(
    file: Path,
    found: Mapping[str, LazyTensor],
    table: Sequence[Rule],
    wanted: Mapping[str, tuple[int, ...]],
    ignored: Sequence[str],
) -> paths.Tree:
    """The leaves wanted, float32, once every tensor is accounted for."""
    places = rules.places(table, wanted)
    rules.prove(file, found, places, ignored)
    parts = {path: (group, np.float32) for path, group in rules.by_path(places).items()}
    return paths.unflatten(rules.leaves(file, found, parts))
