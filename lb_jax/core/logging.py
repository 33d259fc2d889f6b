"""What a run leaves and shows: `metrics.jsonl`, and progress as a bar or as plain lines."""

import collections
import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import rich.console
import rich.progress

from lb_jax.core.words import counted


class MetricsFile:
    """Appends one JSON object a line.

    A resumed run first drops the rows at or after the step it starts from, so no step stands twice.
    """

    def __init__(self, path: Path, *, first_step: int = 0):
        self.path = Path(path)
        rows = read_metrics(self.path)
        rewrite(self.path, [row for row in rows if row.get("step", first_step) < first_step])

    def write(self, row: Mapping[str, Any], step: int) -> None:
        """Appends a row, which names its step itself."""
        del step
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Every row is in the file already."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file; none without it.

    A last line cut off by a kill is left out, and so is one that is no JSON object, with a word on
    stderr: what is only told of a run must not hold it up.
    """
    if not Path(path).exists():
        return []
    lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    rows = [row for row in map(_parsed, lines) if isinstance(row, dict)]
    if len(rows) < len(lines):
        damaged = len(lines) - len(rows)
        print(f"lb-jax: {path}: left out: {counted(damaged, 'damaged line')}", file=sys.stderr)
    return rows


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def rewrite(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replaces a file of rows, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    partial.replace(path)


# The rate is that of the last seconds, told once it is of some; moments are kept so far apart.
RECENT_S, KNOWN_S, APART_S = 30.0, 1.0, 0.1


class Progress:
    """Counts towards a total, with the rate of late and the time left, once they are known.

    A `rich` bar on a terminal, a plain line every `every_s` seconds otherwise.

    Use as a context manager; call `advance` per unit and pass what should stand beside it.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        done: int = 0,
        unit: str = "it",
        every_s: float = 5.0,
        shown: bool = True,
    ):
        self.title, self.total, self.done, self.unit = title, total, done, unit
        self.every_s, self.shown = every_s, shown
        self._start, self._last = time.monotonic(), 0.0
        self._recent: collections.deque[tuple[float, int]] = collections.deque()
        self._bar = None
        if shown and sys.stderr.isatty():
            columns = (
                "[progress.description]{task.description}",
                rich.progress.BarColumn(),
                rich.progress.MofNCompleteColumn(),
            )
            times = (rich.progress.TimeRemainingColumn(), "{task.fields[note]}")
            self._bar = rich.progress.Progress(
                *columns, *times, console=rich.console.Console(stderr=True)
            )

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(
                self.title, total=self.total, completed=self.done, note=""
            )
        return self

    def __exit__(self, *_) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Adds `count` done units."""
        self.done += count
        now = time.monotonic()
        rate = self._rate(now)
        speed = "" if not rate else f"{rate:.1f} {self.unit}/s  "
        if rate and rate < 1:
            speed = f"{1 / rate:.1f} s/{self.unit}  "
        note = f"{speed}{note}"
        if self._bar:
            self._bar.update(self._task, completed=self.done, note=note)
        elif self.shown and (now - self._last >= self.every_s or self.done == self.total):
            self._last = now
            left = f"{(self.total - self.done) / rate:.0f} s left" if rate else ""
            if self.done == self.total:
                left = f"in {now - self._start:.1f} s"
            parts = (f"{self.title}: {self.done}/{self.total}", note.strip(), left)
            print("  ".join(filter(None, parts)), file=sys.stderr, flush=True)

    def _rate(self, now: float) -> float | None:
        """Units a second lately; None before it can be known.

        What comes before the first advance is no measure of the others: it holds the start of
        processes and what is compiled.
        """
        recent = self._recent
        if not recent or now - recent[-1][0] >= APART_S:
            recent.append((now, self.done))
        while len(recent) > 1 and now - recent[1][0] >= RECENT_S:
            recent.popleft()
        then, before = recent[0]
        return (self.done - before) / (now - then) if now - then >= KNOWN_S else None
