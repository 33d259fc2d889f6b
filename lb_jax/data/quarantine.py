"""Samples that cannot be used: each is written down with its reason, too many stop the run."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from lb_jax.core import errors, logging

# No rate is judged on fewer samples than this.
BAD_RATE_FROM = 50


@dataclasses.dataclass(frozen=True)
class BadSample:
    """A sample that could not be used: modality, file and reason."""

    modality: str
    path: str
    reason: str


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
