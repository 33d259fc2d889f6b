"""Names of VALOR's published weights, one table for every kind of its towers (VALOR spec 8.2).

Some of a checkpoint is of no use to the model and kept, so that writing gives the same file again:
the poolers, CLIP's text tower, the temperature that its kind of vision does not have. Some stands
there twice, and both must be equal.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from lb_jax.convert import open_clip, rules, swin
from lb_jax.convert.lazy import LazyTensor
from lb_jax.convert.rules import CONVOLUTION, LEADING_ONE, TRANSPOSED, Layout, Rule
from lb_jax.core import errors, paths
from lb_jax.core.words import counted
from lb_jax.models.swin import SwinConfig
from lb_jax.models.valor import Valor, ValorConfig
from lb_jax.models.vision import VisionConfig

LEADING_ONES = Layout(lambda a: a[0, 0], lambda a: a[None, None])

_DECODER, _ENCODER = "multimodal_encoder.", "txt_encoder."
_LAYER = rf"{_DECODER}encoder.layer.{{layer}}."
_CLIP = "clip_model."

# Role -> its letter, and its name in what aligns and what is handed over.
_LETTERS = {"text": "t", "video": "v", "audio": "a"}
_NAMES = {"text": "text", "video": "video", "audio": "audio"}


def _attention(ours: str, asked: str, out: str) -> tuple[Rule, ...]:
    """The rows of a BERT attention."""
    names = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}
    rows = [rules.linear(f"{ours}/{name}", f"{asked}.{names[name]}") for name in names]
    return (*sum(rows, ()), *rules.linear(f"{ours}/out_proj", f"{out}.dense"))


def bert_rules(prefix: str, head: str, norm: str, bias: str) -> tuple[Rule, ...]:
    """The rows of BERT's embedding, blocks without cross-attention, and head.

    Args:
      prefix: of encoder and embedding.
      head: of the dense layer before the logits.
      norm: of the norm behind it.
      bias: name of the logits' bias.
    """
    layer, table = rf"{prefix}encoder.layer.{{layer}}.", rf"{prefix}embeddings."
    return (
        Rule("text/token_embed/embedding", f"{table}word_embeddings.weight"),
        Rule("text/position_embed", f"{table}position_embeddings.weight"),
        Rule("text/type_embed", f"{table}token_type_embeddings.weight"),
        Rule("text/prompt_embed", f"{table}prompt_embedding.weight", LEADING_ONE),
        *rules.norm("text/embed_norm", f"{table}LayerNorm"),
        *_attention("text/blocks/attn", f"{layer}attention.self", f"{layer}attention.output"),
        *rules.norm("text/blocks/norm1", f"{layer}attention.output.LayerNorm"),
        *rules.linear("text/blocks/mlp/fc1", f"{layer}intermediate.dense"),
        *rules.linear("text/blocks/mlp/fc2", f"{layer}output.dense"),
        *rules.norm("text/blocks/norm2", f"{layer}output.LayerNorm"),
        *rules.linear("text/head/dense", f"{head}"),
        *rules.norm("text/head/norm", f"{norm}"),
        Rule("text/head/bias", bias),
    )


def _cross_rules() -> tuple[Rule, ...]:
    """The rows of cross-attention, whatever its form."""
    rows: tuple[Rule, ...] = ()
    for ours, theirs in (("cross", ""), ("video", "_v"), ("audio", "_a")):
        there = f"{_LAYER}cross_attn{theirs}."
        rows += _attention(f"text/blocks/{ours}_attn", f"{there}cross", f"{there}output")
        rows += rules.norm(f"text/blocks/{ours}_norm", f"{there}output.LayerNorm")
    return rows


def _between_rules() -> tuple[Rule, ...]:
    """The rows of what aligns and what hands over."""
    rows: tuple[Rule, ...] = rules.linear("align/fusion", "va_fusion")
    for role, letter in _LETTERS.items():
        name = _NAMES[role]
        over, trans = f"hand_over/{role}/", f"hidden_trans_{name}_multimodal"
        rows += (
            Rule(f"align/{role}/proj/kernel", f"contra_head_{letter}.linear.weight", TRANSPOSED),
            *rules.linear(f"align/{role}/weight/fc1", f"{name}_fine_weight.0"),
            *rules.linear(f"align/{role}/weight/fc2", f"{name}_fine_weight.2"),
            *rules.linear(f"{over}proj", f"{trans}.0"),
            *rules.norm(f"{over}norm", f"{trans}.1"),
            Rule(f"{over}frame_embed", f"{name}_frame_embedding", LEADING_ONE),
            Rule(f"{over}type_embed", f"{name}_type_embeddings", LEADING_ONES),
        )
    return rows


_AUDIO_LAYER = "audio_encoder.layer.{layer}."
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
AUDIO_RULES = (
    Rule("audio/class_embed", "audio_embeddings.cls_token", LEADING_ONES),
    Rule("audio/patch_embed/kernel", "audio_embeddings.first_conv.weight", CONVOLUTION),
    Rule("audio/patch_embed/bias", "audio_embeddings.first_conv.bias"),
    Rule("audio/position_embed", "audio_embeddings.position_embeddings.weight"),
    *(
        row
        for i, name in enumerate(_PROJECTIONS)
        for row in rules.linear(f"audio/blocks/attn/{name}", f"{_AUDIO_LAYER}attention.linears.{i}")
    ),
    *rules.norm(r"audio/blocks/norm([12])", rf"{_AUDIO_LAYER}layernorm\1"),
    *rules.linear(r"audio/blocks/mlp/fc([12])", rf"{_AUDIO_LAYER}ff_layer.linear\1"),
    *rules.norm("audio/post_norm", "audio_encoder.last_layernorm"),
)

CLIP_RULES = tuple(
    dataclasses.replace(
        row, ours=row.ours.replace("vision/", "video/", 1), theirs=f"{_CLIP}{row.theirs}"
    )
    for row in open_clip.RULES
    if row.ours.startswith("vision/")
)

SWIN = "video_encoder."

# By the class of the vision tower's config.
VISION_RULES = {
    VisionConfig: CLIP_RULES,
    SwinConfig: swin.table("video/", SWIN),
    type(None): (),
}

RULES = (
    *bert_rules(_DECODER, "cls.dense", "cls.layernorm", "cls.decoder.bias"),
    *_cross_rules(),
    *_between_rules(),
    *AUDIO_RULES,
    Rule("logit_scale", f"{_CLIP}logit_scale"),
    Rule("temperature", "contra_temp"),
)

# Names of tensors that hold another one again -> its name.
TWICE = (
    (re.escape(_ENCODER) + r"(?!pooler\.)(.+)", rf"{_DECODER}\1"),
    (r"cls\.decoder\.weight", f"{_DECODER}embeddings.word_embeddings.weight"),
)

# Tensors that some models have and do not use.
KEPT = (
    r"(multimodal_encoder|txt_encoder)\.pooler\..*",
    re.escape(_CLIP) + r"(transformer\.|token_embedding|positional_embedding|text_projection|"
    r"ln_final|prompt_embedding|visual\.proj$|logit_scale).*",
    r"contra_temp",
    r"(text|video|audio)_fine_weight\..*",
    r"(multimodal_encoder|txt_encoder)\.encoder\.layer\.\d+\.cross_attn(_[va])?\..*",
    r"va_fusion\..*",
    *swin.ignored(SWIN),
)


Twins = Sequence[tuple[str, str]]


def twin(name: str, table: Twins = TWICE) -> str | None:
    """The name of the tensor that this one holds again; None for one that stands once."""
    for pattern, other in table:
        if hit := re.fullmatch(pattern, name):
            return hit.expand(other)
    return None


def without_twins(
    where: object, found: Mapping[str, LazyTensor], table: Twins = TWICE
) -> dict[str, LazyTensor]:
    """The tensors that do not stand there twice.

    Args:
      where: the file, for messages.
      found: all tensors.
      table: as `TWICE`.

    Raises:
      CheckpointError: naming those that should be equal and are not.
    """
    single, differing = {}, []
    for name, tensor in found.items():
        other = twin(name, table)
        if other is None or other not in found:
            single[name] = tensor
        elif not np.array_equal(tensor.read(), found[other].read()):
            differing.append(f"{name} and {other}")
    if differing:
        raise errors.CheckpointError(
            f"{where}: {counted(len(differing), 'tensor')} that the model shares differ "
            f"({differing[0]}); "
            "encoder and decoder, embedding and head must be one (share_txt_and_multimodal true)."
        )
    return single


@functools.lru_cache(maxsize=8)  # building the towers to see their shapes takes a while
def leaf_shapes(cfg: ValorConfig) -> Mapping[str, tuple[int, ...]]:
    """Path -> shape of all leaves."""
    return {path: leaf.shape for path, leaf in paths.flatten(Valor(cfg).shapes).items()}


def places(cfg: ValorConfig) -> list[rules.Place]:
    """Where every leaf lies in a checkpoint.

    Raises:
      CheckpointError: for leaves that VALOR's code has no name for, as of LanguageBind's towers.
    """
    return rules.places((*RULES, *VISION_RULES[type(cfg.video)]), leaf_shapes(cfg))
