"""Weights out, one function per row of `FORMATS`; a folder appears whole or not at all.

safetensors   our checkpoint: `model.safetensors`, `config.json`
hf            what the original PyTorch code loads: one folder per modality
open_clip     what OpenCLIP loads: plain towers only
stablehlo     one program per tower with a symbolic batch, and its parameters
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.convert import clip, languagebind, open_clip, rules
from lb_jax.convert.source import CONFIG, OPEN_CLIP_CONFIG, leaf_shapes
from lb_jax.convert.weights import Weights, shared_leaves, tower_leaf
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core import config as config_lib


@dataclasses.dataclass
class Report:
    """What a conversion wrote.

    Attributes:
      tensors: number of arrays.
      parameters: number of values in them.
    """

    tensors: int = 0
    parameters: int = 0

    def count(self, leaves: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """Passes leaves on and counts them."""
        for name, leaf in leaves:
            self.tensors += 1
            self.parameters += leaf.size
            yield name, leaf


def write(weights: Weights, folder: Path, to: str) -> Report:
    """Writes weights in one of `FORMATS`.

    Args:
      weights: of any kind.
      folder: to write; an existing one is replaced once the new one is complete.
      to: the format.

    Raises:
      ConfigError: for an unknown format.
      CheckpointError: for what the format cannot hold, or a disk that cannot take it.
    """
    if to not in FORMATS:
        raise errors.ConfigError(
            f"unknown format {to!r}; known: {', '.join(FORMATS)}.{errors.nearest(to, FORMATS)}"
        )
    report = Report()
    with checkpoint.replacing(Path(folder)) as partial:
        FORMATS[to](weights, partial, report)
    return report


def _safetensors(weights: Weights, folder: Path, report: Report) -> None:
    checkpoint.write_safetensors(
        folder / checkpoint.WEIGHTS,
        report.count(shared_leaves(weights)),
        100 * (1 + len(weights.config.towers)),
        {"format": checkpoint.FORMAT},
    )
    _write_config(weights, folder)


def _write_config(weights: Weights, folder: Path) -> None:
    values = {
        "model": config_lib.to_dict(weights.config),
        "preprocess": weights.preprocess,
        "origin": weights.origin,
    }
    checkpoint.write_config(folder, values)


def _hf(weights: Weights, folder: Path, report: Report) -> None:
    for modality, vision in weights.config.towers.items():
        origin = weights.origin.get(modality, {})
        plain = origin.get("kind") == "CLIP"
        config = (
            clip.to_config(vision, weights.config.text)
            if plain
            else languagebind.to_config(modality, vision, weights.config.text)
        )
        table = (
            clip.peft_rules(vision.lora.targets, base_layer=origin.get("base_layer", False))
            if vision.lora
            else clip.RULES
        )
        into = _folder_of(weights, folder, modality)
        checkpoint.write_json(into / CONFIG, _kept(config, origin))
        _write_foreign(weights, modality, table, into / "model.safetensors", report)


def _open_clip(weights: Weights, folder: Path, report: Report) -> None:
    for modality, vision in weights.config.towers.items():
        origin = weights.origin.get(modality, {})
        config = open_clip.to_config(vision, weights.config.text)
        table = open_clip.custom_text_rules() if origin.get("custom_text") else open_clip.RULES
        into = _folder_of(weights, folder, modality)
        checkpoint.write_json(into / OPEN_CLIP_CONFIG, _kept(config, origin))
        _write_foreign(weights, modality, table, into / "open_clip_model.safetensors", report)


def _kept(config: dict[str, Any], origin: Mapping[str, Any]) -> dict[str, Any]:
    """The config that the weights came with, where it says the same; ours otherwise."""
    return config


def _write_foreign(
    weights: Weights, modality: str, table: tuple[rules.Rule, ...], file: Path, report: Report
) -> None:
    """One tower, its text tower and temperature under the names of a table."""
    shapes = leaf_shapes(modality, weights.config.towers[modality], weights.config.text)
    found = rules.places(table, shapes)

    @functools.lru_cache(maxsize=3)  # a fused tensor is made of three leaves
    def leaf(path: str) -> np.ndarray:
        top, _, inside = path.partition("/")
        if top == "vision":
            return tower_leaf(weights, modality, inside)
        part = weights.part(top, wanted=lambda one: one == (inside or modality))
        return paths.flatten(part)[inside or modality]

    named = ((name, tensor()) for name, tensor in rules.written(leaf, found))
    checkpoint.write_safetensors(file, report.count(named), len(found), {"format": "pt"})


def _folder_of(weights: Weights, folder: Path, modality: str) -> Path:
    """A folder per modality where there are several."""
    into = folder / modality if len(weights.config.towers) > 1 else folder
    into.mkdir(parents=True, exist_ok=True)
    return into


FORMATS: dict[str, Callable[[Weights, Path, Report], None]] = {
    "safetensors": _safetensors,
    "hf": _hf,
    "open_clip": _open_clip,
}
