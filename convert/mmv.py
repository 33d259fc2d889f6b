"""Names of MMV's published weights, parameters and statistics (MMV spec 7).

A name is a Haiku module's path and an array's name, joined by `/`. Batch norms are numbered in the
order of their use, so their names follow from the shape of the model.
"""

import functools
import re
from collections.abc import Iterable, Mapping

from lb_jax.convert import rules
from lb_jax.convert.rules import LEADING_ONE, Layout, Rule
from lb_jax.core import errors, paths
from lb_jax.models.graphs import GraphConfig
from lb_jax.models.mmv import HEADS, Mmv, MmvConfig
from lb_jax.models.resnet import ResNetConfig
from lb_jax.models.s3d import S3DConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.models.words import WordsConfig

ROOT = "text_audio_video/"
# What batch norms are called: over all devices, as released, and over one.
NORM, NORM_ALONE = "__cross_replica_batch_norm", "__batch_norm"

# Our head -> theirs.
HEAD_NAMES = {
    "video_va": "vid2audio_embd",
    "video_vt": "vis_embd",
    "video_vat": "vis_embd",
    "coarse": "vis_embd",
    "audio_va": "audio_embd",
    "audio_vat": "audio_embd",
    "audio_at": "audio2txt_embd",
    "text_vt": "txt_embd",
    "text_vat": "txt_embd",
    "text_at": "txt2audio_embd",
}
# Unit of an Inception block, and other units -> their names.
UNITS = {
    "branch_0": "Branch_0_Conv2d_0a_1x1",
    "before_1": "Branch_1_Conv2d_0a_1x1",
    "branch_1": "Branch_1_Conv2d_0b_3x3",
    "before_2": "Branch_2_Conv2d_0a_1x1",
    "branch_2": "Branch_2_Conv2d_0b_3x3",
    "branch_3": "Branch_3_Conv2d_0b_1x1",
}
SINGLE = {
    "conv_1a": "Conv2d_1a_7x7",
    "conv_2b": "Conv2d_2b_1x1",
    "conv_2c": "Conv2d_2c_3x3",
}


def numbered(name: str, number: int) -> str:
    """Haiku's name of the module of that number, from 0 on."""
    return f"{name}_{number}" if number else name


def _ones(count: int) -> Layout:
    """A vector that lies there behind that many axes of size 1."""
    return Layout(lambda a: a.reshape(a.shape[-1:]), lambda a: a[(None,) * count])


def norm(ours: str, theirs: str, places: int) -> tuple[Rule, ...]:
    """The rows of a batch norm and its statistics; `places` counts the axes before the channels."""
    layout = _ones(places)
    rows = [Rule(f"{ours}/{a}", f"{theirs}/{b}", layout) for a, b in _AFFINE.items()]
    for name in ("mean", "var"):
        there, here = f"{theirs}/~/{name}_ema", f"{ours}/running/{name}"
        rows += [Rule(f"{here}/{leaf}", f"{there}/{leaf}", layout) for leaf in _MOMENTS]
        rows.append(Rule(f"{here}/counter", f"{there}/counter"))
    return tuple(rows)


_AFFINE = {"scale": "scale", "bias": "offset"}
_MOMENTS = ("average", "hidden")


def linear(ours: str, theirs: str) -> tuple[Rule, ...]:
    """The rows of a linear layer, which lies there as here."""
    return Rule(f"{ours}/kernel", f"{theirs}/w"), Rule(f"{ours}/bias", f"{theirs}/b")


def resnet_rules(ours: str, theirs: str, bn: str, *, names: Mapping[str, str]) -> tuple[Rule, ...]:
    """The rows of a ResNet v2 whose modules have the names of `AUDIO_NAMES` or `TSM_NAMES`."""
    block, there = rf"{ours}groups/(\d+)/(\d+)/", rf"{theirs}{names['block']}"
    rows = [
        Rule(f"{ours}stem/kernel", f"{theirs}{names['stem']}/w"),
        Rule(f"{block}shortcut/kernel", f"{there}{names['inside']}shortcut_conv/w"),
        *norm(f"{ours}final_norm", f"{theirs}{bn}", 3),
    ]
    for i in range(3):
        rows.append(Rule(f"{block}conv{i + 1}/kernel", f"{there}{names['inside']}conv_{i}/w"))
        rows += norm(f"{block}norm{i + 1}", f"{there}{numbered(bn, i)}", 3)
    return tuple(rows)


# Names of the stem and of a block, and what lies between a block and its convolutions.
AUDIO_NAMES = {
    "stem": "~/initial_conv",
    "block": r"~/block_group_\1/block_\2/",
    "inside": "~/",
}
TSM_NAMES = {
    "stem": "tsm_resnet_stem",
    "block": r"tsm_resnet_unit_\1/block_\2/",
    "inside": "",
}


def s3d_rules(ours: str, theirs: str, bn: str) -> tuple[Rule, ...]:
    """The rows of S3D."""
    units = {f"{ours}{here}": f"{theirs}{there}" for here, there in SINGLE.items()}
    units |= {
        rf"{ours}mixed_(\w+)/{here}": rf"{theirs}Mixed_\1/{there}" for here, there in UNITS.items()
    }
    rows: list[Rule] = []
    for here, there in units.items():
        rows += [
            Rule(f"{here}/conv/kernel", f"{there}/~/conv3_d/w"),
            Rule(f"{here}/time_conv/kernel", f"{there}/~/conv3_d_1/w"),
            *norm(f"{here}/norm", f"{there}/{bn}", 4),
            *norm(f"{here}/time_norm", f"{there}/{bn}_1", 4),
            *linear(f"{here}/gate/proj", f"{there}/self_gating"),
        ]
    return tuple(rows)


def words_rules(ours: str, theirs: str, bn: str) -> tuple[Rule, ...]:
    """The rows of the word bag, which has no batch norm."""
    del bn
    return (
        Rule(f"{ours}token_embed/embedding", f"{theirs}~/embed/embeddings"),
        Rule(f"{ours}proj/kernel", f"{theirs}~/text_conv1/w", LEADING_ONE),
        Rule(f"{ours}proj/bias", f"{theirs}~/text_conv1/b"),
    )


def head_rules(cfg: GraphConfig, bn: str) -> tuple[Rule, ...]:
    """The rows of all heads."""
    pairs, rows = f"{ROOT}~_get_pair_embedding_heads/", []
    for name, head in cfg.heads.items():
        here, there = f"{HEADS}/{name}/", f"{pairs}{HEAD_NAMES[name]}/"
        rows += linear(f"{here}proj", f"{there}final_projection")
        normed = 0
        for i in range(len(head.inner)):
            inner = numbered(f"{there}final_projection_inner", i)
            rows += linear(f"{here}inner/{i}/proj", inner)
            if head.inner_norm:
                rows += norm(f"{here}inner/{i}/norm", there + numbered(bn, i), 1)
                normed += 1
        rows += norm(f"{here}norm", there + numbered(bn, normed), 1)
    rows += norm(f"{HEADS}/interaction", f"{ROOT}~_activate_interaction/{bn}", 1)
    return tuple(rows)


# By the class of a tower's config: (where it lies, its rows).
TOWER_RULES = {
    S3DConfig: ("visual_module/~/S3D/", s3d_rules),
    TSMConfig: (
        "visual_module/~/TSMResNetV2/",
        functools.partial(resnet_rules, names=TSM_NAMES),
    ),
    ResNetConfig: (
        "audio_module/~/res_net_v2/",
        functools.partial(resnet_rules, names=AUDIO_NAMES),
    ),
    WordsConfig: ("text_module/", words_rules),
}
# Modalities whose towers have names in a released file.
RELEASED = ("video", "audio", "text")


def table(cfg: MmvConfig, bn: str = NORM) -> tuple[Rule, ...]:
    """The rows of a whole model.

    Raises:
      ConfigError: for a model with a tower that the released layout has no place for.
    """
    if beside := [modality for modality in cfg.towers if modality not in RELEASED]:
        raise errors.ConfigError(
            f"the released layout of MMV has no place for a tower of {', '.join(beside)}; write a "
            "checkpoint of this package: --to=safetensors or --to=orbax."
        )
    rows: tuple[Rule, ...] = head_rules(cfg.graph, bn)
    for modality, tower in cfg.towers.items():
        where, make = TOWER_RULES[type(tower)]
        rows += make(f"{modality}/", f"{ROOT}{where}", bn)
    return rows


@functools.lru_cache(maxsize=8)  # building the towers to see their shapes takes a while
def leaf_shapes(cfg: MmvConfig) -> Mapping[str, tuple[int, ...]]:
    """Path -> shape of all leaves."""
    return {path: leaf.shape for path, leaf in paths.flatten(Mmv(cfg).shapes).items()}


def places(cfg: MmvConfig, bn: str = NORM) -> list[rules.Place]:
    """Where every leaf lies in a released file."""
    return rules.places(table(cfg, bn), leaf_shapes(cfg))


def norm_name(names: Iterable[str]) -> str:
    """What the batch norms of these names are called: a row of `NORM` and `NORM_ALONE`."""
    has_alone = any(re.search(rf"/{NORM_ALONE}(_\d+)?/", name) for name in names)
    return NORM_ALONE if has_alone else NORM
