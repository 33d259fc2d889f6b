"""What is found, what is fetched of it, and the interface of whatever finds and fetches."""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lb_jax.core import errors

KEY = re.compile(r"[^A-Za-z0-9_-]+")
MARK_DIGITS = 8  # of a hash that keeps keys apart


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that may be fetched.

    Attributes:
      key: of it, the same whenever it is found; also the name of its file.
      kind: of the origin, a row of `sources.KINDS`.
      url: where it is; of a local file its path.
      title: as it is called there.
      tags: hashtags, without the sign.
      licence: "" for none, None where that is not known before it is looked at.
      source: whose it is, such as "freesound".
      known: all else that is told of it.
    """

    key: str
    kind: str
    url: str
    title: str = ""
    tags: tuple[str, ...] = ()
    licence: str | None = ""
    source: str = ""
    known: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As a ledger keeps it."""
        return dataclasses.asdict(self)

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Candidate":
        """Inverse of `as_json`; what is kept beside it is left out."""
        names = {one.name for one in dataclasses.fields(cls)}
        given = {name: item for name, item in value.items() if name in names}
        return cls(**{**given, "tags": tuple(given.get("tags", ()))})


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A file that is there.

    Attributes:
      path: of it.
      candidate: with what was told of it on the way.
    """

    path: Path
    candidate: Candidate


class LeftOut(errors.DataError):
    """What was found must not be used; it is looked at again where the settings are others.

    Attributes:
      candidate: as it is known by then.
    """

    def __init__(self, candidate: Candidate, reason: str):
        self.candidate = candidate
        super().__init__(candidate.url, reason)

    def __reduce__(self):
        return type(self), (self.candidate, self.reason)


# Candidate as it is known by then -> nothing; raises `LeftOut` for one that must not be used.
Allowed = Callable[[Candidate], None]


class Origin(Protocol):
    """Where things come from."""

    @property
    def kind(self) -> str:
        """Its row in `sources.KINDS`."""
        ...

    @property
    def is_searched(self) -> bool:
        """Whether a question that was answered is not asked again, as it costs somebody's time."""
        ...

    def questions(self) -> Sequence[str]:
        """What `find` is to be asked, in order."""
        ...

    def find(self, question: str) -> Iterator[Candidate]:
        """What there is.

        Raises:
          hosts.Failed: not this time.
          hosts.Refused: the question has no answer.
        """
        ...

    def fetch(self, one: Candidate, stem: Path, allowed: Allowed) -> Fetched:
        """Gets the file of a candidate; any thread may call it.

        Args:
          one: what to get.
          stem: path of the file, without an ending.
          allowed: asked with what is known of it before anything is fetched that is large.

        Raises:
          hosts.Failed: not this time.
          hosts.Refused: it cannot be had.
          LeftOut: it must not be used.
        """
        ...

    def kept(self, one: Candidate) -> None:
        """Is told, once or again, of a file that was fetched and noted."""
        ...


def key(*names: str) -> str:
    """A key of names, such as those of a site and of an item there; other names are another key."""
    plain = "-".join(names)
    safe = KEY.sub("_", plain)[:80]
    if safe == plain and safe:
        return safe
    return f"{safe}-{hashlib.sha256(plain.encode()).hexdigest()[:MARK_DIGITS]}"


def raw_title(title: str, tags: Sequence[str]) -> str:
    """Title and hashtags as one text, VIDAL's `raw`; a tag that the title has is not repeated.

    Args:
      title: of the item.
      tags: words or phrases; spaces in one are left out.
    """
    words = [re.sub(r"\s+", "", tag.lstrip("#")) for tag in tags]
    there = {word.lower() for word in re.findall(r"#(\w[\w-]*)", title)}
    added = [word for word in dict.fromkeys(words) if word and word.lower() not in there]
    return " ".join([" ".join(title.split()), *(f"#{word}" for word in added)]).strip()


def plain_name(name: str) -> str:
    """A file's name as a title: no ending, no underscores or dashes between words."""
    stem = re.sub(r"\.[A-Za-z0-9]{2,4}$", "", name)
    return " ".join(re.sub(r"[_]+|(?<=\w)-(?=\w)", " ", stem).split()) or name
