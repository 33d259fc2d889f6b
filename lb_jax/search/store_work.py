"""The work of `bulk`: vectors of files into a store.

All rows of a file come in one commit.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lb_jax.corpora.media_files import Source
from lb_jax.corpora.quarantine import Quarantine, Remarks
from lb_jax.media import decoders
from lb_jax.search import stamps, work
from lb_jax.search.rows import Row
from lb_jax.search.stamps import FileStamp
from lb_jax.search.store import Store

if TYPE_CHECKING:
    from lb_jax.inference.encoder import Encoder


class StoreWork(work.Work):
    """One run: vectors of files, gathered into commits.

    Args:
      todo: files, in the order of their rows.
      model: that makes the vectors.
      store: of this model.
      known: (path, modality) -> what the store holds of it.
      quarantine, remarks, commit_rows, commit_s: see `work.Work`.
    """

    def __init__(
        self,
        todo: Sequence[Source],
        model: "Encoder",
        store: Store,
        known: Mapping[tuple[str, str], FileStamp],
        quarantine: Quarantine,
        remarks: Remarks,
        *,
        commit_rows: int,
        commit_s: float,
    ):
        super().__init__(
            todo,
            model.batch_size,
            quarantine,
            remarks,
            commit_rows=commit_rows,
            commit_s=commit_s,
            earlier={name for _, name in known},
        )
        self._model, self._store, self._known = model, store, known
        self._contents = {
            (one.sha256, modality, one.depth_unit) for (_, modality), one in known.items()
        }
        self._rows: list[Row] = []  # of the next commit
        self._stale: list[tuple[str, str]] = []  # what it replaces
        self._settled: list[work.Content] = []  # contents that are in the store after it

    @property
    def pending(self) -> int:
        """Rows of the next commit."""
        return len(self._rows)

    def _at_once(self, modality: str) -> int:
        return self._model.at_once(modality)

    def _compute(self, modality: str, values: Sequence[np.ndarray]) -> np.ndarray:
        return self._model.encode(modality, np.stack(values))

    def _stored(self, content: work.Content) -> work.Part:
        # the file that had this content may have been replaced by now
        rows = self._store.vectors(*content) if content in self._contents else []
        return work.Part(
            [_times(row) for row in rows],
            [row.vector for row in rows],
            is_whole=bool(rows),
            is_stored=bool(rows),
        )

    def _made(self, source: Source, modality: str) -> str:
        return stamps.with_unit(self._store.maker.preprocessing, stamps.unit_of(source, modality))

    def _finish(self, file: work.File) -> None:
        path = file.source.path
        if work.now_of(file) != stamps.GONE:
            self._stale += [
                (path, one) for one in file.source.modalities if (path, one) in self._known
            ]
        super()._finish(file)

    def _keep(self, file: work.File, modality: str, part: work.Part) -> int:
        assert file.stamp is not None  # what is ready was read
        made = self._made(file.source, modality)
        rows = list(self._rows_of(file.source.path, file.stamp, modality, part, made))
        self._settled.append(work.content_of(file.source, file.stamp, modality))
        self._rows += rows
        return len(rows)

    def _rows_of(
        self, path: str, stamp: decoders.Stamp, modality: str, part: work.Part, made: str
    ) -> Iterator[Row]:
        told = stamp.sha256, stamp.size, stamp.mtime_ns, self._store.maker.digest, made
        for times, vector in zip(part.times, part.results, strict=True):
            yield Row(path, modality, *(times or (None, None)), *told, vector)

    def _commit(self) -> None:
        made = {
            (row.path, row.modality): stamps.stamp_of(
                row.sha256, row.size, row.mtime_ns, row.preprocessing
            )
            for row in self._rows
        }
        # another run may have come before this one with the same files, or older ones
        there = self._store.files({*self._stale, *made})
        same = {one for one, stamp in there.items() if made.get(one) == stamp}
        rows = [row for row in self._rows if (row.path, row.modality) not in same]
        self._store.remove(there.keys() - same)
        self._store.add(rows)
        self.rows += len(rows)
        self._contents.update(self._settled)
        for content in self._settled:
            self._first.pop(content, None)
        self._rows, self._stale, self._settled = [], [], []


def _times(row: Row) -> tuple[float, float] | None:
    if row.start_s is None or row.end_s is None:
        return None
    return row.start_s, row.end_s
