"""Leaves that several towers have alike, written once as `base/…`."""

import collections
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lb_jax.convert.parts import Weights, layers, same_bits, tower_leaf
from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.models.languagebind import LanguageBind, is_based


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
        kind = weights.config.kind
        based = [group for group in groups if is_based(kind, group[0], path)]
        if based:
            groups.remove(based[0])
            yield f"base/{path}", based[0][0], path
        yield from ((f"towers/{name}/{path}", name, path) for group in groups for name in group)
    yield from ((f"{TEXT}/{path}", TEXT, path) for path in paths.flatten(model.shapes(TEXT)))
    yield from ((f"logit_scale/{name}", "logit_scale", name) for name in weights.config.scaled)


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
