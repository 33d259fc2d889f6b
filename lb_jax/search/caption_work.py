"""The work of `bulk_captions`: a caption of each file, into a file of rows.

A row is appended as soon as those of all files before it are there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lb_jax.core import names
from lb_jax.corpora.media_files import Source
from lb_jax.corpora.quarantine import Quarantine, Remarks
from lb_jax.search import work
from lb_jax.search.caption_rows import Row, Rows

if TYPE_CHECKING:
    from lb_jax.inference.valor import ValorModel
    from lb_jax.models.generation import Decoding

KIND = "media"  # as what every file is judged
AHEAD = 4  # batches that wait for a file before them, after which one that is not full is written


class CaptionWork(work.Work):
    """One run: captions of files.

    Args:
      todo: files in the order of their rows; instead of modalities the groups they may be written
        from, the best first.
      model: that writes.
      decoding: how words are chosen.
      rows: take the captions.
      writer: of the rows.
      quarantine, remarks, commit_s: see `work.Work`.
    """

    def __init__(
        self,
        todo: Sequence[Source],
        model: "ValorModel",
        decoding: "Decoding",
        rows: Rows,
        writer: str,
        quarantine: Quarantine,
        remarks: Remarks,
        *,
        commit_s: float,
    ):
        super().__init__(
            todo,
            model.batch_size,
            quarantine,
            remarks,
            commit_rows=AHEAD * model.batch_size,
            commit_s=commit_s,
            earlier=(KIND,) if rows.rows else (),
        )
        self._model, self._decoding, self._kept, self._writer = model, decoding, rows, writer
        self._contents = {(row.sha256, row.group): row.caption for row in rows.rows.values()}

    @property
    def pending(self) -> int:
        """None: rows are appended at once."""
        return 0

    def _compute(self, modality: str, values: Sequence[Mapping[str, np.ndarray]]) -> Iterable[str]:
        arrays = {role: np.stack([value[role] for value in values]) for role in values[0]}
        return self._model.write(arrays, self._decoding)

    def _stored(self, content: work.Content) -> work.Part:
        sha256, group, _ = content
        if (sha256, group) not in self._contents:
            return work.Part()
        caption = self._contents[sha256, group]
        return work.Part([None], [caption], is_whole=True, is_stored=True)

    def _made(self, source: Source, modality: str) -> str:
        return self._writer

    def _keep(self, file: work.File, modality: str, part: work.Part) -> int:
        assert file.stamp is not None  # what is ready was read
        stamp, (caption,) = file.stamp, part.results
        self._kept.append(
            Row(
                path=file.source.path,
                group=modality,
                caption=caption,
                sha256=stamp.sha256,
                size=stamp.size,
                mtime_ns=stamp.mtime_ns,
                writer=self._writer,
            )
        )
        self._contents[stamp.sha256, modality] = caption
        self._first.pop(work.content_of(file.source, stamp, modality), None)
        self.rows += 1
        return 1

    def _commit(self) -> None:
        """Nothing: every row is in the file already."""

    def _kinds(self, source: Source) -> Sequence[str]:
        return (KIND,)

    def _lost(self, source: Source) -> Sequence[str]:
        return source.modalities[:1]  # one line for a file that could not be opened

    def _judged(self, file: work.File) -> None:
        (part,) = file.parts.values()
        is_used = (part.same or part).reason is None
        path = names.shown(file.source.path)
        self.judge.passed(KIND, path, part.fault, is_used=is_used)
