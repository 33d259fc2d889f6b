"""Pictures as frames of films, for what is learnt from stills alone: no captions, no labels."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lb_jax.core import errors, names
from lb_jax.core.words import counted
from lb_jax.corpora import captions
from lb_jax.corpora.quarantine import BadSample
from lb_jax.corpora.rows import EveryRow, Row
from lb_jax.feed import pipeline
from lb_jax.media import content, preprocess, specs

NAME = "image"  # the modality, and the name of these samples in a batch
NO_TEXT = np.zeros(0, np.int32)


class Files(EveryRow):
    """Pictures by their paths; a row has no caption.

    Args:
      where: they come from, for messages.
      paths: of the files.
    """

    modalities: tuple[str, ...] = (NAME,)
    text_kinds: tuple[str, ...] = ()

    def __init__(self, where: str, paths: Sequence[str]):
        self.where, self._paths = where, list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`: there are no captions.

        Raises:
          errors.DataError: one is asked for.
          errors.ConfigError: unknown kind.
        """
        if captions.require_kinds(kinds):
            raise errors.DataError(self.where, "are pictures, which have no captions")

    def __getitem__(self, index: int) -> Row:
        path = Path(self._paths[index])
        return Row(names.shown(path), {}, {NAME: (path,)})


class Pictures(pipeline.Loader):
    """Sample number -> `pipeline.Sample` of a picture, float32 [s, s, 3].

    It is what a frame of a film becomes in training: crop, flip and augmentation are drawn.

    Args:
      files: the pictures.
      frame: preprocessing of the films.
      seed: of the run.
    """

    def __init__(self, files: Files, frame: specs.VideoSpec, *, seed: int):
        self._frame = dataclasses.replace(frame, frames=1)
        super().__init__([(files, 1.0)], NAME, specs.still(frame), "", _no_text, seed=seed)

    def load(
        self, corpus: int, number: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, bool] | BadSample:
        """One picture, or why it cannot be used."""
        row = self._sources[corpus][number]
        try:
            decoded = self._decode(row.media[NAME][0], row.id, rng)
            frame = preprocess.transform("video", decoded[None], self._frame, rng)[0]
        except errors.DataError as error:
            return BadSample(NAME, row.id, error.reason)
        return frame, NO_TEXT, False


def shown(files: Files, spec: specs.ImageSpec) -> tuple[np.ndarray, list[BadSample]]:
    """All pictures as they are in evaluation.

    Args:
      files: the pictures.
      spec: their preprocessing.

    Returns:
      float32 [n, s, s, 3] of those that can be used, and why the others cannot.

    Raises:
      DataError: when none can be used.
    """
    found: list[np.ndarray] = []
    bad: list[BadSample] = []
    for row in (files[i] for i in range(len(files))):
        try:
            decoded = preprocess.decode(NAME, row.media[NAME][0], spec)
            content.require_content(NAME, decoded, row.id, spec)
            found.append(preprocess.transform(NAME, decoded, spec))
        except errors.DataError as error:
            bad.append(BadSample(NAME, row.id, error.reason))
    if not found:
        raise errors.DataError(
            files.where,
            f"{counted(len(bad), 'picture')} tried and none can be used; last: {bad[-1].reason}",
        )
    return np.stack(found), bad


def _no_text(text: str) -> tuple[np.ndarray, bool]:
    del text
    return NO_TEXT, False
