"""What a stage is: a plain function over Arrow batches, with what it reads, writes and needs.

It says of each item whether it is kept, why not, and the figures that it went by. Which items it is
asked about, where and in which process is the engine's business.
"""

import ctypes.util
import dataclasses
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from lb_jax.core import errors
from lb_jax.media import specs

KEPT, REASON, ID = "kept", "reason", "id"
# What every stage writes beside its figures. `kept` is null for an item that it could not judge.
VERDICT = ((ID, pa.string()), (KEPT, pa.bool_()), (REASON, pa.string()))
# What is known of an item before the first stage.
ITEM = pa.schema(
    [
        (ID, pa.string()),
        ("place", pa.int64()),
        ("key", pa.string()),
        ("title", pa.string()),
        ("file", pa.string()),
        ("licence", pa.string()),
        ("source", pa.string()),
    ]
)

Columns = Mapping[str, Sequence[Any]]
# Metadata of a field of settings that changes nothing of what a stage says, such as a pace.
FREE = {"free": True}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a film's container says; of a file of sound alone there are no pictures.

    Attributes:
      duration_s: of its pictures, or of its sound where that is alone, in seconds.
      width, height: as it is shown, in pixels; 0 without pictures.
      frames: number of its pictures.
      rate_hz: pictures per second, on average.
      has_sound: whether there is a sound track.
    """

    duration_s: float
    width: int
    height: int
    frames: int
    rate_hz: float
    has_sound: bool


class Film(Protocol):
    """An item's film as a stage sees it; what is not asked for is not decoded."""

    @property
    def facts(self) -> Facts:
        """What its container says.

        Raises:
          DataError: it cannot be read.
        """
        ...

    def pictures(self, count: int) -> np.ndarray:
        """Frames from the first to the last, evenly spread: uint8 [count, h, w, 3].

        Raises:
          DataError: it cannot be decoded.
        """
        ...

    def clip(self, spec: specs.VideoSpec) -> np.ndarray:
        """The frames that a spec chooses, as `video.decode` gives them: uint8 [t, h, w, 3].

        Raises:
          DataError: it cannot be decoded.
        """
        ...

    def every(self) -> np.ndarray:
        """All frames, small, as `Wants.every_px` says: uint8 [frames, h, w, 3]."""
        ...

    def sound(self) -> tuple[np.ndarray, int] | None:
        """All of its sound, mono float32 [n], and its rate in Hz; None for one without a track."""
        ...


@dataclasses.dataclass(frozen=True)
class Wants:
    """What stages want to see of a film, so that it is decoded once for all of them.

    Attributes:
      pictures: numbers of evenly spread frames.
      every_px: short side of all frames; 0 for none.
      clips: specs by which models choose frames.
    """

    pictures: frozenset[int] = frozenset()
    every_px: int = 0
    clips: frozenset[specs.VideoSpec] = frozenset()

    def __or__(self, other: "Wants") -> "Wants":
        return Wants(
            self.pictures | other.pictures,
            max(self.every_px, other.every_px),
            self.clips | other.clips,
        )


@dataclasses.dataclass(frozen=True)
class Package:
    """A library that a stage needs beside those of the package.

    Attributes:
      module: that is imported.
      name: as it is installed.
      library: of the system, that it loads; empty for none.
      how: to get it.
    """

    module: str
    name: str
    library: str = ""
    how: str = "`pip install 'lb_jax[corpus]'` brings it"

    @property
    def is_there(self) -> bool:
        """Whether it can be imported; it is not."""
        if importlib.util.find_spec(self.module) is None:
            return False
        return not self.library or ctypes.util.find_library(self.library) is not None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a stage says of one item.

    Attributes:
      kept: None where it could not be judged.
      reason: why not; empty for what is kept.
      figures: of the columns that the stage writes.
    """

    kept: bool | None
    reason: str = ""
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A named step, a row of `stages.STAGES`.

    Of the three functions a stage has those that it needs. `look` runs beside others in processes
    without JAX. `judge` runs where the accelerator is. `compare` sees all items at once, in the
    order of the source. What one of them gives is what the next takes.

    Attributes:
      name: of the stage, and of its settings in the sheet.
      does: one line for people.
      settings: dataclass of its thresholds; contradictions are a `ConfigError` of its own.
      figures: columns that it writes beside the verdict.
      seen: columns that `look` writes for `compare`.
      look: batch of `ITEM`, a film for each row, settings -> a verdict for each row; for a stage
        with `judge` the figures are arrays that are handed to it and not kept.
      judge: batch of `ITEM`, figures of `look` for each row, settings -> verdicts.
      compare: table of `ITEM` and of `seen`, settings -> verdicts.
      wants: settings -> what it looks at of a film; None for a stage that opens none.
      takes: prepared settings -> (stage, column) of what stages before it wrote, which a stage that
        opens no film finds in its batch as `stage.column`.
      notes: prepared settings -> what else tells what it says, such as the digest of a file; kept
        with the thresholds.
      prepare: settings -> settings for `look`, once in the process that runs the engine, for what
        only that one can tell.
      packages: that it needs.
      memory_mb: that a process takes for it.
      version: raised where it says something else of the same item.
    """

    name: str
    does: str
    settings: type
    figures: tuple[tuple[str, pa.DataType], ...] = ()
    seen: tuple[tuple[str, pa.DataType], ...] = ()
    look: Callable[[pa.RecordBatch, Sequence[Film], Any], list[Verdict]] | None = None
    judge: Callable[[pa.RecordBatch, Sequence[Mapping], Any], list[Verdict]] | None = None
    compare: Callable[[pa.Table, Any], list[Verdict]] | None = None
    wants: Callable[[Any], Wants] | None = None
    takes: Callable[[Any], Sequence[tuple[str, str]]] | None = None
    notes: Callable[[Any], Mapping[str, Any]] | None = None
    prepare: Callable[[Any], Any] | None = None
    packages: tuple[Package, ...] = ()
    memory_mb: int = 100
    version: int = 1

    @property
    def needs(self) -> str:
        """What it computes on: "processor" or "accelerator"."""
        return "processor" if self.judge is None else "accelerator"

    @property
    def schema(self) -> pa.Schema:
        """Of what it says."""
        return pa.schema([*VERDICT, *self.figures])

    @property
    def seen_schema(self) -> pa.Schema:
        """Of what `look` says for `compare`."""
        return pa.schema([*VERDICT, *self.seen])

    def require(self) -> None:
        """Checks that its packages are there.

        Raises:
          ConfigError: one is not, with how to get it.
        """
        for one in self.packages:
            if not one.is_there:
                raise errors.ConfigError(
                    f"stage {self.name!r} needs {one.name}, which is not here; {one.how}, or leave "
                    "the stage out of config.stages."
                )


def table(schema: pa.Schema, ids: Sequence[str], verdicts: Sequence[Verdict]) -> pa.Table:
    """Rows of what a stage says of items, of one of its schemas."""
    rows = [
        {ID: item, KEPT: one.kept, REASON: one.reason, **one.figures}
        for item, one in zip(ids, verdicts, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def bad(error: errors.DataError) -> Verdict:
    """What is said of an item whose film cannot be used."""
    return Verdict(None, error.reason)


def refuse(reason: str, **figures: Any) -> Verdict:
    """An item that is left out."""
    return Verdict(False, reason, figures)


def keep(**figures: Any) -> Verdict:
    """An item that stays."""
    return Verdict(True, "", figures)
