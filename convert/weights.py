"""Opens weights of any kind: our checkpoints and published ones, one source or several."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lb_jax.convert import (
    hub,
    imagebind_files,
    orbax_reader,
    rules,
    safetensors_reader,
    valor_folder,
)
from lb_jax.convert.lazy import LazyTensor
from lb_jax.convert.parts import Changed, Reading, Weights, is_stacked, tower_leaf
from lb_jax.convert.source import CONFIG, Source, open_source
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.models import families, lora
from lb_jax.models.languagebind import LanguageBind, ModelConfig, model_config


def open_weights(
    source: str | Path | Mapping[str, str | Path],
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    merge_lora: bool = False,
) -> Weights:
    """Opens weights of any kind; proves that they fit, reads no tensor of a vision tower.

    Args:
      source: hub name, folder, file, our own checkpoint or work directory, or a mapping of
        modalities to such sources of published weights.
      config: for published weights without one, see `open_source`.
      merge_lora: fold LoRA factors into the kernels.

    Raises:
      CheckpointError: for what cannot be read or does not fit.
      ConfigError: for a modality the weights are not for, or text towers that differ.
    """
    sources: dict[str | None, str | Path]
    if isinstance(source, Mapping):
        sources = {**source}
    else:
        path = checkpoint.within(hub.local(source))
        if valor_folder.is_valor(path):
            raise errors.ConfigError(
                f"{source}: a VALOR model, which is not made of towers in one space; open it with "
                "lb_jax.load, or give an encoder, such as LanguageBind's."
            )
        if is_ours(path):
            if config is not None:
                raise errors.ConfigError(
                    f"{source}: a checkpoint of this package has its own config; leave config out."
                )
            stored = Stored(path)
            return Merged(stored) if merge_lora else stored
        if imagebind_files.find(path) is not None:
            whole = imagebind_files.ImageBindWeights(path, config)
            return Merged(whole) if merge_lora else whole
        sources = {None: path}
    if not sources:
        raise errors.ConfigError("no weights: give a mapping of modalities to their sources.")
    for modality in sources:
        if modality is not None and modality not in MODALITIES:
            raise errors.ConfigError(
                f"unknown modality {modality!r}; known: "
                f"{', '.join(MODALITIES)}.{errors.nearest(str(modality), MODALITIES)}"
            )
    local = {modality: hub.local(one) for modality, one in sources.items()}
    for path in map(checkpoint.within, local.values()):
        if is_ours(path):
            raise errors.ConfigError(
                f"{path}: a checkpoint of this package, which says itself what its modalities are; "
                "give it alone, not in a mapping; convert takes some of them with --only."
            )
        if None not in sources and imagebind_files.find(path) is not None:
            raise errors.ConfigError(
                f"{path}: {families.IMAGEBIND.name}'s weights, whose vectors do not compare with "
                f"those of {families.LANGUAGEBIND.name}'s towers; give them alone, not in a "
                "mapping, and choose some of their modalities with modalities=."
            )
    opened = [open_source(path, modality, config) for modality, path in local.items()]
    published = Published({one.modality: one for one in opened})
    return Merged(published) if merge_lora else published


def is_ours(path: Path) -> bool:
    """Whether a folder is, or was before it was damaged, a checkpoint of this package."""
    if (path / CONFIG).is_file():
        content = checkpoint.read_json(path / CONFIG)
        if isinstance(content, dict):
            return "format" in content
    weights = path / checkpoint.WEIGHTS
    if not weights.is_file():
        return False
    return safetensors_reader.read_metadata(weights).get("format") == checkpoint.FORMAT


class Stored(Weights):
    """Our own inference checkpoint."""

    def __init__(self, folder: Path):
        self.where, self.ignored = str(folder), ()
        self.folder, self.files = folder, (folder,)
        stored = checkpoint.load_config(folder)
        try:
            self.config = model_config(stored["model"])
            given = stored.get("preprocess")
            if not isinstance(given, dict) or {*given} - {TEXT} != set(self.config.towers):
                raise errors.ConfigError(
                    f'"preprocess" is of {sorted(given or ())}, the towers of '
                    f"{sorted(self.config.towers)}"
                )
        except errors.ConfigError as error:
            raise errors.CheckpointError(
                f"{folder / CONFIG}: {str(error).removesuffix('.')}; write the checkpoint again."
            ) from error
        self.preprocess, self.origin = given, stored.get("origin", {})
        self._tensors = stored_tensors(folder)
        shapes = {path: tensor.shape for path, tensor in self._tensors.items()}
        _require_fit(folder, shapes, self.config)

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights and config."""
        total = hashlib.sha256((self.folder / CONFIG).read_bytes())
        for path, tensor in sorted(self._tensors.items()):
            total.update(f"{path}\n".encode())
            total.update(tensor.read())
        return total.hexdigest()

    def read(self, name: str, how: Reading) -> paths.Tree:
        """As `Weights.read`."""
        found = {}
        for path, tensor in self._tensors.items():
            inside = path.removeprefix(f"{name}/")
            if inside != path and how.wanted(inside):
                one = slice(how.layer, how.layer + 1) if how.layer is not None else None
                leaf = tensor.read(one) if one and is_stacked(inside) else tensor.read()
                rules.require_finite(self.folder, path, leaf)
                found[inside] = leaf.astype(how.dtype or tensor.dtype, copy=False)
        return paths.unflatten(found)


class Published(Weights):
    """Published weights: one source per modality, all over one text tower.

    Args:
      sources: by modality.

    Raises:
      ConfigError: for text towers that differ, naming the modalities.
    """

    def __init__(self, sources: Mapping[str, Source]):
        _require_one_text(sources)
        self.sources = dict(sources)
        self.where = ", ".join(str(one.where) for one in sources.values())
        first = next(iter(sources.values()))
        self.config = ModelConfig({name: one.vision for name, one in sources.items()}, first.text)
        self.files = tuple(path for one in sources.values() for path in (one.where, *one.files))
        self.preprocess = {name: one.preprocess for name, one in sources.items()}
        if first.text_preprocess:
            self.preprocess[TEXT] = first.text_preprocess
        self.ignored = tuple(name for one in sources.values() for name in one.ignored)
        self.origin = {
            name: {"kind": one.kind, **one.origin, **({"dtypes": one.dtypes} if one.dtypes else {})}
            for name, one in sources.items()
        }

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights and config."""
        total = hashlib.sha256()
        for name, one in sorted(self.sources.items()):
            end = "" if one.text.end is None else f" end={one.text.end}"
            cleaned = f" {one.text_preprocess}" if one.text_preprocess else ""
            told = f"{name} {one.vision} {one.text}{end} {one.preprocess}{cleaned}\n"
            total.update(told.encode())
            for tensor in sorted({place.name for place in one.places}):
                total.update(f"{tensor}\n".encode())
                total.update(one.tensors[tensor].read())
        return total.hexdigest()

    def read(self, name: str, how: Reading) -> paths.Tree:
        """As `Weights.read`."""
        top, _, modality = name.partition("/")
        if name == "base":  # every tower brings everything; equal arrays are found when they meet
            return {}
        if name == "logit_scale":
            scales = {
                m: one.read(lambda path: path == name)[name]
                for m, one in self.sources.items()
                if how.wanted(m)
            }
            return {m: scale.astype(how.dtype or scale.dtype) for m, scale in scales.items()}
        source = self.sources[modality] if modality else next(iter(self.sources.values()))
        prefix = "vision/" if top == "towers" else "text/"
        flat = source.read(
            lambda path: path.startswith(prefix) and how.wanted(path.removeprefix(prefix)),
            how.dtype,
            how.layer,
        )
        return paths.unflatten({path.removeprefix(prefix): leaf for path, leaf in flat.items()})


class Only(Changed):
    """Some modalities of other weights, and their text tower.

    Args:
      weights: as they are stored.
      modalities: those to keep.

    Raises:
      ConfigError: for a modality that the weights do not have.
    """

    def __init__(self, weights: Weights, modalities: Collection[str]):
        super().__init__(weights)
        towers = weights.config.towers
        if strange := [name for name in modalities if name not in towers]:
            raise errors.ConfigError(
                f"{weights.where}: has {', '.join(towers)} and no {', '.join(strange)}; choose "
                "some of those it has."
            )
        kept = {name: tower for name, tower in towers.items() if name in modalities}
        self.config = dataclasses.replace(weights.config, towers=kept)
        names = {*kept, TEXT}
        self.preprocess = {name: one for name, one in weights.preprocess.items() if name in names}
        self.origin = {name: one for name, one in weights.origin.items() if name in names}

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights and config."""
        told = f"only {' '.join(sorted(self.config.towers))} {self.inner.digest}"
        return hashlib.sha256(told.encode()).hexdigest()

    def read(self, name: str, how: Reading) -> paths.Tree:
        """As `Weights.read`."""
        if name != "logit_scale":
            return self.inner.part(name, *how)
        return self.inner.part(
            name, how.dtype, lambda path: path in self.config.scaled and how.wanted(path), how.layer
        )


class Merged(Changed):
    """Other weights with their LoRA factors folded into the kernels.

    Args:
      weights: as they are stored.
    """

    def __init__(self, weights: Weights):
        super().__init__(weights)
        towers = weights.config.towers.items()
        self._lora = {name: one.lora for name, one in towers if one.lora}
        plain = {name: dataclasses.replace(one, lora=None) for name, one in towers}
        self.config = dataclasses.replace(weights.config, towers=plain)

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights and config."""
        return hashlib.sha256(f"merged {self.inner.digest}".encode()).hexdigest()

    def read(self, name: str, how: Reading) -> paths.Tree:
        """As `Weights.read`."""
        modality = name.removeprefix("towers/")
        if modality not in self._lora:
            return self.inner.part(name, *how)

        def chosen(path: str) -> bool:  # a merged kernel needs its factors
            return how.wanted(re.sub("lora_[ab]$", "kernel", path))

        flat = paths.flatten(self.inner.part(name, None, chosen, how.layer))
        for path in [path for path in flat if path.endswith("/lora_a")]:
            kernel = re.sub("lora_a$", "kernel", path)
            if kernel not in flat:  # it lies in `base`
                flat[kernel] = tower_leaf(self.inner, modality, kernel, layer=how.layer)
        merged = lora.merge_lora(paths.unflatten(flat), self._lora[modality], how.dtype)
        return jax.tree.map(lambda leaf: leaf.astype(how.dtype or leaf.dtype, copy=False), merged)


def _require_one_text(sources: Mapping[str, Source]) -> None:
    (name, first), *others = sources.items()
    for other, source in others:
        different = "sizes" if source.text != first.text else _first_difference(first, source)
        if source.text_preprocess != first.text_preprocess:
            different = f"texts are cleaned otherwise, {source.text_preprocess or 'as usual'}"
        if different:
            raise errors.ConfigError(
                f"the text towers of {name} ({first.where}) and {other} ({source.where}) differ "
                f"({different}); their vectors do not share a space: load them one by one."
            )


def _first_difference(a: Source, b: Source) -> str | None:
    """The first text tensor whose values differ; one pair of tensors is in memory at a time."""
    other = {(place.path, place.layer): place for place in b.places}
    for place in a.places:
        if place.path.startswith(f"{TEXT}/"):
            twin = other[place.path, place.layer]
            mine, theirs = (
                p.take(one.tensors[p.name].read()) for p, one in ((place, a), (twin, b))
            )
            if not np.array_equal(mine, theirs):
                return f"{place.name} has other values"
    return None


def stored_tensors(folder: Path) -> dict[str, LazyTensor]:
    """Path -> tensor of our own checkpoint, in either of its formats."""
    if (folder / checkpoint.ORBAX).is_dir():
        return orbax_reader.read_orbax(folder / checkpoint.ORBAX)
    return safetensors_reader.read_safetensors(folder / checkpoint.WEIGHTS)


def _require_fit(folder: Path, stored: Mapping[str, tuple[int, ...]], config: ModelConfig) -> None:
    """Compares names and shapes of our own stored weights with the model.

    Raises:
      CheckpointError: naming what is missing, unexpected or of another shape.
    """
    model = LanguageBind(config)
    expected = {f"logit_scale/{name}": () for name in config.scaled}
    expected |= {f"{TEXT}/{path}": shape for path, shape in _shapes(model, TEXT)}
    shared = set()
    for name in model.modalities:
        for path, shape in _shapes(model, name):
            own = f"towers/{name}/{path}"
            expected[own if own in stored else f"base/{path}"] = shape
            shared.add(f"base/{path}")  # may be there although every tower brings its own
    problems = [f"{path} is missing" for path in expected if path not in stored]
    problems += [
        f"{path} is {list(shape)}, expected {list(expected[path])}"
        for path, shape in stored.items()
        if path in expected and shape != expected[path]
    ]
    problems += [f"{path} is unexpected" for path in stored if path not in {*expected, *shared}]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise errors.CheckpointError(
            f"{folder}: the weights do not fit {CONFIG}: {problems[0]}{more}; write the "
            "checkpoint again."
        )


def _shapes(model: LanguageBind, name: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(path, leaf.shape) for path, leaf in paths.flatten(model.shapes(name)).items()]
