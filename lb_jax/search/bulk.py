"""Any number of media files into a store of vectors, through any number of kills.

Processes decode, batches are filled across files, and a thread encodes while they go on. Rows come
to the store in the order of the files, all rows of a file in one commit. So whoever is killed has
in the store the first files, whole, and the next run goes on behind them.
"""

import dataclasses
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lb_jax.core import logging, names
from lb_jax.core.words import counted
from lb_jax.corpora import media_files
from lb_jax.corpora.media_files import Source
from lb_jax.corpora.quarantine import Remarks, remarks_of
from lb_jax.media import decoders, readings
from lb_jax.search import fits, stamps
from lb_jax.search.bad_files import Listed
from lb_jax.search.maker import Maker
from lb_jax.search.stamps import FileStamp
from lb_jax.search.store import Store
from lb_jax.search.store_work import StoreWork

if TYPE_CHECKING:
    from lb_jax.inference.encoder import Encoder

WINDOW_S = 10.0
# What a kill loses at most. Rows are committed after as many, or so many seconds.
COMMIT_ROWS = 1024
COMMIT_S = 30.0
TIMEOUT_S = 600.0
MAX_BAD_RATE = 0.5
LIST = ".quarantine.jsonl"  # behind the name of the store


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
      files: that were looked at.
      embedded: files that gave rows.
      reused: files among them whose content was known under another path.
      unchanged: files that the store held already.
      bad: files, by modality, in the quarantine list: found by this run, or before and unchanged.
      pruned: files, by modality, that were removed.
      faults: of this package, among those of this run.
      rows: that were added.
      seconds: from beginning to end.
      quarantine: the list.
      remarks: path and reason of files that were decoded and probably are not what they are taken
        for.
      warnings: the list of those, and of those of runs before.
      withheld: why searches of the store tell no probability, see `fits`; None where they do.
    """

    files: int
    embedded: int
    reused: int
    unchanged: int
    bad: int
    faults: int
    pruned: int
    rows: int
    seconds: float
    quarantine: Path
    remarks: Sequence[tuple[str, str]] = ()
    warnings: Path | None = None
    withheld: str | None = None

    def told(self) -> str:
        """The numbers in words."""
        rate = self.rows / max(self.seconds, 1e-9)
        counts = {
            "unchanged": self.unchanged,
            "known under another name": self.reused,
            "removed": self.pruned,
            "in quarantine": self.bad,
            "of them by faults of lb_jax, which need a report": self.faults,
        }
        return (
            f"{counted(self.files, 'file')}, {self.embedded} embedded into "
            f"{counted(self.rows, 'row')} in "
            f"{self.seconds:.1f} s ({rate:.1f} rows/s){besides(counts)}"
        )


def besides(counts: Mapping[str, int]) -> str:
    """What files became besides, in words: those of what is counted that there are."""
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


def run(
    arguments: Sequence[str | Path],
    model: "Encoder | str | Path",
    uri: str | Path,
    *,
    window_s: float = WINDOW_S,
    stride_s: float | None = None,
    **settings: Any,
) -> Summary:
    """Embeds folders, files and manifests into a store, which is made if it is not there.

    Args:
      arguments: see `media_files.find`.
      model: what `lb_jax.load` returned, or takes.
      uri: of the store, a folder or a place on object storage.
      window_s: length of the windows that video, sound and motion are cut into.
      stride_s: from the beginning of one to that of the next; None is `window_s`.
      **settings: those of `update`.

    Raises:
      DataError: as `update`, and for a store of another model.
      ConfigError: for lengths that are not above 0.
    """
    from lb_jax.inference import opening

    if isinstance(model, str | Path):
        model = opening.load_encoder(model)
    found = media_files.find(arguments, model.modalities, unclear=media_files.said(model.settings))
    settings.setdefault("quarantine", quarantine_of(uri))
    maker = Maker.of(model, window_s, window_s if stride_s is None else stride_s)
    return fill(found, model, uri, maker, **settings)


def fill(
    found: media_files.Found,
    model: "Encoder",
    uri: str | Path,
    maker: Maker,
    quarantine: str | Path,
    **settings: Any,
) -> Summary:
    """Opens or makes a store, brings it up to date, builds its index and looks at its calibration.

    With several JAX processes each embeds its own share of the files and has a quarantine list of
    its own; the first makes the store before, and the index when all are through.

    Args:
      found: what to embed, the same in every process.
      model: what `lb_jax.load` returned.
      uri: of the store, which every process reaches.
      maker: what makes the vectors.
      quarantine: list of files that cannot be used.
      **settings: those of `update`.

    Raises:
      DataError: as `update`, and for a store of another model.
    """
    from lb_jax.search import hosts  # jax, which decoding processes do without

    number, count = hosts.place()
    path = list_of(Path(quarantine), (number, count))
    if number == 0:
        Store.create(uri, maker)
    hosts.wait("the store is there")
    store = Store.create(uri, maker)
    summary = update(found, model, store, path, share=(number, count), **settings)
    hosts.wait("all files are embedded")
    if number == 0:
        store.build_index()
        summary = dataclasses.replace(summary, withheld=fits.keep(store, model))
    return summary


def quarantine_of(uri: str | Path) -> Path:
    """Where the quarantine list of a store is: beside it, or for object storage in this folder."""
    uri = str(uri).rstrip("/")
    folder, slash, name = uri.rpartition("/")
    return Path((name if "://" in uri else f"{folder}{slash}{name}") + LIST)


def list_of(path: Path, share: tuple[int, int]) -> Path:
    """The list that one of several processes writes.

    Args:
      path: of one process alone.
      share: (number, count) of the process.
    """
    number, count = share
    return path if count == 1 else path.with_name(f"{path.stem}-{number}-of-{count}{path.suffix}")


def update(
    found: media_files.Found,
    model: "Encoder",
    store: Store,
    quarantine: str | Path,
    *,
    workers: int | None = None,
    prune: bool = False,
    retry: bool = False,
    max_bad_rate: float = MAX_BAD_RATE,
    timeout_s: float = TIMEOUT_S,
    share: tuple[int, int] = (0, 1),
    commit_rows: int = COMMIT_ROWS,
    commit_s: float = COMMIT_S,
    shown: bool = True,
) -> Summary:
    """Brings a store up to date with files.

    Files whose size and time of change are those in the store are not read; of others the content
    decides: what is known under another path is not decoded, what changed replaces its rows. The
    store is the same, row for row and bit by bit, as after a run that was never stopped. Files
    that another run has added meanwhile are not added again; of those that two runs added at the
    same moment, the next run embeds anew what is there twice.

    Args:
      found: what to embed.
      model: what `lb_jax.load` returned.
      store: of this model, see `Maker.of`; its window and stride are those of the rows.
      quarantine: JSONL list of files that cannot be used; those listed are tried again when they
        have changed.
      workers: decoding processes; None takes one per processor.
      prune: remove files that are gone from the folders.
      retry: try files of the quarantine list again.
      max_bad_rate: share of bad files above which the run stops.
      timeout_s: a file that keeps its process busy so long without an array is bad.
      share: (number, count) of this process among those that share the files.
      commit_rows: rows after which they are committed.
      commit_s: seconds after which they are.
      shown: whether progress is.

    Raises:
      DataError: for too many bad files, and for a store that cannot be used.
      CheckpointError: for embeddings that are not finite.
    """
    start, (number, count) = time.monotonic(), share
    mine = found.sources[number::count]
    mended = store.repeated() & {(one.path, name) for one in mine for name in one.modalities}
    store.remove(mended)
    known = store.files()
    made = store.maker.preprocessing
    listed = Listed.read(Path(quarantine), mine, max_bad_rate, made, retry=retry)
    todo, unchanged, bad = [], 0, 0
    for source in mine:
        left = [name for name in source.modalities if (source.path, name) not in listed.reasons]
        bad += len(source.modalities) - len(left)
        wanted = _changed(source, left, known)
        if wanted:
            todo.append(dataclasses.replace(source, modalities=wanted))
        unchanged += bool(left and not wanted)
    pruned = gone(found, known) if prune and number == 0 else []
    store.remove(pruned)
    remarks = Remarks(remarks_of(Path(quarantine)), [names.shown(one.path) for one in todo])
    work = StoreWork(
        todo,
        model,
        store,
        known,
        listed.quarantine,
        remarks,
        commit_rows=commit_rows,
        commit_s=commit_s,
    )
    progress = logging.Progress(
        "embed", len(mine), done=len(mine) - len(todo), unit="file", shown=shown
    )
    with progress:
        if todo:
            processes = min(workers or os.cpu_count() or 1, len(todo))
            specs = {name: model.specs[name] for name in model.modalities}
            reading = readings.Windows(specs, store.maker.window_s, store.maker.stride_s)
            with decoders.Decoders(processes, reading, timeout_s) as pool:
                work.run(pool, progress)
    return Summary(
        files=len(mine),
        embedded=work.used,
        reused=work.reused,
        unchanged=unchanged + work.silent,
        bad=listed.quarantine.bad + bad,
        faults=work.judge.count,
        pruned=len(pruned),
        rows=work.rows,
        seconds=time.monotonic() - start,
        quarantine=listed.quarantine.path,
        remarks=remarks.found,
        warnings=remarks.path,
    )


def _changed(
    source: Source, modalities: Sequence[str], known: Mapping[tuple[str, str], FileStamp]
) -> tuple[str, ...]:
    """The modalities as which the store does not have the file as it is."""
    path, now = source.path, stamps.now(source.path)
    held = {name: known[path, name] for name in modalities if (path, name) in known}
    there = {
        name
        for name, one in held.items()
        if (one.size, one.mtime_ns, one.depth_unit) == (*now, stamps.unit_of(source, name))
    }
    return tuple(name for name in modalities if name not in there)


def gone(found: media_files.Found, known: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the store holds of the folders that could be searched and is not there any more.

    Args:
      found: what is there.
      known: (path, modality) of what the store holds.

    Returns:
      those of them that pruning removes.
    """
    there = {(one.path, modality) for one in found.sources for modality in one.modalities}
    below, unseen = (
        tuple(f"{folder.rstrip('/')}/" for folder in folders)
        for folders in (found.folders, found.closed)
    )
    return [
        (path, modality)
        for path, modality in known
        if path.startswith(below) and not path.startswith(unseen)
        if modality in found.wanted and (path, modality) not in there
    ]
