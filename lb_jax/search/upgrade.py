"""A store goes over to another model while its vectors go on answering."""

import collections
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lb_jax.core import errors, logging
from lb_jax.corpora import media_files
from lb_jax.search import bulk, database, fits, stamps
from lb_jax.search import maker as maker_lib
from lb_jax.search import store as store_lib

if TYPE_CHECKING:
    from lb_jax.inference.encoder import Encoder


@dataclasses.dataclass(frozen=True)
class Upgraded:
    """What an upgrade did.

    Attributes:
      before: maker of the vectors that answered until then.
      after: maker of those that answer now.
      files: that are in the store now, by modality.
      left_out: (path, modality) -> why it could not be embedded again.
    """

    before: maker_lib.Maker
    after: maker_lib.Maker
    files: int
    left_out: dict[tuple[str, str], str]


def run(
    uri: str | os.PathLike[str],
    model: "Encoder",
    *,
    drop_previous: bool = False,
    abandon: bool = False,
    **settings: Any,
) -> Upgraded:
    """Embeds every file of a store's current table with another model, then switches to it.

    Until the switch the store answers with the vectors it had, and takes more of them; who opened
    it keeps them after the switch too, until the next upgrade or `drop_previous`. Killed at any
    moment, the same call goes on where it was. Windows stay as they were cut.

    Args:
      uri: of the store.
      model: whose vectors are to answer.
      drop_previous: drop the vectors of the model before, after the switch; with the model that
        the store has already, that is all that is done.
      abandon: drop what an upgrade to yet another model left half done.
      **settings: those of `bulk.update`.

    Raises:
      DataError: when there is no store, when it holds this model's vectors already, when another
        upgrade is half done, and when no file could be embedded.
      ConfigError: when the model lacks a modality of the store.
    """
    old = store_lib.Store.open(uri)
    lacking = sorted({modality for _, modality in old.files()} - set(model.modalities))
    if lacking:
        raise errors.ConfigError(
            f"{old.uri}: holds {', '.join(lacking)}, which {model.source} lacks; it has "
            f"{', '.join(model.modalities)}. Give a model that has them."
        )
    maker = maker_lib.Maker.of(model, old.maker.window_s, old.maker.stride_s)
    if abandon:
        database.drop(uri, database.BUILDING)
    if drop_previous and maker.is_like(old.maker):
        database.drop(uri, database.PREVIOUS)
        return Upgraded(old.maker, old.maker, len(old.files()), {})
    new = store_lib.Store.upgrade(uri, maker)
    quarantine = Path(settings.pop("quarantine", bulk.quarantine_of(uri)))
    settings.setdefault("max_bad_rate", 1.0)  # what cannot be read any more is told at the end
    left_out: dict[tuple[str, str], str] = {}
    while True:  # files may be added to the old table meanwhile
        have, done = old.files(), new.files()
        new.remove(done.keys() - have.keys())
        waiting = have.keys() - done.keys() - left_out.keys()
        if not waiting:
            break
        bulk.update(_found(have), model, new, quarantine, **settings)
        missing = waiting - new.files().keys()
        told = {
            (row["path"], row["modality"]): row["reason"]
            for row in logging.read_metrics(quarantine)
            if {"path", "modality", "reason"} <= row.keys()
        }
        left_out |= {one: told.get(one, "has no such track any more") for one in missing}
    if have and not done:
        reason = next(iter(left_out.values()))
        raise errors.DataError(
            old.uri,
            f"no file of the store could be embedded again (the first: {reason}); it stays with "
            f"{old.maker}.",
        )
    new.build_index()
    fits.keep(new, model)
    new.make_current()
    if drop_previous:
        database.drop(uri, database.PREVIOUS)
    return Upgraded(old.maker, maker, len(done), left_out)


def _found(files: Mapping[tuple[str, str], stamps.FileStamp]) -> media_files.Found:
    """What a store holds, as what is to be embedded."""
    modalities: dict[str, list[str]] = collections.defaultdict(list)
    for path, modality in sorted(files):
        modalities[path].append(modality)
    units = {path: one.depth_unit for (path, _), one in files.items() if one.depth_unit}
    found = tuple(
        media_files.Source(path, tuple(names), units.get(path, ""))
        for path, names in modalities.items()
    )
    return media_files.Found(found, {}, (), ())
