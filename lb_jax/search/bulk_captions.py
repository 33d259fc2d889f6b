"""Captions of any number of media files into a file of rows, through any number of kills.

Processes decode, batches are filled across files, and a thread writes while they go on. Rows come
to the file in the order of the media files. So whoever is killed has the first captions, whole, and
the next run goes on behind them.
"""

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lb_jax.core import errors, logging, names
from lb_jax.core.words import counted
from lb_jax.corpora import media_files
from lb_jax.corpora.quarantine import Remarks, remarks_of
from lb_jax.media import decoders, readings
from lb_jax.search import bulk, caption_rows, stamps, writers
from lb_jax.search.bad_files import Listed
from lb_jax.search.caption_work import CaptionWork

if TYPE_CHECKING:
    from lb_jax.inference.valor import ValorModel
    from lb_jax.models.generation import Decoding

COMMIT_S = 30.0  # a batch that is not full waits no longer

# What a file is -> the groups that it may be written from.
GIVES = {"video": ("tva", "tv", "ta"), "audio": ("ta",), "image": ("tv",)}


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
      files: that were looked at.
      written: files that a caption was written of.
      reused: files among them whose content was known under another path.
      unchanged: files whose caption was there.
      bad: files in the quarantine list: found by this run, or before and unchanged.
      faults: of this package, among those of this run.
      seconds: from beginning to end.
      quarantine: the list.
      remarks: path and reason of files that were decoded and probably are not what they are taken
        for.
      warnings: the list of those, and of those of runs before.
      captions: path -> caption of those files that have one, in their order.
    """

    files: int
    written: int
    reused: int
    unchanged: int
    bad: int
    faults: int
    seconds: float
    quarantine: Path
    remarks: Sequence[tuple[str, str]]
    warnings: Path
    captions: Mapping[str, str]

    def told(self) -> str:
        """The numbers in words."""
        rate = self.written / max(self.seconds, 1e-9)
        more = bulk.besides(
            {
                "unchanged": self.unchanged,
                "known under another name": self.reused,
                "in quarantine": self.bad,
                "of them by faults of lb_jax, which need a report": self.faults,
            }
        )
        return (
            f"{counted(self.files, 'file')}, {counted(self.written, 'caption')} written in "
            f"{self.seconds:.1f} s ({rate:.1f} captions/s){more}"
        )


def find(
    arguments: Sequence[str | Path],
    model: "ValorModel",
    group: str | None = None,
    *,
    rules: Sequence[media_files.Rule] = (),
    root: str | Path | None = None,
) -> media_files.Found:
    """Lists what a caption can be written of.

    Args:
      arguments: folders, files and manifests, see `media_files.find`.
      model: that writes.
      group: that all are written from; None takes of each what it has.
      rules: come before those of `media_files`.
      root: folder that the paths of manifests are relative to; None takes the manifest's own.

    Returns:
      Files; as modalities they have the groups that they may be written from, the best first.

    Raises:
      ConfigError: for a group that the model does not have.
      DataError: as `media_files.find`.
    """
    asked = model.choices(group)
    views = {kind: tuple(one for one in gives if one in asked) for kind, gives in GIVES.items()}
    kinds = [kind for kind in GIVES if set(GIVES[kind]) & set(model.groups)]
    found = media_files.find(
        arguments,
        kinds,
        rules=rules,
        only=[kind for kind in kinds if views[kind]],
        root=root,
        command="caption",
        option="--group",
    )
    sources = tuple(
        dataclasses.replace(
            source, modalities=next(views[kind] for kind in GIVES if kind in source.modalities)
        )
        for source in found.sources
    )
    return dataclasses.replace(found, sources=sources)


def run(
    found: media_files.Found,
    model: "ValorModel",
    out: str | Path,
    *,
    decoding: "Decoding | None" = None,
    group: str | None = None,
    quarantine: str | Path | None = None,
    workers: int | None = None,
    retry: bool = False,
    max_bad_rate: float = bulk.MAX_BAD_RATE,
    timeout_s: float = bulk.TIMEOUT_S,
    shown: bool = True,
) -> Summary:
    """Writes a caption of each file, into a file that is made if it is not there.

    Files whose size and time of change are those of their row are not read; of others the content
    decides: what is known under another path is not written of again, what changed gets a new row.
    The file is the same, byte for byte, as after a run that was never stopped.

    Args:
      found: what to write of, see `find`.
      model: that writes.
      out: JSONL file of captions, see `caption_rows`.
      decoding: how words are chosen; None is the published way.
      group: that `find` was asked for.
      quarantine: JSONL list of files that cannot be used; those listed are tried again when they
        have changed. None is beside `out`.
      workers: decoding processes; None takes one per processor.
      retry: try files of the quarantine list again.
      max_bad_rate: share of bad files above which the run stops.
      timeout_s: a file that keeps its process busy so long is bad.
      shown: whether progress is.

    Raises:
      DataError: for a file of another model or other options, for too many bad files, and when none
        can be used.
      ConfigError: another run writes into the file.
    """
    from lb_jax.inference import valor_items

    start, out = time.monotonic(), Path(out)
    decoding = decoding or model.decoding()
    writer = writers.line_of(model, decoding, group)
    path = Path(quarantine) if quarantine is not None else bulk.quarantine_of(out)
    was_there = path.exists()
    with caption_rows.opened(out, writer) as rows:
        listed = Listed.read(path, found.sources, max_bad_rate, writer, retry=retry)
        bad = {source for source, _ in listed.reasons}
        left = [one for one in found.sources if one.path not in bad]
        todo = [one for one in left if not _is_written(rows, one)]
        remarks = Remarks(remarks_of(path), [names.shown(one.path) for one in todo])
        work = CaptionWork(
            todo,
            model,
            decoding,
            rows,
            writer,
            listed.quarantine,
            remarks,
            commit_s=COMMIT_S,
        )
        rows.forget([*(one.path for one in todo), *bad])
        count = len(found.sources)
        progress = logging.Progress(
            "caption", count, done=count - len(todo), unit="file", shown=shown
        )
        with progress:
            if todo:
                processes = min(workers or os.cpu_count() or 1, len(todo))
                roles = {one: tuple(valor_items.roles(one)) for one in model.groups}
                reading = readings.Groups(
                    {role: model.specs[role] for role in model.modalities}, roles
                )
                with decoders.Decoders(processes, reading, timeout_s) as pool:
                    work.run(pool, progress)
        rows.put_in_order([one.path for one in found.sources])
        order = [one.path for one in found.sources if one.path in rows.rows]
        captions = {path: rows.rows[path].caption for path in order}
        if not captions:
            error = _useless(path, found)
            if count == 1 and not was_there:  # the error says it all
                path.unlink(missing_ok=True)
            raise error
    return Summary(
        files=count,
        written=work.used - work.reused,
        reused=work.reused,
        unchanged=len(left) - len(todo),
        bad=listed.quarantine.bad + len(bad),
        faults=work.judge.count,
        seconds=time.monotonic() - start,
        quarantine=path,
        remarks=remarks.found,
        warnings=remarks.path,
        captions=captions,
    )


def _is_written(rows: caption_rows.Rows, source: media_files.Source) -> bool:
    """Whether there is a caption of the file as it is, from a group that is asked for."""
    row = rows.rows.get(source.path)
    if row is None or row.group not in source.modalities:
        return False
    return (row.size, row.mtime_ns) == stamps.now(source.path)


def _useless(quarantine: Path, found: media_files.Found) -> errors.DataError:
    """That no file can be used: of one file why, else where it stands."""
    mine = {names.shown(one.path) for one in found.sources}
    rows = [row for row in logging.read_metrics(quarantine) if row.get("path") in mine]
    path, reason = (rows[0]["path"], rows[0]["reason"]) if rows else (quarantine, "is empty")
    if len(mine) == 1:
        return errors.DataError(path, reason)
    return errors.DataError(
        quarantine,
        f"none of {counted(len(mine), 'file')} can be used; they are listed here. Mend them, or "
        f"give --retry where they are mended; first: {path}: {reason}",
    )
