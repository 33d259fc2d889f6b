"""ImageBind's weights in and out, and a model of its kind that starts from an OpenCLIP.

The released file holds all six towers and is read lazily: a tower costs the memory of that tower.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.convert import fields, hub, imagebind, lazy, rules, tensors, torch_writer
from lb_jax.convert.lazy import LazyTensor
from lb_jax.convert.parts import (
    Changed,
    Reading,
    Weights,
    is_stacked,
    layers,
    same_bits,
    tower_leaf,
)
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core import config as config_lib
from lb_jax.core.modalities import TEXT
from lb_jax.models import imagebind as towers
from lb_jax.models.languagebind import LanguageBind, ModelConfig

KIND = "ImageBind"
RELEASED, FILE = "imagebind_huge.pth", "imagebind.pth"  # written by size
HUGE = "imagebind_huge"  # the only size that has a name


def find(path: str | Path) -> Path | None:
    """The file of ImageBind's weights that a folder holds, or the file itself; None for others."""
    path = Path(path)
    files = [path] if path.is_file() else [path / form[0] for form in hub.WEIGHTS]
    file = next((one for one in files if one.is_file()), None)
    if file is None:
        return None
    try:
        if tensors.is_legacy(file):  # from before ImageBind; opening it reads all of it
            return None
        found = tensors.state_dict(tensors.open_tensors(file), file)
    except errors.CheckpointError:  # whoever opens it tells what is wrong
        return None
    return file if imagebind.is_imagebind(found) else None


class ImageBindWeights(Weights):
    """ImageBind's weights, proven to fit; reads headers only, and the mask.

    Args:
      path: folder or file.
      config: `config.json`, its content or "imagebind_huge"; None takes that beside the weights.

    Attributes:
      tensors: of the file, by their own names.

    Raises:
      CheckpointError: naming every tensor that is missing, strange or of another shape, and sizes
        that neither shapes nor the config tell.
    """

    def __init__(self, path: str | Path, config: str | Path | Mapping[str, Any] | None = None):
        file = find(path)
        if file is None:
            raise errors.CheckpointError(
                f"{path}: no weights of ImageBind; expected a file of tensors with names such as "
                f"{imagebind.TRUNKS}.vision.blocks.0.norm_1.weight."
            )
        self.where, self.files = str(file), (file,)
        self.tensors = tensors.state_dict(tensors.open_tensors(file), file)
        shapes = {name: tensor.shape for name, tensor in self.tensors.items()}
        self.config = imagebind.config_of(file, shapes, _stated(file, config))
        found = imagebind.places(self.config)
        mask = imagebind.mask_place(self.config)
        rules.prove(file, self.tensors, [*found, mask])
        _require_causal(file, self.tensors[mask.name])
        self._places = rules.by_path(found)
        self.ignored = (mask.name,)
        self.preprocess = imagebind.preprocessing(self.config)
        dtypes = _dtypes(self.tensors, self._places.values())
        self.origin = {name: {"kind": KIND} for name in self.config.towers}
        if dtypes:
            self.origin[TEXT] = {"dtypes": dtypes}

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights and config; a tensor is in memory at a time."""
        told = json.dumps(config_lib.to_dict(self.config), sort_keys=True)
        total = hashlib.sha256(told.encode())
        for name in sorted({place.name for one in self._places.values() for place in one}):
            total.update(f"{name}\n".encode())
            total.update(self.tensors[name].read())
        return total.hexdigest()

    def read(self, name: str, how: Reading) -> paths.Tree:
        """As `Weights.read`."""
        if name == "base":  # every tower brings everything; equal arrays are found when they meet
            return {}
        top = imagebind.OF_MODALITY.get(name.removeprefix("towers/"), name)
        wanted = {}
        for path, found in self._places.items():
            inside = path.removeprefix(f"{top}/")
            if inside != path and how.wanted(inside):
                dtype = how.dtype or rules.stored(self.tensors, found)
                if how.layer is not None and is_stacked(inside):
                    wanted[inside] = [found[how.layer]], dtype
                else:
                    wanted[inside] = found, dtype
        return paths.unflatten(rules.leaves(self.where, self.tensors, wanted))


def _stated(file: Path, given: str | Path | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What is said of the sizes; None where they are to be the released ones."""
    if given is None:
        beside = file.parent / checkpoint.CONFIG
        content = checkpoint.read_json(beside) if beside.is_file() else None
        return content if isinstance(content, dict) and "arguments" in content else None
    if isinstance(given, Mapping):
        return given
    if Path(given).is_file():
        return fields.as_object(checkpoint.read_json(Path(given)), given)
    if given == HUGE:
        return None
    raise errors.ConfigError(
        f"config={given!r}: no such file, and not {HUGE!r}; give a JSON file with the arguments of "
        "the model."
    )


def _require_causal(file: Path, tensor: LazyTensor) -> None:
    found = tensor.read().astype(np.float32)
    if not np.array_equal(found, imagebind.mask(len(found))):
        raise errors.CheckpointError(
            f"{file}: {imagebind.MASK} is not that of causal attention, minus infinity above the "
            f"diagonal and 0 elsewhere; {lazy.AGAIN}."
        )


def _dtypes(found: Mapping[str, LazyTensor], leaves: Iterable[list[rules.Place]]) -> dict[str, str]:
    """Tensor -> its type, where the leaf it is part of has a wider one."""
    return {
        place.name: found[place.name].dtype.name
        for of_leaf in leaves
        for place in of_leaf
        if found[place.name].dtype != rules.stored(found, of_leaf)
    }


def write_released(weights: Weights, folder: Path) -> tuple[int, int]:
    """Writes a file as released, which the original code loads, and the arguments of its model.

    Returns:
      How many tensors, and how many numbers in them.

    Raises:
      CheckpointError: for towers of stills and of clips that differ, which are one there, and MLPs
        of another width than the original's.
    """
    _require_one_vision(weights)
    _require_ratio(weights)
    cfg, counts = weights.config, []
    stored = weights.origin.get(TEXT, {}).get("dtypes", {})

    def named() -> Iterator[tuple[str, np.ndarray]]:
        for name, tensor in rules.written(functools.partial(_leaf, weights), imagebind.places(cfg)):
            counts.append(tensor.size)
            yield name, tensor.astype(stored.get(name, tensor.dtype), copy=False)
        yield imagebind.MASK, imagebind.mask(cfg.text.context)

    name = RELEASED if _is_huge(cfg) else FILE
    torch_writer.write(folder / name, named(), {})
    checkpoint.write_json(folder / checkpoint.CONFIG, imagebind.to_config(cfg))
    return len(counts), sum(counts)


def _is_huge(cfg: ModelConfig) -> bool:
    huge = towers.huge()
    return cfg.text == huge.text and all(cfg.towers[m] == huge.towers[m] for m in cfg.towers)


def _leaf(weights: Weights, path: str, layer: int | None) -> np.ndarray:
    top, _, inside = path.partition("/")
    several = imagebind.TOWERS.get(top, (top,))
    name = next((one for one in several if one in weights.config.towers), top)
    array = tower_leaf(weights, name, inside, layer=layer)
    return array if layer is None else array[0]


def _require_ratio(weights: Weights) -> None:
    """The original's class knows no other width of its MLPs."""
    for name, one in (*weights.config.towers.items(), (TEXT, weights.config.text)):
        if one.mlp_dim != towers.MLP_RATIO * one.width:
            raise errors.CheckpointError(
                f"{weights.where}: the MLP of {name} is {one.mlp_dim} wide, and {KIND}'s is always "
                f"{towers.MLP_RATIO} times the width of {one.width}; choose --to=safetensors."
            )


def _require_one_vision(weights: Weights) -> None:
    """A layer of each of both towers is in memory at a time."""
    one, *others = imagebind.TOWERS[imagebind.VISION]
    twins = [name for name in others if {one, name} <= set(weights.config.towers)]
    model = LanguageBind(weights.config)
    for name in twins:
        for path in paths.flatten(model.shapes(one)):
            for layer in layers(weights, one, path):
                pair = (tower_leaf(weights, which, path, layer=layer) for which in (one, name))
                if not same_bits(*pair):
                    raise errors.CheckpointError(
                        f"{weights.where}: {path} of {one} and of {name} differ, and {KIND}'s file "
                        f"has one tower for both; write one of them with --only, or choose "
                        "--to=safetensors."
                    )


class OpenClipStart(Changed):
    """A model of ImageBind's kind that starts from an OpenCLIP: stills, clips and texts.

    The kernel of the patches becomes two equal slices of time that add up to it (ImageBind spec
    2.2), so a still gives what it gave, but for the epsilon of the norms.

    Args:
      weights: of an OpenCLIP, its image tower plain.

    Raises:
      ConfigError: for weights of another kind.
    """

    def __init__(self, weights: Weights):
        super().__init__(weights)
        image = weights.config.towers.get("image")
        if weights.config.family or image is None or image.lora or image.tube_size or image.form:
            raise errors.ConfigError(
                f"{weights.where}: not the weights of a plain image tower with its text tower; "
                "give an OpenCLIP, such as ViT-H-14."
            )
        text = dataclasses.replace(weights.config.text, epsilon=towers.EPSILON)
        tower = dataclasses.replace(
            image, frames=towers.TUBE, tube_size=towers.TUBE, form=towers.VISION
        )
        several = imagebind.TOWERS[imagebind.VISION]
        self.config = towers.model(dict.fromkeys(several, tower), text)
        self.preprocess = imagebind.preprocessing(self.config)
        self.origin = {}

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights and config."""
        return hashlib.sha256(f"{KIND} from {self.inner.digest}".encode()).hexdigest()

    def read(self, name: str, how: Reading) -> paths.Tree:
        """As `Weights.read`."""
        if name == "logit_scale":
            found = self.inner.part(name, how.dtype)
            return {TEXT: found["image"]} if how.wanted(TEXT) else {}
        if name == TEXT:
            return self.inner.part(name, *how)
        flat = paths.flatten(self.inner.part(name if name == "base" else "towers/image", *how))
        return paths.unflatten({path: _with_time(path, leaf) for path, leaf in flat.items()})


def _with_time(path: str, leaf: np.ndarray) -> np.ndarray:
    match path:
        case "patch_embed/kernel":
            return np.repeat(leaf[None] / towers.TUBE, towers.TUBE, axis=0).astype(leaf.dtype)
        case "class_embed":
            return leaf[None]
    return leaf
