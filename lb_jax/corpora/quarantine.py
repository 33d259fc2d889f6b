"""Samples that cannot be used, or that look wrong: each is written down with its reason.

Too many that cannot be used stop the run.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lb_jax.core import errors, logging, notices

# No rate is judged on fewer samples than this.
BAD_RATE_FROM = 50


@dataclasses.dataclass(frozen=True)
class BadSample:
    """A sample that could not be used: modality, file and reason."""

    modality: str
    path: str
    reason: str


class Remarks:
    """Files that are used but probably are not what they are taken for, in a JSONL file.

    Args:
      path: the file; it is continued, and is there only if something is in it.
      again: paths whose old lines no longer hold.

    Attributes:
      found: path and reason of what this run was told, in order.
    """

    def __init__(self, path: Path, again: Iterable[str] = ()):
        self.path, again = path, set(again)
        self.found: list[tuple[str, str]] = []
        self._kinds: set[str] = set()
        rows = [row for row in logging.read_metrics(path) if row.get("path") not in again]
        self._known = {_told(row) for row in rows}
        if path.exists():
            logging.rewrite(path, rows)

    def record(self, remarks: Iterable[BadSample]) -> list[BadSample]:
        """Writes down each remark once; returns the first of each kind, see `notices.kind`."""
        firsts = []
        for one in remarks:
            row = dataclasses.asdict(one)
            if _told(row) in self._known:
                continue
            self._known.add(_told(row))
            self.found.append((one.path, one.reason))
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            if (kind := notices.kind(one.reason)) not in self._kinds:
                self._kinds.add(kind)
                firsts.append(one)
        return firsts


def _told(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in ("modality", "path", "reason"))


def remarks_of(quarantine: Path) -> Path:
    """Where the remarks of a run are, by where its quarantine list is: beside it."""
    name = quarantine.name
    other = name.replace("quarantine", "warnings")
    return quarantine.with_name(other if other != name else f"{quarantine.stem}.warnings.jsonl")


class Quarantine:
    """Records bad samples once each in a JSONL file and stops the run when there are too many.

    Args:
      path: the file; it is continued.
      max_bad_rate: share of the samples above which `record` raises.
      setting: how the message calls that share.
    """

    def __init__(self, path: Path, max_bad_rate: float, setting: str = "config.data.max_bad_rate"):
        self.path, self.max_bad_rate, self._setting = path, max_bad_rate, setting
        self.seen = self.bad = 0
        known = [row for row in logging.read_metrics(path) if {"modality", "path"} <= row.keys()]
        self._known = {(row["modality"], row["path"]) for row in known}
        if path.exists():  # without a last line that a kill cut off
            logging.rewrite(path, known)

    def record(self, good: int, bad: Iterable[BadSample]) -> None:
        """Counts good samples and writes down bad ones.

        Raises:
          DataError: once the share of bad samples exceeds the allowed rate.
        """
        self.seen += good
        for sample in bad:
            self.seen += 1
            self.bad += 1
            if (sample.modality, sample.path) not in self._known:
                self._known.add((sample.modality, sample.path))
                told = {k: v for k, v in dataclasses.asdict(sample).items() if v is not None}
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(told) + "\n")
            if self.seen >= BAD_RATE_FROM and self.bad > self.max_bad_rate * self.seen:
                raise errors.DataError(
                    self.path,
                    f"{self.bad} of {self.seen} samples cannot be used, more than "
                    f"{self._setting}={self.max_bad_rate}; last: {sample.path}: {sample.reason}. "
                    "Mend the files listed there or raise the rate.",
                )
