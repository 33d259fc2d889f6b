"""Rows with files of two modalities -> pairs of them, as ImageBind learns (its spec 3)."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lb_jax.core import errors
from lb_jax.corpora.quarantine import BadSample
from lb_jax.corpora.rows import Source, name_of
from lb_jax.feed import keeping, pipeline
from lb_jax.media import preprocess


def _no_text(text: str) -> tuple[np.ndarray, bool]:
    raise AssertionError("pairs of media have no text")


class Pairs(pipeline.Loader):
    """Sample number -> the array of a modality, and as its text that of the anchor of the same row.

    Of several files of a row a drawn one is taken, of each modality by itself; what is drawn inside
    a file, such as a crop, is drawn of each by itself too.

    Args:
      sources: corpora and their weights.
      modality: which of a row's files.
      spec: its preprocessing.
      anchor: the modality that it is bound to.
      anchor_spec: its preprocessing.
      seed: of the run.
      cache, drop_to: see `pipeline.Loader`.

    Raises:
      DataError: for a corpus without a row that has both.
      ConfigError: as `pipeline.Loader`.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
        modality: str,
        spec: Any,
        anchor: str,
        anchor_spec: Any,
        *,
        seed: int,
        cache: bool = False,
        drop_to: int = 0,
    ):
        self._specs = {modality: spec, anchor: anchor_spec}
        super().__init__(
            sources, modality, spec, "", _no_text, seed=seed, cache=cache, drop_to=drop_to
        )
        self._kept = keeping.Kept(self._specs, cache)

    def load(
        self, corpus: int, number: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, bool] | BadSample:
        """One row -> (media, that of the anchor, False), or why it cannot be used."""
        source, found = self._sources[corpus], []
        try:
            row = source[number]
        except errors.DataError as error:
            return BadSample(self.modality, error.path, error.reason)
        where = f"{source.where}: {row.id}"
        try:
            for name, spec in self._specs.items():
                files = self._files(row, name)
                place = int(rng.random() * len(files))
                where = name_of(files[place], f"{source.where}: {row.id}, {name} {place}")
                decode = functools.partial(self._decode, files[place], where, rng, name, spec)
                decoded = self._kept.get((name, corpus, number, place), decode)
                found.append(preprocess.transform(name, decoded, spec, rng))
        except errors.DataError as error:
            return BadSample(self.modality, where, error.reason)
        return found[0], found[1], False

    def texts(self) -> Iterator[str]:
        """None: no text is learnt from."""
        return iter(())

    def seen(self) -> None:
        """Not kept: rows are known by their captions."""
        return

    def _usable(self, source: Source) -> np.ndarray:
        rows = [np.asarray(source.having(name), np.int64) for name in self._specs]
        both = np.intersect1d(*rows)
        if not len(both):
            names = " and ".join(self._specs)
            held = ", ".join(
                f"{len(one):,} with {n}" for n, one in zip(self._specs, rows, strict=True)
            )
            raise errors.DataError(
                source.where,
                f"has no row with {names}, which are learnt in pairs; it has {held}. Name both in "
                "one row, or bind it to text (config.modalities.*.anchor=text)",
            )
        return both
