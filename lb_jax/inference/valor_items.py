"""Items of a VALOR model: what of an item there is, and which group may take it."""

from collections.abc import Mapping, Sequence
from typing import Any

from lb_jax.core.modalities import TEXT
from lb_jax.media import given, items
from lb_jax.media import preprocess as preprocess_lib
from lb_jax.media.clips import Clip
from lb_jax.models.valor import LETTERS

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


def roles(group: str) -> list[str]:
    """What a group takes beside text."""
    return [LETTERS[letter] for letter in group if LETTERS[letter] != TEXT]
