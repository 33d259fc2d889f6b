"""Texts to the words of a bag: whole words by a vocabulary (MMV spec 1.5).

The vocabulary is data: it comes with the weights, one word a line, the number of a line being the
word's id, as in DeepMind's video reader. `<pad>` fills a text up and takes part in the bag like a
word; `<unk>` stands for a word that the vocabulary has not. A text cannot name either, as it has no
punctuation left. Words that no text can have are without effect: the list may be one of others'.
"""

import collections
import string
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lb_jax.core import checkpoint, errors
from lb_jax.text import spec as spec_lib
from lb_jax.text import vocabulary

# What a checkpoint's folder calls the file of its words.
FILE = checkpoint.WORDS
PAD, UNKNOWN = SPECIAL = ("<pad>", "<unk>")
MOST = 65_536  # rows of the published table, with `SPECIAL`
USUAL = spec_lib.TextSpec(16, "content", "words")  # as published
MAX_CHARACTERS = 100_000  # no caption is near this
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

# The published list is not known. These say nothing of what is seen or heard, and are written as
# they are without punctuation; places and directions ("up", "under") are content.
_STOP_WORDS = """
a an the this that these those
i me my mine you your yours he him his she her hers it its we us our ours they them their theirs
myself yourself himself herself itself ourselves yourselves themselves
who whom whose which what when where why how
of for at by with to from as and but or nor so than if because until while
am is are was were be been being have has had having do does did doing
will would shall should can could may might must
im youre hes shes theyre ive youve weve theyve
isnt arent wasnt werent hasnt havent hadnt doesnt dont didnt wont wouldnt cant couldnt
just very too also then there here again
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def words(text: str, cleaning: str = USUAL.clean) -> list[str]:
    """The words of a text: small letters, without ASCII's punctuation, split at white space.

    "content" leaves `STOP_WORDS` out, unless the text has no others.
    """
    found = text.translate(_NO_PUNCTUATION).lower().split()
    if cleaning == "bare":
        return found
    return [word for word in found if word not in STOP_WORDS] or found


class Words:
    """Texts to ids, by a vocabulary.

    Attributes:
      vocabulary: the words, in the order of their ids.
      pad, unknown: ids of `SPECIAL`.

    Args:
      known: the vocabulary.
      name: how errors call it.

    Raises:
      errors.DataError: a special one is missing, or a word comes twice.
    """

    def __init__(self, known: Sequence[str], name: object = "<words>"):
        self.vocabulary = tuple(known)
        expected = f"one word a line, {' and '.join(SPECIAL)} among them"
        self._ids = vocabulary.numbered(self.vocabulary, SPECIAL, name, "word", expected)
        self.pad, self.unknown = map(self._ids.__getitem__, SPECIAL)

    @classmethod
    def read(cls, path: str | Path) -> "Words":
        """Reads a vocabulary: a file with one word a line, or the folder of a checkpoint.

        Raises:
          errors.DataError: unreadable, not UTF-8, or no vocabulary of words.
        """
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        return cls(vocabulary.read(path, "word"), path)

    @classmethod
    def build(cls, texts: Iterable[str], most: int = MOST, cleaning: str = USUAL.clean) -> "Words":
        """The vocabulary of some texts: `SPECIAL`, then their words, the most frequent first.

        Args:
          texts: what there is.
          most: words at most, `SPECIAL` among them.
          cleaning: as `words` takes it.

        Raises:
          errors.ConfigError: room for no word.
        """
        if most <= len(SPECIAL):
            raise errors.ConfigError(
                f"a vocabulary of {most} words; give at least {len(SPECIAL) + 1}, as "
                f"{' and '.join(SPECIAL)} are two of them."
            )
        counts = collections.Counter(word for text in texts for word in words(text, cleaning))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls([*SPECIAL, *ranked[: most - len(SPECIAL)]])

    def write(self, path: str | Path) -> None:
        """Writes the vocabulary as `read` takes it."""
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        vocabulary.write(path, self.vocabulary)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(
        self, text: str, spec: spec_lib.TextSpec = USUAL, *, allow_empty: bool = False
    ) -> tuple[np.ndarray, bool]:
        """One text to ids, int32 [context], and whether it was cut.

        Args:
          text: a text.
          spec: `context` words a text; `clean` as `words` takes it.
          allow_empty: whether it may have no word of the vocabulary: all is `pad` then.

        Raises:
          errors.DataError: no string, absurdly long, or, unless that is allowed, without a word of
            the vocabulary.
        """
        ids = self._encode(text, 0, spec.clean, allow_empty)
        return self.rows([ids], spec.context)[0], len(ids) > spec.context

    def tokenize(self, texts: str | Sequence[str], spec: spec_lib.TextSpec = USUAL) -> np.ndarray:
        """Texts to ids, int32 [n, context], each cut or filled up with `pad`.

        Raises:
          errors.DataError: as `encode`; names the text's place.
        """
        texts = [texts] if isinstance(texts, str) else texts
        return self.rows(self.ids(texts, spec.clean), spec.context)

    def ids(self, texts: Sequence[str], cleaning: str = USUAL.clean) -> list[list[int]]:
        """The ids of all words of texts. Raises as `tokenize` does."""
        return [self._encode(text, i, cleaning, False) for i, text in enumerate(texts)]

    def rows(self, ids: Sequence[Sequence[int]], context: int) -> np.ndarray:
        """Ids of texts, each cut or filled up with `pad`: int32 [n, context]."""
        out = np.full((len(ids), context), self.pad, np.int32)
        for row, some in zip(out, ids, strict=True):
            row[: len(some)] = some[:context]
        return out

    def _encode(self, text: object, place: int, cleaning: str, allow_empty: bool) -> list[int]:
        where = f"text {place}"
        if not isinstance(text, str):
            raise errors.DataError(
                where, f"is of type {type(text).__name__}, expected str; convert it first"
            )
        if len(text) > MAX_CHARACTERS:
            raise errors.DataError(
                where, f"has {len(text)} characters, expected at most {MAX_CHARACTERS}; cut it"
            )
        ids = [self._ids.get(word, self.unknown) for word in words(text, cleaning)]
        if {*ids} <= {self.unknown}:
            if allow_empty:
                return []
            raise errors.DataError(
                where,
                f"has no word that the model knows (found {text[:40]!r}, and it knows "
                f"{len(self)}); give it other words or drop it",
            )
        return ids
