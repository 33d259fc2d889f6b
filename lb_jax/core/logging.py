"""What a run leaves and shows: `metrics.jsonl`, and progress as a bar or as plain lines."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import rich.console
import rich.progress


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
        print(f"lb-jax: {path}: {damaged} damaged lines are left out", file=sys.stderr)
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


class Progress:
    """Counts towards a total, with rate and time left.

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
        self._first, self._start, self._last = done, time.monotonic(), 0.0
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
        rate = (self.done - self._first) / max(now - self._start, 1e-9)
        note = f"{rate:.1f} {self.unit}/s  {note}"
        if self._bar:
            self._bar.update(self._task, completed=self.done, note=note)
        elif self.shown and (now - self._last >= self.every_s or self.done == self.total):
            self._last = now
            left = (self.total - self.done) / max(rate, 1e-9)
            print(
                f"{self.title}: {self.done}/{self.total}  {note}  {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
