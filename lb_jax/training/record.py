"""What a run writes down of its steps: metrics, pace, and batches that gave no finite gradient.

A step is looked at once the next one has been started, so the device never waits for the host.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from lb_jax.core import errors, logging, paths
from lb_jax.core.words import counted
from lb_jax.training import distributed
from lb_jax.training.config import TrainConfig

NONFINITE = "nonfinite"  # folder in the work directory


class Sink(Protocol):
    """What takes rows of metrics."""

    def write(self, row: Mapping[str, Any], step: int) -> None:
        """Takes the row of a step: name -> value."""
        ...


@dataclasses.dataclass
class Pace:
    """How fast a run goes between two rows.

    Attributes:
      samples: of all modalities in a step.
      flops: floating-point operations of the model in a step, without what is recomputed.
      peak: operations per second that all devices can do at most; 0 where it is not known.
    """

    samples: int
    flops: float = 0.0
    peak: float = 0.0

    def __post_init__(self):
        self._start, self._waited, self._steps = time.perf_counter(), 0.0, 0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as time without data."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    @contextlib.contextmanager
    def pausing(self) -> Iterator[None]:
        """Does not count the time inside at all."""
        start = time.perf_counter()
        yield
        self._start += time.perf_counter() - start

    def step(self) -> None:
        """Counts a step that is done."""
        self._steps += 1

    def row(self) -> dict[str, float]:
        """Figures since the last call, none without a step since."""
        now = time.perf_counter()
        elapsed, steps, waited = now - self._start, self._steps, self._waited
        self._start, self._steps, self._waited = now, 0, 0.0
        if not steps:
            return {}
        found = {
            "perf/step_s": elapsed / steps,
            "perf/samples_per_s": self.samples * steps / elapsed,
            "perf/data_stall": waited / elapsed,
        }
        if self.peak:
            found["perf/mfu"] = self.flops * steps / elapsed / self.peak
        return found


@dataclasses.dataclass
class _Step:
    """One step that was started."""

    number: int
    metrics: Mapping[str, jax.Array]
    batch: Mapping[str, Mapping[str, jax.Array]]
    position: Mapping[str, int]
    extra: Mapping[str, float]


class Record:
    """Rows of a run.

    Args:
      cfg: the run.
      workdir: its folder.
      pace: counts its steps.
      sinks: take the rows; none in all processes but the first.
      progress: shown to the user.
    """

    def __init__(
        self,
        cfg: TrainConfig,
        workdir: Path,
        pace: Pace,
        sinks: Sequence[Sink],
        progress: logging.Progress,
    ):
        self._cfg, self._workdir, self.pace = cfg, workdir, pace
        self._sinks, self._progress = sinks, progress
        self._pending: _Step | None = None
        self._note = ""

    def started(
        self,
        number: int,
        metrics: Mapping[str, jax.Array],
        batch: Mapping[str, Mapping[str, jax.Array]],
        position: Mapping[str, int],
        extra: Mapping[str, float],
    ) -> None:
        """Takes a step that was just started, and settles the one before.

        Args:
          number: of the step.
          metrics: what it will give.
          batch: what it works on.
          position: of the data after that batch.
          extra: further figures for its row.
        """
        self.settle()
        self._pending = _Step(number, metrics, batch, position, extra)

    def settle(self) -> None:
        """Waits for the step that was started last, and writes down what there is to it.

        Raises:
          TrainingError: when too many steps were not finite.
        """
        one, self._pending = self._pending, None
        if one is None:
            return
        skipped = not bool(one.metrics["finite"])
        if skipped:
            self._keep_batch(one)
        self.pace.step()
        probed = any(name.startswith("probe/") for name in one.extra)
        last = one.number == self._cfg.steps - 1
        if one.number % self._cfg.log_every == 0 or last or skipped or probed:
            values = {name: float(value) for name, value in jax.device_get(one.metrics).items()}
            values["skipped"] = int(values["skipped"])
            del values["finite"]
            counts = distributed.of_all(one.position)
            values |= {"bad_samples": counts["bad"], "truncated_captions": counts["truncated"]}
            self.write({"step": one.number, **values, **one.extra, **self.pace.row()})
            self._note = f"loss {values['loss']:.3f}"
        if skipped:
            self._require_few(one)
        self._progress.advance(note=self._note)

    def write(self, row: Mapping[str, Any]) -> None:
        """Gives a row to every sink; what is not a number of JSON is left out."""
        finite = {name: value for name, value in row.items() if np.isfinite(value)}
        for sink in self._sinks:
            sink.write(finite, row["step"])

    def _keep_batch(self, one: _Step) -> None:
        """Writes this process's part of a batch, for `replay.py`."""
        folder = self._workdir / NONFINITE
        folder.mkdir(exist_ok=True)
        host = "" if jax.process_count() == 1 else f"-{jax.process_index()}"
        arrays = {
            path: np.concatenate([np.asarray(piece.data) for piece in _pieces(leaf)])
            for path, leaf in paths.flatten(one.batch).items()
        }
        np.savez(folder / f"step-{one.number}{host}.npz", **arrays)

    def _require_few(self, one: _Step) -> None:
        count = int(one.metrics["skipped"])
        if count > self._cfg.max_skipped:
            raise errors.TrainingError(
                f"loss or gradient of step {one.number} is not finite, as in "
                f"{counted(count - 1, 'step')} before: more than config.max_skipped="
                f"{self._cfg.max_skipped}. Their batches are in {self._workdir / NONFINITE}. Start "
                "again in another --workdir with a lower config.optim.lr, a longer "
                "config.optim.warmup_steps or config.optim.clip_norm=1."
            )


def _pieces(leaf: jax.Array) -> list[Any]:
    """This process's pieces of a batch array in order, each once."""
    pieces = {one.index[0].start or 0: one for one in leaf.addressable_shards}
    return [pieces[start] for start in sorted(pieces)]
