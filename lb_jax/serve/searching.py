"""Searches of the server: what is asked of the store, and what it answers."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lb_jax.core import errors
from lb_jax.serve.limits import Refusal


@dataclasses.dataclass(frozen=True)
class Found:
    """A moment of the store.

    Attributes:
      path, modality, start_s, end_s, cosine, probability, withheld, caption: as the store's query
        gives them.
      link: name under which `/media/` serves the file.
    """

    path: str
    modality: str
    start_s: float | None
    end_s: float | None
    cosine: float
    probability: float | None
    withheld: str | None
    link: str
    caption: str | None = None

    @classmethod
    def of(cls, moment: Any, link: str) -> "Found":
        """That of a `lb_jax.search.moments.Moment`."""
        return cls(
            path=moment.path,
            modality=moment.modality,
            start_s=_number(moment.start_s),
            end_s=_number(moment.end_s),
            cosine=float(moment.cosine),
            probability=_number(moment.probability),
            withheld=moment.withheld,
            link=link,
            caption=moment.caption,
        )


@dataclasses.dataclass(frozen=True)
class Query:
    """What is looked for.

    Attributes:
      vector: [e].
      words: of its texts; None for none.
      asked: modality that asks; None for a mix.
      by: what moments are ranked by, one of `lb_jax.search.ranking.BY`.
    """

    vector: np.ndarray
    words: str | None
    asked: str | None
    by: str


@dataclasses.dataclass(frozen=True)
class Store:
    """A store of vectors, open for searching.

    Attributes:
      search: (query, number of results, filter) -> moments.
      make_filter: keyword arguments of `lb_jax.search.store.Filter`, `under` as it was asked
        for -> the filter.
      choose: (words, what ranking is asked for) -> that there is, see
        `lb_jax.search.ranking.chosen`.
      has_captions: whether it has captions, when it was opened.
    """

    search: Callable[[Query, int, Any], Sequence[Any]]
    make_filter: Callable[..., Any]
    choose: Callable[[str | None, str | None], str]
    has_captions: bool


def chosen(store: Store, words: str | None, asked: str | None) -> str:
    """What moments are ranked by.

    Raises:
      Refusal: what is asked for cannot be, or the store cannot be used.
    """
    try:
        return store.choose(words, asked)
    except errors.ConfigError as error:
        raise Refusal("bad_request", f"by: {error}", "by") from error
    except errors.MissingError as error:
        raise Refusal("no_captions", f"The store {error.reason}", "by") from error
    except errors.DataError as error:
        raise unavailable(error) from error


def unavailable(error: errors.DataError) -> Refusal:
    """Of a store that was moved away or damaged while it is served."""
    return Refusal("store_unavailable", f"The store: {error.reason}")


def check_folder(given: str | None) -> None:
    """Checks the folder that results shall lie in.

    Raises:
      Refusal: no file can lie there.
    """
    if given is None:
        return
    if not os.path.isabs(given):
        raise Refusal(
            "bad_request", f"under is {given[:80]!r}; expected an absolute folder, such as /media."
        )
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise Refusal("bad_request", f"under is {given[:80]!r}, which is not UTF-8.") from error
    if "\0" in given:
        raise Refusal("bad_request", f"under is {given[:80]!r}; no name has a zero in it.")


def _number(value: float | None) -> float | None:
    """A float for JSON; None for what is missing, NaN included."""
    return None if value is None or value != value else float(value)
