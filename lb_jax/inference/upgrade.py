"""A store goes over to another model while its vectors go on answering."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lb_jax.core import errors
from lb_jax.inference import store as store_lib

if TYPE_CHECKING:
    from lb_jax.inference.api import Model

WITH_TIME = ("video", "audio")  # cut into windows

# Adds the rows of files, all of one modality, to a store; yields how many files are done and, by
# path, why others are left out. A file is in the store whole or not at all.
Embed = Callable[
    ["Model", store_lib.Store, str, Sequence[str]], Iterator[tuple[int, Mapping[str, str]]]
]


@dataclasses.dataclass(frozen=True)
class Upgraded:
    """What an upgrade did.

    Attributes:
      before: maker of the vectors that answered until then.
      after: maker of those that answer now.
      files: that are in the store now.
      left_out: (path, modality) -> why it could not be embedded again.
    """

    before: store_lib.Maker
    after: store_lib.Maker
    files: int
    left_out: dict[tuple[str, str], str]


def embed_files(
    model: "Model", store: store_lib.Store, modality: str, paths: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Embeds in this process: stills in batches, video and audio file by file."""
    size = 1 if modality in WITH_TIME else model.batch_size
    for first in range(0, len(paths), size):
        chunk, left_out = paths[first : first + size], {}
        arrays, stamps = [], {}
        for path in chunk:
            try:
                stamps[path] = store_lib.stamp(path)
                if modality in WITH_TIME:
                    windows = model.embed_long(
                        path, store.maker.window_s, store.maker.stride_s, modality
                    )
                    times = list(zip(windows.start_s.tolist(), windows.end_s.tolist(), strict=True))
                    vectors = windows.vectors
                else:
                    arrays.append(model.preprocess(modality, [path]))
            except errors.DataError as error:
                stamps.pop(path, None)
                left_out[path] = error.reason
        if modality not in WITH_TIME and arrays:
            vectors, times = model.encode(modality, np.concatenate(arrays)), [(None, None)]
        rows = []
        for i, (path, told) in enumerate(stamps.items()):
            mine = vectors if modality in WITH_TIME else vectors[i : i + 1]
            rows += [
                store_lib.Row(
                    path,
                    modality,
                    start_s,
                    end_s,
                    *dataclasses.astuple(told),
                    store.maker.digest,
                    store.maker.preprocessing,
                    vector,
                )
                for (start_s, end_s), vector in zip(times, mine, strict=True)
            ]
        store.add(rows)
        yield len(chunk), left_out


def run(
    uri: str | os.PathLike[str],
    model: "Model",
    *,
    embed: Embed = embed_files,
    drop_previous: bool = False,
    abandon: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Upgraded:
    """Embeds every file of a store's current table with another model, then switches to it.

    Until the switch the store answers with the vectors it had, and takes more of them; who opened
    it keeps them after the switch too, until the next upgrade or `drop_previous`. Killed at any
    moment, the same call goes on where it was. Windows stay as they were cut.

    Args:
      uri: of the store.
      model: whose vectors are to answer.
      embed: adds files to the new table.
      drop_previous: drop the vectors of the model before, after the switch.
      abandon: drop what an upgrade to yet another model left half done.
      progress: told of files done and of all.

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
    maker = store_lib.Maker.of(model, old.maker.window_s, old.maker.stride_s)
    if abandon:
        store_lib.drop(uri, store_lib.BUILDING)
    new = store_lib.Store.upgrade(uri, maker)
    left_out: dict[tuple[str, str], str] = {}
    while True:  # files may be added to the old table meanwhile
        have, done = old.files(), new.files()
        new.remove(done.keys() - have.keys())
        waiting = sorted(have.keys() - done.keys() - left_out.keys())
        if not waiting:
            break
        finished, total = len(have) - len(waiting), len(have)
        grouped: dict[str, list[str]] = collections.defaultdict(list)
        for path, modality in waiting:
            grouped[modality].append(path)
        for modality, paths in grouped.items():
            for count, reasons in embed(model, new, modality, paths):
                left_out |= {(path, modality): reason for path, reason in reasons.items()}
                finished += count
                progress(finished, total)
    if have and not done:
        reason = next(iter(left_out.values()))
        raise errors.DataError(
            old.uri,
            f"no file of the store could be embedded again (the first: {reason}); it stays with "
            f"{old.maker}.",
        )
    new.build_index()
    new.make_current()
    if drop_previous:
        store_lib.drop(uri, store_lib.PREVIOUS)
    return Upgraded(old.maker, maker, len(done), left_out)
