"""The kinds of sources, one row each: a new one is a class, `candidates.Origin`, and a row here."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lb_jax.builder.collecting import folder, freesound, urls, ytdlp
from lb_jax.builder.collecting.candidates import Origin
from lb_jax.builder.collecting.settings import Collect
from lb_jax.builder.downloads import Client
from lb_jax.builder.hosts import Hosts
from lb_jax.core import errors
from lb_jax.corpora import tables

TERM = "term"  # column of a table of terms


@dataclasses.dataclass(frozen=True)
class Given:
    """What a row makes an origin of.

    Attributes:
      what: behind `KIND=`; empty where the terms are searched.
      cfg: of the sheet.
      hosts: what is asked how often.
      client: fetches.
    """

    what: str
    cfg: Collect
    hosts: Hosts
    client: Client

    @property
    def terms(self) -> Sequence[str]:
        """What is searched: what was given, or the terms of the table."""
        return (self.what,) if self.what else terms(self.cfg)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A row.

    Attributes:
      what: it is, in words.
      make: the origin of what was given.
      is_searched: whether it may be named alone, and takes the terms then.
    """

    what: str
    make: Callable[[Given], Origin]
    is_searched: bool = False


def _ytdlp(given: Given) -> Origin:
    cfg = given.cfg
    if not given.what:
        questions = [f"{cfg.ytdlp.search}{cfg.per_term}:{term}" for term in given.terms]
    elif Path(given.what).is_file():
        questions = _lines(Path(given.what))
    else:
        questions = [given.what]
    return ytdlp.YtDlp(
        questions,
        cfg.ytdlp,
        given.hosts,
        stall_s=cfg.stall_s,
        largest_bytes=int(cfg.largest_mb * 1e6),
    )


def _freesound(given: Given) -> Origin:
    cfg = given.cfg
    return freesound.Freesound(given.terms, cfg.freesound, given.client, cfg.per_term)


KINDS: Mapping[str, Kind] = {
    "folder": Kind(
        "folder=DIR of films and sounds",
        lambda given: folder.Folder(Path(given.what), given.cfg.folder),
    ),
    "urls": Kind(
        "urls=TABLE with a column url",
        lambda given: urls.Urls(Path(given.what), given.client),
    ),
    "ytdlp": Kind(
        "ytdlp, which searches the terms, or ytdlp=URL, a search or a file of them",
        _ytdlp,
        is_searched=True,
    ),
    "freesound": Kind(
        "freesound, which searches the terms, or freesound=TERM", _freesound, is_searched=True
    ),
}


def origins(cfg: Collect, hosts: Hosts, client: Client) -> list[Origin]:
    """The sources of a sheet.

    Raises:
      ConfigError: there are none, one is of no kind, with the nearest, or lacks what it needs.
      DataError: a table cannot be read.
    """
    if not cfg.sources:
        raise errors.ConfigError(f"config.collect.sources is empty; there are {_told()}.")
    return [_origin(one, cfg, hosts, client) for one in cfg.sources]


def _origin(named: str, cfg: Collect, hosts: Hosts, client: Client) -> Origin:
    kind, _, what = named.partition("=")
    if kind not in KINDS:
        raise errors.ConfigError(
            f"config.collect.sources: there is no kind of source {kind!r}."
            f"{errors.nearest(kind, KINDS)} There are {_told()}."
        )
    if not what and not KINDS[kind].is_searched:
        raise errors.ConfigError(
            f"config.collect.sources has {named!r}; expected {KINDS[kind].what}."
        )
    return KINDS[kind].make(Given(what, cfg, hosts, client))


def _told() -> str:
    return "; ".join(kind.what for kind in KINDS.values())


def terms(cfg: Collect) -> list[str]:
    """The terms of the table, in its order.

    Raises:
      ConfigError: no table is named.
      DataError: it has no column `term`, or none in it.
    """
    if not cfg.terms:
        raise errors.ConfigError(
            "config.collect.terms is missing; give the table that `lb-jax corpus terms` writes."
        )
    path = Path(cfg.terms)
    if path.suffix.lower() not in tables.FORMATS:
        raise errors.ConfigError(
            f"config.collect.terms is {path}; expected one of {', '.join(tables.FORMATS)}."
        )
    found = tables.FORMATS[path.suffix.lower()].read(path, (TERM,))
    if TERM not in found.columns:
        raise errors.DataError(
            path,
            f"has no column {TERM!r}; it has {', '.join(found.names)}."
            f"{errors.nearest(TERM, found.names)}",
        )
    named = [str(one) for one in found.columns[TERM].to_pylist() if one]
    if not named:
        raise errors.DataError(path, "has no terms")
    return named[: cfg.most_terms or None]


def _lines(path: Path) -> list[str]:
    """Lines of a file, without those that are empty or begin with #."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.DataError(path, "is no UTF-8 text; expected a URL a line") from error
    found = [line.strip() for line in lines if line.strip() and line.strip()[0] != "#"]
    if not found:
        raise errors.DataError(path, "has no lines; expected a URL each")
    return found
