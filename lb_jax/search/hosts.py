"""One store filled by one process, or by several on as many hosts at the same time."""

from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import multihost

from lb_jax.corpora import media_files
from lb_jax.search import bulk
from lb_jax.search.maker import Maker
from lb_jax.search.store import Store

# How long the first to be ready waits for the others, whose files may take longer.
WAIT_MS = 7 * 24 * 3600 * 1000


def update(
    found: media_files.Found,
    model: Any,
    uri: str | Path,
    maker: Maker,
    quarantine: str | Path,
    **settings: Any,
) -> bulk.Summary:
    """Opens or makes a store, brings it up to date and builds its index.

    With several JAX processes each embeds its own share of the files and has a quarantine list of
    its own; the first makes the store before, and the index when all are through.

    Args:
      found: what to embed, the same in every process.
      model: what `lb_jax.load` returned.
      uri: of the store, which every process reaches.
      maker: what makes the vectors.
      quarantine: list of files that cannot be used.
      **settings: those of `bulk.update`.

    Raises:
      DataError: as `bulk.update`, and for a store of another model.
    """
    number, count = jax.process_index(), jax.process_count()
    path = Path(quarantine)
    if count > 1:
        path = path.with_name(f"{path.stem}-{number}-of-{count}{path.suffix}")
    if number == 0:
        Store.create(uri, maker)
    _wait("the store is there")
    store = Store.create(uri, maker)
    summary = bulk.update(found, model, store, path, share=(number, count), **settings)
    _wait("all files are embedded")
    if number == 0:
        store.build_index()
    return summary


def _wait(what: str) -> None:
    """Until all processes are here.

    Through the coordinator: a collective of the devices gives up after seconds, and one share of
    the files may take hours longer than another.
    """
    if jax.process_count() > 1:
        multihost.get_barrier_sync_fn()(key=f"lb_jax: {what}", timeout_ms=WAIT_MS)
