"""How a model reads texts: cut to what its tower takes, or whole, as windows that fit."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from lb_jax.text import sentences, tokenizer
from lb_jax.text import spec as spec_lib
from lb_jax.text.words import Words


class Reader(Protocol):
    """Texts to tokens; it knows no jax and travels to other processes."""

    def tokenize(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to int32 [n, context]; what is too long is cut.

        Raises:
          DataError: a text that cannot be read, by its place.
        """
        ...

    def is_cut(self, text: str) -> bool:
        """Whether `tokenize` cuts a text. Raises as it does."""
        ...

    def split(self, texts: Sequence[str]) -> sentences.Split:
        """Texts to windows, nothing cut. Raises as `tokenize`."""
        ...


@dataclasses.dataclass(frozen=True)
class Pieces:
    """CLIP's byte pairs, in windows of whole sentences.

    Attributes:
      spec: of the text tower.
    """

    spec: spec_lib.TextSpec

    def tokenize(self, texts: Sequence[str]) -> np.ndarray:
        """See `Reader`."""
        return tokenizer.tokenize(texts, self.spec.context, self.spec.clean)

    def is_cut(self, text: str) -> bool:
        """See `Reader`."""
        return bool(tokenizer.count_truncated(text, self.spec.context, self.spec.clean))

    def split(self, texts: Sequence[str]) -> sentences.Split:
        """See `Reader`."""
        return sentences.tokenize(texts, self.spec.context, self.spec.clean)


@dataclasses.dataclass(frozen=True)
class Bags:
    """Whole words, in windows of as many as follow each other.

    Attributes:
      known: the vocabulary.
      spec: of the text tower.
    """

    known: Words
    spec: spec_lib.TextSpec

    def tokenize(self, texts: Sequence[str]) -> np.ndarray:
        """See `Reader`."""
        return self.known.tokenize(texts, self.spec)

    def is_cut(self, text: str) -> bool:
        """See `Reader`."""
        return self.known.encode(text, self.spec)[1]

    def split(self, texts: Sequence[str]) -> sentences.Split:
        """See `Reader`; a window without a word of the vocabulary is left out."""
        windows = [self._windows(ids) for ids in self.known.ids(texts, self.spec.clean)]
        flat = [window for some in windows for window in some]
        return sentences.Split(
            self.known.rows(flat, self.spec.context),
            np.repeat(np.arange(len(windows)), [len(some) for some in windows]),
            np.array([len(window) for window in flat], np.float32),
            special=0,
        )

    def _windows(self, ids: list[int]) -> list[list[int]]:
        size = self.spec.context
        parts = [ids[start : start + size] for start in range(0, len(ids), size)]
        return [part for part in parts if {*part} - {self.known.unknown}]
