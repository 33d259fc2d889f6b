"""ImageBind's state dict: its names, and the towers that its shapes tell (ImageBind spec 2.1)."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lb_jax.convert import fields, rules
from lb_jax.convert.rules import CONVOLUTION, LEADING_ONE, TRANSPOSED, Layout, Rule
from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.core.words import counted
from lb_jax.models import imagebind
from lb_jax.models.languagebind import LanguageBind, ModelConfig
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig

PREPROCESSORS, TRUNKS = "modality_preprocessors", "modality_trunks"
HEADS, SCALES = "modality_heads", "modality_postprocessors"

VISION = "vision"
# Theirs -> ours; one tower of theirs serves stills and clips.
TOWERS = {
    VISION: ("image", "video"),
    TEXT: (TEXT,),
    "audio": ("audio",),
    "thermal": ("thermal",),
    "depth": ("depth",),
    "imu": ("imu",),
}
OF_MODALITY = {ours: theirs for theirs, several in TOWERS.items() for ours in several}

MASK = f"{PREPROCESSORS}.{TEXT}.mask"  # of causal attention, which is no parameter

_STEMS = {
    VISION: "rgbt_stem.proj.1",  # 0 repeats a frame
    "audio": "rgbt_stem.proj",
    "thermal": "rgbt_stem.proj",
    "depth": "depth_stem.proj",
    "imu": "imu_stem.proj",
}
_POSITIONS = {TEXT: "pos_embed", "imu": "pos_embed"}
# Norm and projection of a head; that of motion sensors has a dropout between them.
_HEADS = {TEXT: ("proj.0", "proj.1"), "imu": ("0", "3")}

_FLAT = Layout(lambda a: a[0, 0], lambda a: a[None, None])
_SIGNAL = Layout(  # a token of motion sensors is [(c t)] there, [1, t, c] here
    lambda a: a.reshape(len(a), imagebind.CHANNELS, -1).transpose(2, 1, 0)[None],
    lambda a: a[0].transpose(2, 1, 0).reshape(a.shape[-1], -1),
)


def _name(theirs: str, leaf: str) -> str:
    """Of a tensor of a preprocessor."""
    return f"{PREPROCESSORS}.{theirs}.{leaf}"


def _stem(theirs: str) -> str:
    return _name(theirs, f"{_STEMS[theirs]}.weight")


def _position(theirs: str) -> str:
    return _name(theirs, _POSITIONS.get(theirs, "pos_embedding_helper.pos_embed"))


def _head(theirs: str) -> tuple[str, str]:
    norm, proj = _HEADS.get(theirs, ("0", "2"))
    return f"{HEADS}.{theirs}.{norm}", f"{HEADS}.{theirs}.{proj}"


def _blocks(theirs: str) -> tuple[Rule, ...]:
    here, there = f"{theirs}/blocks/", f"{TRUNKS}.{theirs}.blocks.{{layer}}."
    return (
        *rules.norm(rf"{here}norm([12])", rf"{there}norm_\1"),
        *rules.fused(f"{here}attn/", f"{there}attn."),
        *rules.linear(rf"{here}attn/out_proj", rf"{there}attn.out_proj"),
        Rule(rf"{here}attn/(bias_[kv])", rf"{there}attn.\1", _FLAT),
        *rules.linear(rf"{here}mlp/(fc[12])", rf"{there}mlp.\1"),
    )


def _of_tower(theirs: str) -> tuple[Rule, ...]:
    norm, proj = _head(theirs)
    last = "final_norm" if theirs == TEXT else "post_norm"
    scale = f"{SCALES}.{theirs}.1.log_logit_scale"
    found = [
        Rule(f"logit_scale/{theirs}", scale),
        Rule(f"{theirs}/position_embed", _position(theirs), LEADING_ONE),
        *_blocks(theirs),
        *rules.norm(f"{theirs}/{last}", norm),
        Rule(f"{theirs}/proj/kernel", f"{proj}.weight", TRANSPOSED),
    ]
    if theirs == TEXT:
        table = Rule(f"{theirs}/token_embed/embedding", _name(theirs, "token_embedding.weight"))
        return (*found, table)
    is_vision = theirs == VISION
    layout = _SIGNAL if theirs == "imu" else CONVOLUTION
    stem = _name(theirs, _STEMS[theirs].partition(".")[0])
    return (
        *found,
        # that of vision has an axis of tubes, of which there is one
        Rule(
            f"{theirs}/class_embed", _name(theirs, "cls_token"), LEADING_ONE if is_vision else _FLAT
        ),
        Rule(f"{theirs}/patch_embed/kernel", _stem(theirs), layout),
        *rules.norm(f"{theirs}/patch_embed/norm", f"{stem}.norm_layer"),
        *rules.norm(f"{theirs}/pre_norm", f"{TRUNKS}.{theirs}.pre_transformer_layer.0"),
    )


RULES = tuple(rule for theirs in TOWERS for rule in _of_tower(theirs))


def is_imagebind(names: Iterable[str]) -> bool:
    """Whether tensors of these names are ImageBind's."""
    return any(name.startswith(f"{TRUNKS}.") for name in names)


def places(cfg: ModelConfig) -> list[rules.Place]:
    """Where every leaf lies: `vision/…`, `text/…`, `audio/…`, …, `logit_scale/…`."""
    return rules.places(RULES, leaf_shapes(cfg))


def mask_place(cfg: ModelConfig) -> rules.Place:
    """Where the mask lies, which is no leaf."""
    sides = (cfg.text.context,) * 2
    return rules.Place("mask", None, sides, MASK, rules.COPY, (0, 1))


def mask(context: int) -> np.ndarray:
    """The mask of causal attention: float32 [n, n], minus infinity above the diagonal."""
    return np.triu(np.full((context, context), -np.inf, np.float32), 1)


def leaf_shapes(cfg: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Path -> shape, one tower for stills and clips."""
    model = LanguageBind(cfg)
    found: dict[str, tuple[int, ...]] = {f"logit_scale/{name}": () for name in cfg.scaled}
    for theirs, several in TOWERS.items():
        name = next((one for one in several if one == TEXT or one in cfg.towers), None)
        if name is not None:
            leaves = paths.flatten(model.shapes(name))
            found |= {f"{theirs}/{path}": leaf.shape for path, leaf in leaves.items()}
    return found


Shapes = Mapping[str, Sequence[int]]

# Arguments of the original's model class that say what shapes do not, or say it again.
_CHECKS = {
    **dict.fromkeys(
        (
            *("out_embed_dim", "video_frames", "audio_stride"),
            *("audio_num_mel_bins", "audio_target_len"),
            *(f"{theirs}_{name}" for theirs in TOWERS for name in ("embed_dim", "num_heads")),
            *(f"{theirs}_kernel_size" for theirs in ("audio", "thermal", "depth")),
        ),
        fields.whole(),
    ),
    **dict.fromkeys(
        (f"{theirs}_num_blocks" for theirs in TOWERS), fields.whole(1, fields.MOST_LAYERS)
    ),
    "kernel_size": (
        lambda value: (
            isinstance(value, list | tuple)
            and len(value) == 3
            and all(fields.whole()[0](one) for one in value)
        ),
        "frames, rows and columns of a patch",
    ),
}


def config_of(where: object, shapes: Shapes, stated: Mapping[str, Any] | None) -> ModelConfig:
    """The model of a state dict: texts and at least one other tower.

    Args:
      where, shapes, stated: see `towers_of`.

    Raises:
      CheckpointError: as `towers_of`, and for towers that are not there.
    """
    towers, words = towers_of(where, shapes, stated)
    if words is None or not towers:
        lacking = "no text tower" if words is None else "no tower besides that of texts"
        raise errors.CheckpointError(
            f"{where}: weights of ImageBind with {lacking}; give a file of the whole model."
        )
    with fields.told_of(where):
        return imagebind.model(towers, words)


def towers_of(
    where: object, shapes: Shapes, stated: Mapping[str, Any] | None
) -> tuple[dict[str, VisionConfig], TextConfig | None]:
    """The towers that are in a state dict, by modality, and that of texts.

    Args:
      where: the file, for messages.
      shapes: tensor -> its shape.
      stated: what `config.json` holds: `arguments` of the original's model class, which tell the
        heads, and of sound its size and stride; None where the sizes are the released ones.

    Raises:
      CheckpointError: for sizes that no shape and no argument tells, and arguments that contradict
        the weights.
    """
    given = fields.section(stated or {}, "arguments", where)
    fields.require(fields.problems(given, _CHECKS, "arguments."), where)
    read, towers = _Read(shapes, given), {}
    with fields.told_of(where):
        for ours, size in imagebind.SIZES.items():
            theirs = OF_MODALITY[ours]
            if read.has(theirs):
                towers[ours] = read.tower(theirs, ours, size)
        words = read.text() if read.has(TEXT) else None
    fields.require(list(dict.fromkeys(read.problems)), where)  # stills and clips are one tower
    return towers, words


class _Read:
    """Sizes by the shapes of a state dict, most of which agree where one tensor is damaged.

    Args:
      shapes: tensor -> its shape.
      given: arguments of the original's model class.

    Attributes:
      problems: what is contradictory or unknown.
    """

    def __init__(self, shapes: Shapes, given: Mapping[str, Any]):
        self._shapes, self._given = shapes, given
        self.problems: list[str] = []
        axes = [(f"{_head(theirs)[1]}.weight", 0) for theirs in TOWERS]
        self._dim = self._size("out_embed_dim", axes)

    def has(self, theirs: str) -> bool:
        """Whether there is anything of a tower."""
        parts = tuple(f"{part}.{theirs}." for part in (PREPROCESSORS, TRUNKS, HEADS))
        return any(name.startswith(parts) for name in self._shapes)

    def tower(self, theirs: str, ours: str, usual: imagebind.Size) -> VisionConfig:
        """A tower but that of texts."""
        released = (usual.width, usual.depth, usual.heads)
        width, depth, heads = self._sizes(theirs, _name(theirs, "cls_token"), released)
        size = imagebind.Size(
            width, depth, heads, self._patch(theirs, usual.patch), usual.image_size
        )
        if ours == "audio":
            names = ("audio_num_mel_bins", "audio_target_len")
            sides = (self._given.get(*one) for one in zip(names, usual.image_size, strict=True))
            stride = self._given.get("audio_stride", usual.stride)
            size = dataclasses.replace(size, image_size=tuple(sides), stride=stride)
        return imagebind.tower(ours, size, self._dim)

    def text(self) -> TextConfig:
        """The tower of texts."""
        positions = _position(TEXT)
        sizes = self._sizes(TEXT, positions, imagebind.TEXT_SIZE)
        context = self._most([(positions, 1), (MASK, 0), (MASK, 1)])
        vocab = self._most([(_name(TEXT, "token_embedding.weight"), 0)])
        return imagebind.text(*sizes, self._dim, vocab=vocab, context=context)

    def _sizes(self, theirs: str, other: str, released: Sequence[int]) -> tuple[int, int, int]:
        """Width, depth and heads."""
        block = re.compile(rf"{TRUNKS}\.{theirs}\.blocks\.(\d+)\.")
        layers = {int(hit[1]) for hit in map(block.match, self._shapes) if hit}
        norms = [f"{TRUNKS}.{theirs}.blocks.{i}.norm_1.weight" for i in sorted(layers)]
        axes = [(name, -1) for name in (*norms, f"{_head(theirs)[0]}.weight", other)]
        width = self._size(f"{theirs}_embed_dim", axes)
        depth = self._agreed(f"{theirs}_num_blocks", 1 + max(layers, default=0))
        heads = self._given.get(f"{theirs}_num_heads")
        if heads is None and (width, depth) != tuple(released[:2]):
            self.problems.append(
                f"{theirs} has width {width} and {counted(depth, 'block')}, not the released "
                f"{released[0]} and {released[1]}, and shapes do not tell its heads: put a "
                f'config.json beside the weights, {{"arguments": {{"{theirs}_num_heads": …}}}}'
            )
        return width, depth, heads or (1 if self.problems else released[2])

    def _patch(self, theirs: str, usual: int) -> int:
        """Side of a patch."""
        if theirs == "imu":
            return usual  # fixed there
        name, axes = _stem(theirs), 5 if theirs == VISION else 4
        shape = self._shapes.get(name, ())
        patch = shape[-1] if len(shape) == axes else usual
        if theirs != VISION:
            return self._agreed(f"{theirs}_kernel_size", patch)
        self._agreed("kernel_size", [imagebind.TUBE, patch, patch])
        self._agreed("video_frames", imagebind.TUBE)
        return patch

    def _size(self, argument: str, axes: Sequence[tuple[str, int]]) -> int:
        return self._agreed(argument, self._most(axes))

    def _most(self, axes: Sequence[tuple[str, int]]) -> int:
        """The size that most of these axes have."""
        known = [(self._shapes[name], axis) for name, axis in axes if name in self._shapes]
        sizes = [shape[axis] for shape, axis in known if -len(shape) <= axis < len(shape)]
        if not sizes:
            self.problems.append(f"{axes[0][0]} is missing")
        return max(1, collections.Counter(sizes or [1]).most_common(1)[0][0])

    def _agreed(self, argument: str, found: Any) -> Any:
        """What the weights have, which an argument may say again."""
        stated = self._given.get(argument, found)
        if stated != found and list(np.ravel(stated)) != list(np.ravel(found)):
            self.problems.append(f"arguments.{argument} is {stated!r}, the weights have {found!r}")
        return found


def to_config(cfg: ModelConfig) -> dict[str, Any]:
    """The `config.json` by which `config_of` gives these towers again."""
    arguments: dict[str, Any] = {"out_embed_dim": cfg.text.embed_dim}
    for theirs, several in TOWERS.items():
        name = next((one for one in several if one in cfg.towers), None)
        if name is None and theirs != TEXT:
            continue
        one = cfg.text if name is None else cfg.towers[name]
        arguments |= {
            f"{theirs}_embed_dim": one.width,
            f"{theirs}_num_blocks": one.depth,
            f"{theirs}_num_heads": one.heads,
        }
        if isinstance(one, TextConfig) or theirs == "imu":
            continue
        if theirs == VISION:
            tube = {"kernel_size": [one.tube_size, *one.patch], "video_frames": one.frames}
            arguments |= tube
        else:
            arguments[f"{theirs}_kernel_size"] = one.patch_size
        if theirs == "audio":
            bins, steps = one.image_size
            arguments |= {"audio_num_mel_bins": bins, "audio_target_len": steps}
            arguments["audio_stride"] = one.strides[0]
    texts = {"context_length": cfg.text.context, "vocab_size": cfg.text.vocab}
    return {"arguments": arguments, "preprocessor": texts}


def preprocessing(cfg: ModelConfig) -> dict[str, dict[str, Any]]:
    """Modality -> the fields of its preprocessing spec that the towers fix."""
    found: dict[str, dict[str, Any]] = {}
    for name, one in cfg.towers.items():
        rows, columns = one.image_size
        match name:
            case "audio":
                found[name] = {"mel_bins": rows, "target_frames": columns}
            case "imu":
                found[name] = {"samples": columns}
            case "video":
                found[name] = {"size": rows, "frames": one.frames}
            case _:
                found[name] = {"size": rows}
    return found
