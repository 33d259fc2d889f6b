"""One face for all weights: our checkpoints and published ones, one source or several.

A part is read when it is first asked for, in the structure of section 3 of the design: `base`,
`towers/<modality>`, `text`, `logit_scale`.
"""

import collections
import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from lb_jax.convert import hub, orbax_reader, rules, safetensors_reader
from lb_jax.convert.lazy import LazyTensor
from lb_jax.convert.source import CONFIG, Source, open_source
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.models import lora
from lb_jax.models.languagebind import LanguageBind, ModelConfig, is_shared, model_config

Wanted = Callable[[str], bool]


def everything(path: str) -> bool:
    """Wants every path."""
    return True


class Weights(Protocol):
    """Parameters of a model, by part.

    Attributes:
      where: what was opened, for messages.
      config: the towers.
      preprocess: modality, or "text" -> fields of its preprocessing spec that the weights fix.
      ignored: names of stored tensors that are not read.
      origin: modality -> what writing the same foreign files back needs.
      files: what is read.
      folder: the checkpoint of this package that they are, as it lies there; None for any other.
      digest: hash of weights and config; vectors of models that differ in it must not be mixed.
    """

    where: str
    config: ModelConfig
    preprocess: dict[str, dict[str, Any]]
    origin: dict[str, dict[str, Any]]
    ignored: tuple[str, ...]
    files: tuple[Path, ...]
    folder: Path | None

    @property
    def digest(self) -> str: ...

    def part(
        self,
        name: str,
        dtype: Any = None,
        wanted: Wanted = everything,
        layer: int | None = None,
    ) -> paths.Tree:
        """Reads `base`, `towers/<modality>`, `text` or `logit_scale`.

        Args:
          name: of the part.
          dtype: of the result; None keeps what is stored.
          wanted: which paths inside the part.
          layer: the only one to read of stacked leaves; their leading axis is then 1.

        Returns:
          A tree of numpy arrays.
        """
        ...


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
    if not isinstance(source, Mapping):
        path = checkpoint_folder(hub.local(source))
        if is_ours(path):
            if config is not None:
                raise errors.ConfigError(
                    f"{path}: a checkpoint of this package has its own config."
                )
            stored = Stored(path)
            return Merged(stored) if merge_lora else stored
        source = {None: path}
    if not source:
        raise errors.ConfigError("no weights: give a mapping of modalities to their sources.")
    for modality in source:
        if modality is not None and modality not in MODALITIES:
            raise errors.ConfigError(
                f"unknown modality {modality!r}; known: "
                f"{', '.join(MODALITIES)}.{errors.nearest(str(modality), MODALITIES)}"
            )
    local = {modality: hub.local(one) for modality, one in source.items()}
    for path in map(checkpoint_folder, local.values()):
        if is_ours(path):
            raise errors.ConfigError(
                f"{path}: a checkpoint of this package, which says itself what its modalities are; "
                "give it alone, not in a mapping."
            )
    opened = [open_source(path, modality, config) for modality, path in local.items()]
    published = Published({one.modality: one for one in opened})
    return Merged(published) if merge_lora else published


def checkpoint_folder(path: Path) -> Path:
    """The inference checkpoint at `path`, which may also be the work directory that holds one."""
    return path / "checkpoint" if (path / "checkpoint" / checkpoint.CONFIG).is_file() else path


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


class Stored:
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
        total = hashlib.sha256((self.folder / CONFIG).read_bytes())
        for path, tensor in sorted(self._tensors.items()):
            total.update(f"{path}\n".encode())
            total.update(tensor.read())
        return total.hexdigest()

    def part(
        self,
        name: str,
        dtype: Any = None,
        wanted: Wanted = everything,
        layer: int | None = None,
    ) -> paths.Tree:
        found = {}
        for path, tensor in self._tensors.items():
            inside = path.removeprefix(f"{name}/")
            if inside != path and wanted(inside):
                one = layer is not None and is_stacked(inside)
                leaf = tensor.read(slice(layer, layer + 1)) if one else tensor.read()
                rules.require_finite(self.folder, path, leaf)
                found[inside] = leaf.astype(dtype or tensor.dtype, copy=False)
        return paths.unflatten(found)


class Published:
    """Published weights: one source per modality, all over one text tower.

    Args:
      sources: by modality.

    Raises:
      ConfigError: for text towers that differ, naming the modalities.
    """

    def __init__(self, sources: Mapping[str, Source]):
        _require_one_text(sources)
        self.sources, self.folder = dict(sources), None
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

    def part(
        self,
        name: str,
        dtype: Any = None,
        wanted: Wanted = everything,
        layer: int | None = None,
    ) -> paths.Tree:
        top, _, modality = name.partition("/")
        if name == "base":  # every tower brings everything; equal arrays are found when they meet
            return {}
        if name == "logit_scale":
            scales = {
                m: one.read(lambda path: path == name)[name] for m, one in self._wanted(wanted)
            }
            return {m: scale.astype(dtype or scale.dtype) for m, scale in scales.items()}
        source = self.sources[modality] if modality else next(iter(self.sources.values()))
        prefix = "vision/" if top == "towers" else "text/"
        flat = source.read(
            lambda path: path.startswith(prefix) and wanted(path.removeprefix(prefix)), dtype, layer
        )
        return paths.unflatten({path.removeprefix(prefix): leaf for path, leaf in flat.items()})

    def _wanted(self, wanted: Wanted) -> list[tuple[str, Source]]:
        return [(name, one) for name, one in self.sources.items() if wanted(name)]


class Merged:
    """Other weights with their LoRA factors folded into the kernels.

    Args:
      weights: as they are stored.
    """

    def __init__(self, weights: Weights):
        self._inner, self.folder = weights, None
        self.where, self.files, self.ignored = weights.where, weights.files, weights.ignored
        self.preprocess, self.origin = weights.preprocess, weights.origin
        towers = weights.config.towers.items()
        self._lora = {name: one.lora for name, one in towers if one.lora}
        plain = {name: dataclasses.replace(one, lora=None) for name, one in towers}
        self.config = ModelConfig(plain, weights.config.text)

    @functools.cached_property
    def digest(self) -> str:
        return hashlib.sha256(f"merged {self._inner.digest}".encode()).hexdigest()

    def part(
        self,
        name: str,
        dtype: Any = None,
        wanted: Wanted = everything,
        layer: int | None = None,
    ) -> paths.Tree:
        modality = name.removeprefix("towers/")
        if modality not in self._lora:
            return self._inner.part(name, dtype, wanted, layer)

        def chosen(path: str) -> bool:  # a merged kernel needs its factors
            return wanted(re.sub("lora_[ab]$", "kernel", path))

        flat = paths.flatten(self._inner.part(name, None, chosen, layer))
        for path in [path for path in flat if path.endswith("/lora_a")]:
            kernel = re.sub("lora_a$", "kernel", path)
            if kernel not in flat:  # it lies in `base`
                flat[kernel] = tower_leaf(self._inner, modality, kernel, layer=layer)
        merged = lora.merge_lora(paths.unflatten(flat), self._lora[modality], dtype)
        return jax.tree.map(lambda leaf: leaf.astype(dtype or leaf.dtype, copy=False), merged)


def shared_leaves(weights: Weights, dtype: Any = None) -> Iterator[tuple[str, np.ndarray]]:
    """All leaves under their paths in a checkpoint, equal ones of several towers once as `base/…`.

    Yields:
      (path, array).
    """
    for path, name, inside in leaf_origins(weights):
        yield path, tower_leaf(weights, name, inside, dtype)


def leaf_origins(weights: Weights) -> Iterator[tuple[str, str, str]]:
    """Where every leaf of a checkpoint comes from, equal ones of several towers once as `base/…`.

    Where towers differ in a leaf that is usually shared, the value most of them have is the base's.

    Yields:
      (path in a checkpoint, tower, "text" or "logit_scale", path in that).
    """
    model = LanguageBind(weights.config)
    inside = {name: paths.flatten(model.shapes(name)) for name in model.modalities}
    for path in dict.fromkeys(path for own in inside.values() for path in own):
        by_shape = collections.defaultdict(list)
        for name, own in inside.items():
            if path in own:
                by_shape[own[path].shape].append(name)
        groups = [g for names in by_shape.values() for g in _equal_groups(weights, names, path)]
        groups.sort(key=lambda group: -len(group))
        if is_shared(path):
            yield f"base/{path}", groups.pop(0)[0], path
        yield from ((f"towers/{name}/{path}", name, path) for group in groups for name in group)
    yield from ((f"{TEXT}/{path}", TEXT, path) for path in paths.flatten(model.shapes(TEXT)))
    yield from ((f"logit_scale/{name}", "logit_scale", name) for name in model.modalities)


def _equal_groups(weights: Weights, names: Sequence[str], path: str) -> list[list[str]]:
    """The towers in groups that are equal in a leaf; a layer of each is in memory at a time."""
    groups = [list(names)]
    for layer in layers(weights, names[0], path):
        finer: list[list[str]] = []
        for group in groups:
            if len(group) == 1:
                finer.append(group)
                continue
            split: list[tuple[np.ndarray, list[str]]] = []
            for name in group:
                leaf = tower_leaf(weights, name, path, layer=layer)
                for other, equal in split:
                    if same_bits(other, leaf):
                        equal.append(name)
                        break
                else:
                    split.append((leaf, [name]))
            finer += [equal for _, equal in split]
        groups = finer
    return groups


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two contiguous arrays are the same, type and sign of zero included."""
    return (one.dtype, one.shape) == (other.dtype, other.shape) and np.array_equal(
        one.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8)
    )


def layers(weights: Weights, name: str, path: str) -> Sequence[int | None]:
    """The layers of a stacked leaf, [None] for any other: what to ask `tower_leaf` for in turn."""
    if not is_stacked(path):
        return [None]
    tower = weights.config.text if name == TEXT else weights.config.towers[name]
    return range(tower.depth)


def is_stacked(path: str) -> bool:
    """Whether the leading axis of a tower's leaf counts its layers."""
    return path.startswith("blocks/")


def tower_leaf(
    weights: Weights, name: str, path: str, dtype: Any = None, layer: int | None = None
) -> np.ndarray:
    """One leaf of a tower, its own or the one in `base`; of the text tower; or a logit scale."""
    for part in (name,) if name in (TEXT, "logit_scale") else (f"towers/{name}", "base"):
        flat = paths.flatten(weights.part(part, dtype, lambda one: one == path, layer))
        if path in flat:
            return flat[path]
    raise KeyError(path)  # a checkpoint that was proven to fit has it


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
    expected = {f"logit_scale/{name}": () for name in model.modalities}
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
