"""Prompts in files: a text with `{names}` of what is put there."""

import dataclasses
import hashlib
import importlib.resources
import re
from collections.abc import Mapping
from pathlib import Path

from lb_jax.builder.texts import views
from lb_jax.core import errors

USUAL = "polish_prompt.txt"  # that comes with the package
PLACE = re.compile(r"\{(\w+)\}")
ABSENT = "(none)"  # in the place of a text that an item lacks
MOST_WORDS = "most_words"
# Stages whose texts a prompt may take, beside the title.
TAKEN = tuple(kind for kind in views.COLUMNS if kind != "polish_mplug")
NAMES = (views.RAW, *TAKEN, MOST_WORDS)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A text with places.

    Attributes:
      text: of the file.
      names: of its places, in their order, each once.
    """

    text: str
    names: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Caption kinds that it takes."""
        return tuple(name for name in self.names if name != MOST_WORDS)

    @property
    def digest(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def filled(self, given: Mapping[str, str]) -> str:
        """The prompt with what belongs into its places; what looks like a place there stays."""
        return PLACE.sub(lambda match: given.get(match[1], match[0]), self.text)


def read(path: str, where: str) -> Prompt:
    """Reads a prompt.

    Args:
      path: of the file; empty for the one of the package.
      where: the field that names it, for errors.

    Raises:
      ConfigError: it cannot be read, or has a place that is none, or none for any text.
    """
    try:
        file = importlib.resources.files(__package__).joinpath(USUAL) if not path else Path(path)
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigError(f"{where}: {path or USUAL} cannot be read ({error}).") from error
    names = tuple(dict.fromkeys(PLACE.findall(text)))
    for name in names:
        if name not in NAMES:
            raise errors.ConfigError(
                f"{where}: {path} has a place {{{name}}}; there are "
                f"{', '.join(f'{{{one}}}' for one in NAMES)}.{errors.nearest(name, NAMES)}"
            )
    found = Prompt(text, names)
    if not found.kinds:
        raise errors.ConfigError(
            f"{where}: {path} has no place for a text of an item; write {{{views.RAW}}} or "
            f"{{{TAKEN[0]}}} where it belongs."
        )
    return found


def as_text(value: object) -> str:
    """A text as a prompt shows it: several are numbered lines, none is said to be none."""
    if isinstance(value, str):
        return " ".join(value.split()) or ABSENT
    if isinstance(value, list) and value:
        return "\n".join(f"{place + 1}. {one}" for place, one in enumerate(value))
    return ABSENT
