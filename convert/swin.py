"""Video Swin under the names of VALOR's and Video Swin's own files (VALOR spec 1.2.1).

A file holds the encoder alone, its names bare or behind `backbone.`, or it is the part
`video_encoder.` of a VALOR checkpoint; `table` and what stands beside it take any prefix.
"""

import functools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from lb_jax.convert import lazy, rules, tensors
from lb_jax.convert.lazy import LazyTensor
from lb_jax.convert.rules import CONVOLUTION, TRANSPOSED, Rule
from lb_jax.core import errors, paths
from lb_jax.core.words import counted
from lb_jax.models.swin import FRAMES_PER_PATCH, SwinConfig, VideoSwin, relative_index

# What the names begin with: in a VALOR checkpoint, and as Video Swin publishes them.
PREFIXES = ("video_encoder.", "backbone.")
WINDOW = (8, 7, 7)  # of all published weights; a file does not say it

_QKV = ("q_proj", "k_proj", "v_proj")
_BLOCK = r"layers\.(\d+)\.blocks\.(\d+)\."
_TABLE, _INDEX = "attn.relative_position_bias_table", "attn.relative_position_index"
_CLASSIFIER = r"cls_head\..*"  # of the task that the weights come from


def table(ours: str = "", theirs: str = "") -> tuple[Rule, ...]:
    """The rows of the encoder, with what all paths and all names begin with."""
    ours = re.escape(ours)
    blocks, block = rf"{ours}stages/(\d+)/blocks/", rf"{theirs}layers.\1.blocks.{{layer}}."
    fused = [
        Rule(rf"{blocks}attn/{name}/{leaf}", f"{block}attn.qkv.{their_leaf}", layout, (i, 3))
        for leaf, their_leaf, layout in (
            ("kernel", "weight", TRANSPOSED),
            ("bias", "bias", rules.COPY),
        )
        for i, name in enumerate(_QKV)
    ]
    return (
        Rule(f"{ours}patch_embed/kernel", f"{theirs}patch_embed.proj.weight", CONVOLUTION),
        Rule(f"{ours}patch_embed/bias", f"{theirs}patch_embed.proj.bias"),
        *rules.norm(f"{ours}pre_norm", f"{theirs}patch_embed.norm"),
        *rules.norm(rf"{blocks}norm([12])", rf"{block}norm\2"),
        *fused,
        *rules.linear(f"{blocks}attn/out_proj", f"{block}attn.proj"),
        Rule(f"{blocks}position/bias", f"{block}{_TABLE}"),
        *rules.linear(rf"{blocks}mlp/(\w+)", rf"{block}mlp.\2"),
        *rules.norm(rf"{ours}stages/(\d+)/merge/norm", rf"{theirs}layers.\1.downsample.norm"),
        Rule(
            rf"{ours}stages/(\d+)/merge/proj/kernel",
            rf"{theirs}layers.\1.downsample.reduction.weight",
            TRANSPOSED,
        ),
        *rules.norm(f"{ours}post_norm", f"{theirs}norm"),
    )


def ignored(theirs: str = "") -> tuple[str, ...]:
    """Regexes of names that may be there and are not read: what the window's size says as well."""
    return (rf"{re.escape(theirs)}{_BLOCK}{re.escape(_INDEX)}",)


def indices(cfg: SwinConfig, theirs: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The index buffers of a file, which follow from the window: (name, int64 [n, n])."""
    index = relative_index(cfg.window, math.prod(cfg.window)).astype(np.int64)
    for stage, depth in enumerate(cfg.depths):
        for block in range(depth):
            yield f"{theirs}layers.{stage}.blocks.{block}.{_INDEX}", index


def require_indices(
    where: object, found: Mapping[str, LazyTensor], cfg: SwinConfig, theirs: str = ""
) -> None:
    """Checks the index buffers that are there.

    Raises:
      CheckpointError: naming one that belongs to another window.
    """
    for name, index in indices(cfg, theirs):
        if name not in found:
            continue
        if found[name].shape != index.shape or not np.array_equal(found[name].read(), index):
            raise errors.CheckpointError(
                f"{where}: {name} is not the index of a window of {cfg.window}; give the window "
                "that the weights were trained with."
            )


@functools.lru_cache(maxsize=8)
def leaf_shapes(cfg: SwinConfig) -> Mapping[str, tuple[int, ...]]:
    """Path -> shape of all leaves."""
    module = nnx.eval_shape(lambda: VideoSwin(cfg, rngs=nnx.Rngs(params=0)))
    leaves = paths.flatten(nnx.to_pure_dict(nnx.split(module)[1]))
    return {path: leaf.shape for path, leaf in leaves.items()}


def config(
    shapes: Mapping[str, tuple[int, ...]],
    where: object,
    *,
    window: tuple[int, int, int] = WINDOW,
    theirs: str = "",
) -> SwinConfig:
    """The encoder that tensors of these shapes belong to.

    Args:
      shapes: name -> shape.
      where: the file, for messages.
      window: what the file does not say.
      theirs: what the names begin with.

    Raises:
      CheckpointError: when they are those of no Video Swin, or of another window.
    """
    kernel = shapes.get(f"{theirs}patch_embed.proj.weight", ())
    if len(kernel) != 5 or kernel[1:3] != (3, FRAMES_PER_PATCH) or kernel[3] != kernel[4]:
        names = lazy.some((f"{name} {list(shape)}" for name, shape in shapes.items()), 3)
        raise errors.CheckpointError(
            f"{where}: no {theirs}patch_embed.proj.weight of [width, 3, {FRAMES_PER_PATCH}, side, "
            f"side], found {names}; give the weights of a Video Swin."
        )
    depths: dict[int, int] = {}
    heads: dict[int, int] = {}
    rows = math.prod(2 * size - 1 for size in window)
    for name, shape in shapes.items():
        hit = re.fullmatch(rf"{re.escape(theirs)}{_BLOCK}(.*)", name)
        if hit is None:
            continue
        stage, block = int(hit[1]), int(hit[2])
        depths[stage] = max(depths.get(stage, 0), block + 1)
        if hit[3] == _TABLE:
            if len(shape) != 2 or shape[0] != rows:
                raise errors.CheckpointError(
                    f"{where}: {name} is {list(shape)}, expected {counted(rows, 'row')} for a "
                    f"window of {window}; give the window that the weights were trained with."
                )
            heads[stage] = shape[1]
    stages = range(max(depths, default=-1) + 1)
    hidden = shapes.get(f"{theirs}layers.0.blocks.0.mlp.fc1.weight", (4 * kernel[0],))[0]
    try:
        return SwinConfig(
            width=kernel[0],
            depths=tuple(depths.get(i, 0) for i in stages),
            heads=tuple(heads.get(i, 0) for i in stages),
            window=window,
            patch_size=kernel[3],
            mlp_ratio=hidden / kernel[0],
        )
    except errors.ConfigError as error:
        raise errors.CheckpointError(f"{where}: {error}") from error


def bare(found: Mapping[str, LazyTensor], where: object) -> dict[str, LazyTensor]:
    """The tensors without `module.` and without what the encoder's names begin with.

    Raises:
      CheckpointError: for two that then have one name.
    """
    plain = [re.sub(r"(^|\.)(?:module\.)+", r"\1", name) for name in found]
    first = next((one for one in PREFIXES if f"{one}patch_embed.proj.weight" in plain), "")
    names = [name.removeprefix(first) for name in plain]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.CheckpointError(
            f"{where}: {lazy.some(twice)} is there twice, with and without a prefix; save the "
            "state dict of one model."
        )
    return dict(zip(names, found.values(), strict=True))


def load(
    path: Path, *, window: tuple[int, int, int] = WINDOW, dtype: Any = None
) -> tuple[SwinConfig, paths.Tree]:
    """Reads a file of the encoder alone, of torch or safetensors.

    Args:
      path: the file.
      window: that it was trained with.
      dtype: of the result; None keeps what is stored.

    Returns:
      Its shape, and parameters as numpy arrays.

    Raises:
      CheckpointError: when it cannot be read, or naming what is missing, has no place in the
        encoder, is of another shape or window, or not finite.
    """
    found = bare(tensors.state_dict(tensors.open_tensors(path), path), path)
    cfg = config({name: tensor.shape for name, tensor in found.items()}, path, window=window)
    places = rules.places(table(), leaf_shapes(cfg))
    rules.prove(path, found, places, (*ignored(), _CLASSIFIER))
    require_indices(path, found, cfg)
    wanted = {
        leaf: (group, dtype or rules.stored(found, group))
        for leaf, group in rules.by_path(places).items()
    }
    return cfg, paths.unflatten(rules.leaves(path, found, wanted))


def named(
    params: Mapping[str, Any], cfg: SwinConfig, *, theirs: str = "", index: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of a file: the inverse of `load`.

    Args:
      params: of the encoder.
      cfg: its shape.
      theirs: what the names shall begin with.
      index: whether the index buffers are written too; the original's strict loading wants them.

    Yields:
      (name, contiguous tensor).
    """
    flat = paths.flatten(params)

    def leaf(path: str, layer: int | None) -> np.ndarray:
        array = np.asarray(flat[path])
        return array if layer is None else array[layer]

    yield from rules.written(leaf, rules.places(table(theirs=theirs), leaf_shapes(cfg)))
    if index:
        yield from indices(cfg, theirs)
