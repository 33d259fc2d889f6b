"""The captions of a store: one of each window or still, by its content, in a table of their own.

The vectors know nothing of them. A caption is known by the hash of the file, the modality and where
the window starts, so that a file under another name has its captions, and an upgrade to another
model of vectors keeps them. All captions of a store are of one captioner.

    captions    `captioner`, `source`, `sha256`, `modality`, `start_s`, `end_s`, `caption`
"""

import dataclasses
import datetime
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from lb_jax.core import errors
from lb_jax.search import failures, filters

if TYPE_CHECKING:
    from lancedb.table import Table

NAME = "captions"
SCHEMA = pa.schema(
    [
        pa.field("captioner", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("caption", pa.string(), nullable=False),
    ]
)
KEEP = datetime.timedelta(minutes=1)  # older versions, for readers that still look at them
AT_ONCE = 1000  # hashes in one condition

Window = tuple[str, str, float | None]  # hash of the file, modality, start; None of a still


@dataclasses.dataclass(frozen=True)
class Captioner:
    """Who writes captions.

    Attributes:
      key: hash of the model and of how it chooses words.
      source: where it was loaded from.
    """

    key: str
    source: str

    def __str__(self) -> str:
        return f"{self.source} ({self.key[:12]})"


@dataclasses.dataclass(frozen=True)
class Caption:
    """The caption of a window.

    Attributes:
      sha256: of the file's bytes.
      modality: what the file was read as.
      start_s: where the window starts; None for a still.
      end_s: where it ends; None for a still.
      text: what was written.
      score: how well it fits words that were searched for; 0 where none were.
    """

    sha256: str
    modality: str
    start_s: float | None
    end_s: float | None
    text: str
    score: float = 0.0

    @property
    def window(self) -> Window:
        """What it is of."""
        return self.sha256, self.modality, self.start_s


class Captions:
    """The table of captions of a store, by `Database.captions`.

    What fails in LanceDB comes as a `DataError` that names the store.

    Args:
      uri: of the store.
      table: of LanceDB.
    """

    def __init__(self, uri: str, table: "Table"):
        self.uri, self._table = uri, table

    def __len__(self) -> int:
        with failures.told(self.uri):
            return self._table.count_rows()

    @property
    def captioner(self) -> Captioner | None:
        """Who wrote them; None while there are none."""
        with failures.told(self.uri):
            query = self._table.search().select(["captioner", "source"]).limit(1)
            rows = query.to_arrow().to_pylist()
        return Captioner(rows[0]["captioner"], rows[0]["source"]) if rows else None

    def require(self, captioner: Captioner) -> None:
        """Checks that captions of this captioner may be added.

        Raises:
          DataError: those that are there are of another.
        """
        found = self.captioner
        if found is not None and found.key != captioner.key:
            raise errors.DataError(
                self.uri,
                f"holds captions of {found}, not of {captioner}; they are not mixed. Give "
                f"--captioner {found.source} as it was, or --captions-anew to write all again.",
            )

    def windows(self) -> set[Window]:
        """What there are captions of."""
        with failures.told(self.uri):
            found = self._table.search().select(["sha256", "modality", "start_s"]).to_arrow()
        return set(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def add(self, captions: Sequence[Caption], captioner: Captioner) -> None:
        """Adds captions in one commit."""
        if not captions:
            return
        rows = [
            {
                "captioner": captioner.key,
                "source": captioner.source,
                "sha256": one.sha256,
                "modality": one.modality,
                "start_s": one.start_s,
                "end_s": one.end_s,
                "caption": one.text,
            }
            for one in captions
        ]
        with failures.told(self.uri):
            self._table.add(pa.Table.from_pylist(rows, schema=SCHEMA))

    def remove(self, hashes: Iterable[str]) -> None:
        """Removes all captions of files with these hashes."""
        for some in _portions(hashes):
            with failures.told(self.uri):
                self._table.delete(_among("sha256", some))

    def clear(self) -> None:
        """Removes all captions."""
        with failures.told(self.uri):
            self._table.delete("true")

    def build_index(self) -> None:
        """Merges small files and brings the full-text index up to date.

        Captions that come later are found too: they are read one by one until then.
        """
        from lancedb import index

        with failures.told(self.uri):
            if not any(list(one.columns) == ["caption"] for one in self._table.list_indices()):
                self._table.create_index("caption", config=index.FTS())
            self._table.optimize(cleanup_older_than=KEEP)

    def of(self, hashes: Iterable[str]) -> dict[Window, str]:
        """The captions of files with these hashes, by their windows."""
        found: dict[Window, str] = {}
        names = ["sha256", "modality", "start_s", "caption"]
        for some in _portions(hashes):
            with failures.told(self.uri):
                query = self._table.search().where(_among("sha256", some)).select(names)
                columns = [column.to_pylist() for column in query.to_arrow().columns]
            for *window, text in zip(*columns, strict=True):
                found[window[0], window[1], window[2]] = text
        return found

    def search(self, words: str, count: int, where: filters.Filter) -> list[Caption]:
        """The captions that fit words best (BM25 of stems, without stop words), best first.

        Args:
          words: in any order; one that fits is enough.
          count: how many, fewer when no others have any of the words.
          where: which windows to look at; where files lie is not looked at.
        """
        from lancedb.query import LanceFtsQueryBuilder, MatchQuery

        condition = dataclasses.replace(where, under=None).sql()
        names = ["sha256", "modality", "start_s", "end_s", "caption", "_score"]
        words = words.encode(errors="replace").decode()  # half a character is in no caption
        with failures.told(self.uri):
            query = self._table.search(MatchQuery(words, "caption"), query_type="fts")
            assert isinstance(query, LanceFtsQueryBuilder)  # as it is of every such query
            query = query.limit(count).select(names)
            if condition:
                query = query.where(condition, prefilter=True)
            columns = [column.to_pylist() for column in query.to_arrow().columns]
        found = [Caption(*values) for values in zip(*columns, strict=True)]
        return sorted(found, key=lambda one: (-one.score, *_place(one)))


def _place(one: Caption) -> tuple[str, str, float]:
    return one.sha256, one.modality, -math.inf if one.start_s is None else one.start_s


def _portions(hashes: Iterable[str]) -> Iterable[list[str]]:
    every = sorted(set(hashes))
    return (every[first : first + AT_ONCE] for first in range(0, len(every), AT_ONCE))


def _among(name: str, values: Iterable[str]) -> str:
    return f"{name} IN ({', '.join(map(filters.quoted, values))})"
