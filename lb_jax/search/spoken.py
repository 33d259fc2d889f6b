"""Moments by what their captions say, and the captions of moments."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from lb_jax.core import errors
from lb_jax.search import captions as captions_lib
from lb_jax.search import filters
from lb_jax.search.moments import Moment
from lb_jax.search.rows import Row
from lb_jax.search.store import Store

MOST = 4096  # captions looked at where few of them pass the filter


def require(store: Store) -> captions_lib.Captions:
    """The captions of a store.

    Raises:
      MissingError: there are none.
    """
    found = store.captions()
    if found is None:
        raise errors.MissingError(
            store.uri,
            "holds no captions; `lb-jax index build FOLDER -o STORE --captions` writes them.",
        )
    return found


def find(
    store: Store, vector: np.ndarray, words: str | None, count: int, where: filters.Filter
) -> list[Moment]:
    """Windows and stills whose captions fit words best, best first.

    Args:
      store: with captions.
      vector: [e], for their cosines.
      words: what is looked for.
      count: how many captions; files of the same content share one.
      where: which rows to look at.

    Raises:
      ConfigError: without words, or for a vector as `Store.direction`.
      DataError: the store has no captions.
    """
    captions = require(store)
    if words is None:
        raise errors.ConfigError("captions are searched for words; give a sentence.")
    vector = store.direction(vector)
    looked = count
    while True:
        said = captions.search(words, looked, where)
        rows = _rows(store, said, where)
        known = [one for one in said if one.window in rows]
        if len(known) >= count or len(said) < looked or looked >= MOST:
            break
        looked *= 2
    found = {}
    for one in known[:count]:
        for row in rows[one.window]:
            cosine = float(np.asarray(row.vector, np.float64) @ vector)
            place = row.path, row.modality, row.start_s
            found.setdefault(
                place,
                Moment(*place, row.end_s, cosine, caption=one.text, best_s=row.start_s),
            )
    return list(found.values())


def with_captions(store: Store, moments: Sequence[Moment]) -> list[Moment]:
    """Moments with the captions of their best windows, as far as there are some."""
    lacking = {(one.path, one.modality) for one in moments if one.caption is None}
    captions = store.captions() if lacking else None
    if captions is None:
        return list(moments)
    hashes = {path: stamp.sha256 for (path, _), stamp in store.files(lacking).items()}
    texts = captions.of(hashes.values())
    return [
        dataclasses.replace(
            one, caption=texts.get((hashes.get(one.path, ""), one.modality, one.best_s))
        )
        if one.caption is None
        else one
        for one in moments
    ]


def _rows(
    store: Store, said: Sequence[captions_lib.Caption], where: filters.Filter
) -> dict[captions_lib.Window, list[Row]]:
    """The rows of captions that pass a filter, by their windows and in order of their paths."""
    found: dict[captions_lib.Window, list[Row]] = {}
    for row in store.of_contents({one.sha256 for one in said}, where) if said else ():
        found.setdefault((row.sha256, row.modality, row.start_s), []).append(row)
    return {window: sorted(some, key=lambda row: row.path) for window, some in found.items()}
