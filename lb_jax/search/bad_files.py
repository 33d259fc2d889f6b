"""The quarantine list of a store: files that could not be used, with what they were then."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from lb_jax.core import logging, names
from lb_jax.corpora.media_files import Source
from lb_jax.corpora.quarantine import BadSample, Quarantine
from lb_jax.media import faults
from lb_jax.search import stamps


@dataclasses.dataclass(frozen=True)
class BadFile(BadSample):
    """A file that could not be used as a modality, with what it was then; -1 where not known.

    Attributes:
      preprocessing: it was read with, see `rows.Row`.
      traceback: where this package is at fault; None where the file is.
      versions: with which it was so, see `faults.versions`.
    """

    size: int
    mtime_ns: int
    preprocessing: str = ""
    traceback: str | None = None
    versions: str | None = None

    @classmethod
    def of(
        cls,
        modality: str,
        path: str,
        reason: str,
        now: tuple[int, int],
        made: str,
        fault: faults.Fault | None = None,
    ) -> "BadFile":
        """A row of the list.

        Args:
          modality: as which the file was decoded.
          path: of the file.
          reason: why it cannot be used.
          now: its size and time of change, see `stamps.now`.
          made: preprocessing it was read with.
          fault: of this package, where that is the reason.
        """
        told = (fault.traceback, faults.versions()) if fault is not None else ()
        return cls(modality, names.shown(path), reason, *now, made, *told)


@dataclasses.dataclass(frozen=True)
class Listed:
    """The quarantine list at the start of a run: what still holds, and where more is written.

    What ended in a fault of this package holds for the same versions alone.
    """

    reasons: Mapping[tuple[str, str], str]
    quarantine: Quarantine

    @classmethod
    def read(
        cls,
        path: Path,
        files: Sequence[Source],
        max_bad_rate: float,
        made: str,
        *,
        retry: bool,
    ) -> "Listed":
        """Drops from the list the files of this run that changed, or all with `retry`.

        So does a file that is read with another preprocessing now, such as another unit of depth.
        """
        mine = {names.shown(source.path): source for source in files}
        reasons, kept = {}, []
        for row in logging.read_metrics(path):
            if source := mine.get(row.get("path")):
                same = stamps.now(source.path) == (row.get("size"), row.get("mtime_ns"))
                if retry or not same or row.get("versions") not in (None, faults.versions()):
                    continue
                now = stamps.with_unit(made, stamps.unit_of(source, row.get("modality")))
                if row.get("preprocessing", now) not in ("", now):
                    continue
                reasons[source.path, row.get("modality")] = row.get("reason")
            kept.append(row)
        if path.exists():
            logging.rewrite(path, kept)
        return cls(reasons, Quarantine(path, max_bad_rate, "--max-bad-rate"))
