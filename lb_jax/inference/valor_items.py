"""Items of a VALOR model: what of an item there is, and which group may take it."""

from collections.abc import Mapping, Sequence
from typing import Any

from lb_jax.core import errors
from lb_jax.core.modalities import LETTERS, TEXT
from lb_jax.media import given, items
from lb_jax.media import preprocess as preprocess_lib
from lb_jax.media.clips import Clip

Item = given.Media | Clip | Mapping[str, given.Media | Clip]

GROUPS = ("tva", "tv", "ta")
# What is asked for -> the groups that may write of it, the first for which an item has all.
VIEWS = {"video": ("tva", "tv"), "audio": ("ta",), "image": ("tv",)}
AS_FILM = {"image": "video"}  # a picture is a film of one frame


def as_items(given_items: Any) -> list[Item]:
    """One item or several -> a list of them.

    Raises:
      ConfigError: for what is neither, or nothing.
    """
    alone = isinstance(given_items, Mapping | Clip)
    found = [given_items] if alone else preprocess_lib.as_list(given_items)
    return list(found)


def media_of(item: Item) -> dict[str, given.Media | Clip]:
    """Role -> where it is taken from.

    Raises:
      DataError: for a file that FFmpeg cannot read.
    """
    if isinstance(item, Mapping):
        return {AS_FILM.get(name, name): one for name, one in item.items()}
    if isinstance(item, Clip):
        return dict.fromkeys(items.of_file(item.path), item)
    return dict(items.of_file(item))


def pick(item: Item, groups: Sequence[str]) -> str:
    """The first of some groups for which an item has everything.

    Raises:
      DataError: when it has it for none.
    """
    return items.first_group(media_of(item), {group: roles(group) for group in groups})


def choices(asked: str | None, groups: Sequence[str]) -> tuple[str, ...]:
    """The groups that may be meant, the best first.

    Args:
      asked: a group, a row of `VIEWS`, or None for all.
      groups: those that the model has.

    Raises:
      ConfigError: for another word, or what the model has not.
    """
    known = {**{one: (one,) for one in GROUPS}, **VIEWS}
    if asked is not None and asked not in known:
        raise errors.ConfigError(
            f"unknown group {asked!r}; give one of "
            f"{', '.join(known)}.{errors.nearest(asked, known)}"
        )
    found = GROUPS if asked is None else known[asked]
    there = tuple(one for one in found if one in groups)
    if not there:
        raise errors.ConfigError(f"this model has no {asked!r}; it has {', '.join(groups)}.")
    return there


def roles(group: str) -> list[str]:
    """What a group takes beside text."""
    return [LETTERS[letter] for letter in group if LETTERS[letter] != TEXT]
