"""Parameters by path: flatten, overlay, and first-match regex rules.

A tree is a nested dict of arrays; a path is its keys joined by "/", such as
`towers/video/blocks/temporal_attn/q_proj/lora_a`. LoRA targets, freezing, weight decay, sharding
and conversion all speak in rules over such paths.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lb_jax.core import errors

Tree = dict[str, Any]
Rules = Sequence[tuple[str, Any]]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns `{path: leaf}` in sorted path order; empty sub-dicts vanish."""
    flat = {}
    for name in sorted(tree):
        path = f"{prefix}{name}"
        if isinstance(tree[name], Mapping):
            flat.update(flatten(tree[name], f"{path}/"))
        else:
            flat[path] = tree[name]
    return flat


def unflatten(flat: Mapping[str, Any]) -> Tree:
    """Inverse of `flatten`."""
    tree: Tree = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def overlay(*trees: Mapping[str, Any]) -> Tree:
    """Merges nested dicts; where two hold the same path the later one wins."""
    merged: dict[str, Any] = {}
    for tree in trees:
        merged.update(flatten(tree))
    return unflatten(merged)


def match(rules: Rules, paths: Iterable[str], what: str = "path rules") -> dict[str, Any]:
    """Gives every path the value of the first rule whose regex matches it whole.

    Args:
      rules: `(regex, value)` pairs, tried in order with `re.fullmatch`.
      paths: the paths to decide.
      what: the rules are, for messages.

    Raises:
      ConfigError: naming every path without a rule and every rule that matches no path (most likely
        a typing error), or a rule that is no regular expression.
    """
    compiled = [(_compiled(pattern, what), value) for pattern, value in rules]
    used, decided, undecided = set(), {}, []
    for path in paths:
        hits = [i for i, (pattern, _) in enumerate(compiled) if pattern.fullmatch(path)]
        used.update(hits)
        if hits:
            decided[path] = compiled[hits[0]][1]
        else:
            undecided.append(path)
    idle = [rules[i][0] for i in range(len(compiled)) if i not in used]
    if undecided or idle:
        problems = [f"no rule matches {path!r}" for path in undecided] + [
            f"rule {rule!r} matches nothing" for rule in idle
        ]
        raise errors.ConfigError(
            f"{what}: " + "; ".join(problems) + ". Every path needs a rule and every rule a path."
        )
    return decided


def _compiled(pattern: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise errors.ConfigError(
            f"{what}: {pattern!r} is no regular expression ({error}); mend it."
        ) from error


def partition(tree: Mapping[str, Any], rules: Rules) -> tuple[Tree, Tree]:
    """Splits a tree by rules whose values are booleans into (true part, false part)."""
    flat = flatten(tree)
    chosen = match(rules, flat)
    return (
        unflatten({path: leaf for path, leaf in flat.items() if chosen[path]}),
        unflatten({path: leaf for path, leaf in flat.items() if not chosen[path]}),
    )


def divide(tree: Mapping[str, Any], rules: Rules) -> tuple[Tree, Tree]:
    """As `partition`, by rules of the program: they cover every path, and may be of no path."""
    parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for path, leaf in flatten(tree).items():
        parts[not match_one(rules, path)][path] = leaf
    return unflatten(parts[0]), unflatten(parts[1])


def match_one(rules: Rules, path: str) -> Any:
    """The value of the first rule that matches `path` whole; the rules must cover it."""
    return next(value for pattern, value in rules if re.fullmatch(pattern, path))
