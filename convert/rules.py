"""Names and layouts of foreign weights as tables, read in both directions.

A table says for every leaf of ours what the tensor is called elsewhere and how it lies there:

    Rule(r"vision/blocks/attn/(\\w+)/kernel", r"….layers.{layer}.self_attn.\\1.weight", TRANSPOSED)

The leaves of a model are known from its config, so the table gives the complete list of expected
tensors. Compared with a file it proves a bijection before anything is copied: every tensor is used
or named as ignored, every leaf is filled, every shape agrees.
"""

import collections
import dataclasses
import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import cv2
import numpy as np

from lb_jax.convert import lazy
from lb_jax.convert.lazy import BFLOAT16, LazyTensor
from lb_jax.core import errors
from lb_jax.core.words import counted


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a foreign tensor becomes a leaf of ours and back, both as views."""

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


COPY = Layout(lambda a: a, lambda a: a)
TRANSPOSED = Layout(np.transpose, np.transpose)  # linear: torch has [out, in]
CONVOLUTION = Layout(  # torch has [out, in, *window]
    lambda a: a.transpose(*range(2, a.ndim), 1, 0),
    lambda a: a.transpose(a.ndim - 1, a.ndim - 2, *range(a.ndim - 2)),
)
LEADING_ONE = Layout(lambda a: a[0], lambda a: a[None])

_THREADS = 4  # that read; as many tensors are in memory at a time
# Bytes of a number -> the type under which OpenCV moves it; it does not know them all.
_OPENCV = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.float64}


@dataclasses.dataclass(frozen=True)
class Rule:
    """One row of a table.

    Attributes:
      ours: regex of paths, matched whole.
      theirs: the tensor's name, with groups of the regex and, for stacked leaves, `{layer}`.
      layout: how it lies there.
      part: (k, n): the leaf is the k-th of n equal blocks of rows of a fused tensor.
    """

    ours: str
    theirs: str
    layout: Layout = COPY
    part: tuple[int, int] = (0, 1)


def norm(ours: str, theirs: str) -> tuple[Rule, Rule]:
    """The rows of a layer normalisation: its scale, which torch calls `weight`, and its bias."""
    return Rule(f"{ours}/scale", f"{theirs}.weight"), Rule(f"{ours}/bias", f"{theirs}.bias")


def linear(ours: str, theirs: str) -> tuple[Rule, Rule]:
    """The rows of a linear layer: its kernel, which lies transposed in torch, and its bias."""
    return (
        Rule(f"{ours}/kernel", f"{theirs}.weight", TRANSPOSED),
        Rule(f"{ours}/bias", f"{theirs}.bias"),
    )


_QKV = ("q_proj", "k_proj", "v_proj")


def fused(ours: str, theirs: str) -> list[Rule]:
    """The rows of the three projections of attention, which torch keeps as one `in_proj`."""
    found = []
    for k, name in enumerate(_QKV):
        part = (k, len(_QKV))
        found += [
            Rule(f"{ours}{name}/kernel", f"{theirs}in_proj_weight", TRANSPOSED, part),
            Rule(f"{ours}{name}/bias", f"{theirs}in_proj_bias", part=part),
        ]
    return found


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a leaf, or one layer of a stacked leaf, lies in a foreign file.

    Attributes:
      path: of the leaf.
      layer: index on the leaf's leading axis; None for a leaf that is not stacked.
      shape: of the leaf, or of one layer of it.
      name, layout, part: see `Rule`.
    """

    path: str
    layer: int | None
    shape: tuple[int, ...]
    name: str
    layout: Layout
    part: tuple[int, int]

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """Shape of the tensor in the file, the other parts of a fused one included."""
        rows, *rest = self.layout.theirs(np.broadcast_to(np.int8(0), self.shape)).shape or (None,)
        return () if rows is None else (rows * self.part[1], *rest)

    def take(self, tensor: np.ndarray) -> np.ndarray:
        """This place's piece of a foreign tensor, a view in our layout."""
        if self.part[1] > 1:
            rows = len(tensor) // self.part[1]
            tensor = tensor[self.part[0] * rows :][:rows]
        return self.layout.ours(tensor)


def places(rules: Sequence[Rule], shapes: Mapping[str, tuple[int, ...]]) -> list[Place]:
    """Every place of every leaf.

    Args:
      rules: the table; the first row that matches a path counts.
      shapes: path -> shape of all leaves.

    Raises:
      CheckpointError: for leaves the format has no name for.
    """
    found, nameless = [], []
    for path, shape in shapes.items():
        hits = ((rule, re.fullmatch(rule.ours, path)) for rule in rules)
        first = next(((rule, hit.expand(rule.theirs)) for rule, hit in hits if hit), None)
        if first is None:
            nameless.append(path)
            continue
        rule, name = first
        if "{layer}" in name:
            found += [
                Place(path, i, shape[1:], name.replace("{layer}", str(i)), rule.layout, rule.part)
                for i in range(shape[0])
            ]
        else:
            found.append(Place(path, None, shape, name, rule.layout, rule.part))
    if nameless:
        raise errors.CheckpointError(
            f"the format has no name for {', '.join(nameless)}; choose --to=safetensors."
        )
    return found


def by_path(all_places: Iterable[Place]) -> dict[str, list[Place]]:
    """Path -> its places: of stacked leaves one per layer, in order."""
    found = collections.defaultdict(list)
    for place in all_places:
        found[place.path].append(place)
    return found


def stored(tensors: Mapping[str, LazyTensor], of_leaf: Sequence[Place]) -> np.dtype:
    """The type that holds all layers of a leaf exactly."""
    kinds = {tensors[place.name].dtype for place in of_leaf}
    return functools.reduce(np.promote_types, kinds)


def prove(
    where: object,
    found: Mapping[str, LazyTensor],
    expected: Iterable[Place],
    ignored: Sequence[str] = (),
) -> tuple[str, ...]:
    """Compares the tensors of a file with the expected places, without reading them.

    Args:
      where: the file, for messages.
      found: its tensors.
      expected: all places of the model.
      ignored: regexes of names that may be there and are not read.

    Returns:
      The names that are ignored.

    Raises:
      CheckpointError: naming every missing, extra and misshapen tensor, with the nearest name, and
        every one that does not hold floating point numbers.
    """
    shapes = {place.name: place.foreign_shape for place in expected}
    extra = [name for name in found if name not in shapes]
    unused = tuple(n for n in extra if any(re.fullmatch(rule, n) for rule in ignored))
    extra = [name for name in extra if name not in unused]
    missing = [name for name in shapes if name not in found]
    problems = []
    for names, what, others in (
        (missing, "is missing", extra),
        (extra, "has no place in the model", missing),
    ):
        for pattern, group in _by_layer(names).items():
            near = difflib.get_close_matches(group[0], others, n=1, cutoff=0.6)
            hint = f" (nearest: {near[0]})" if near else ""
            problems.append(f"{pattern} {what}{hint}")
    misshapen = {
        name: f"is {list(found[name].shape)}, expected {list(shape)}"
        for name, shape in shapes.items()
        if name in found and tuple(found[name].shape) != shape
    }
    foreign = {
        name: f"is {found[name].dtype}, expected floating point"
        for name in shapes
        if name in found and found[name].dtype.kind != "f" and found[name].dtype != BFLOAT16
    }
    for wrong in (misshapen, foreign):
        for what in dict.fromkeys(wrong.values()):
            names = [name for name, text in wrong.items() if text == what]
            problems += [f"{pattern} {what}" for pattern in _by_layer(names)]
    if problems:
        raise errors.CheckpointError(
            f"{where}: tensors do not fit the config: {'; '.join(problems)}. Use the config.json "
            "that was written with these weights, or the weights that belong to it."
        )
    return unused


def read(
    where: object,
    tensors: Mapping[str, LazyTensor],
    pieces: Iterable[tuple[Place, np.ndarray]],
) -> None:
    """Reads pieces of leaves; at any time a few foreign tensors are in memory besides them.

    Args:
      where: the file, for messages.
      tensors: its tensors, proven to fit.
      pieces: places and the arrays to fill from them.

    Raises:
      CheckpointError: naming a tensor with values that are not finite.
    """
    by_name = collections.defaultdict(list)
    for place, into in pieces:
        by_name[place.name].append((place, into))

    def fill(name: str) -> None:
        tensor = tensors[name].read()
        require_finite(where, name, tensor)
        for place, into in by_name[name]:
            _copy(into, place.take(tensor))

    if len(by_name) == 1:  # one after the other: a thread for each would bring memory of its own
        fill(*by_name)
        return
    with futures.ThreadPoolExecutor(_THREADS) as pool:
        collections.deque(pool.map(fill, by_name), maxlen=0)  # raises what a thread raised


def leaves(
    where: object,
    tensors: Mapping[str, LazyTensor],
    wanted: Mapping[str, tuple[Sequence[Place], Any]],
) -> dict[str, np.ndarray]:
    """Reads leaves: path -> array.

    Args:
      where, tensors: see `read`.
      wanted: path -> the places it is made of, and its type.

    Raises:
      CheckpointError: naming a tensor with values that are not finite.
    """
    found, pieces = {}, []
    for path, (parts, dtype) in wanted.items():
        if parts[0].layer is None:
            found[path] = lazy.empty(parts[0].shape, dtype)
            pieces.append((parts[0], found[path]))
        else:
            found[path] = lazy.empty((len(parts), *parts[0].shape), dtype)
            pieces += zip(parts, found[path], strict=True)
    read(where, tensors, pieces)
    return found


def written(
    leaf: Callable[[str, int | None], np.ndarray], all_places: Iterable[Place]
) -> Iterator[tuple[str, np.ndarray]]:
    """The inverse of `read`: foreign tensors, leaf by leaf.

    Args:
      leaf: gives the array of a path, or one layer of it.
      all_places: of the model, from the format's table.

    Yields:
      (name, contiguous tensor).
    """
    by_name = collections.defaultdict(list)
    for place in all_places:
        by_name[place.name].append(place)

    for name, sharing in by_name.items():
        rows = [
            place.layout.theirs(leaf(place.path, place.layer))
            for place in sorted(sharing, key=lambda place: place.part)
        ]
        if len(rows) == 1:
            out = np.empty(rows[0].shape, rows[0].dtype)
            _copy(out, rows[0])
        else:
            out = np.concatenate(rows)
        yield name, out


def _by_layer(names: Sequence[str]) -> dict[str, list[str]]:
    """Groups names that differ in one number: `layers.{0-23}.x` -> those names."""
    groups = collections.defaultdict(list)
    for name in names:
        groups[re.sub(r"\.\d+\.", ".{}.", name, count=1)].append(name)

    def label(pattern: str, group: list[str]) -> str:
        if len(group) == 1:
            return group[0]
        numbers = [int(re.search(r"\.(\d+)\.", name)[1]) for name in group]
        span = f"{min(numbers)}-{max(numbers)}"
        if len(numbers) <= max(numbers) - min(numbers):
            span = ",".join(map(str, numbers))
        return pattern.replace("{}", f"{{{span}}}")

    return {label(pattern, group): group for pattern, group in groups.items()}


def _copy(into: np.ndarray, piece: np.ndarray) -> None:
    """`into[...] = piece`; a transposed matrix by OpenCV, which is eight times as fast as numpy."""
    if piece.ndim == 2 and piece.T.flags.c_contiguous and into.flags.c_contiguous:
        bits = _OPENCV[into.itemsize]
        piece = piece.astype(into.dtype, copy=False)
        cv2.transpose(piece.T.view(bits), into.view(bits))
    else:
        into[...] = piece


def require_finite(where: object, name: str, tensor: np.ndarray) -> None:
    """Checks a tensor that was read.

    Raises:
      CheckpointError: for values that are not finite.
    """
    values = tensor if tensor.dtype.kind == "f" else tensor.astype(np.float32)
    if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        bad = int(np.sum(~np.isfinite(values)))
        raise errors.CheckpointError(
            f"{where}: {name} holds {counted(bad, 'value')} not finite (NaN or infinite) of "
            f"{values.size}; the file is damaged or its training diverged: get it again."
        )
