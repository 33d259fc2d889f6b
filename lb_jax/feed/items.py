"""Rows of several modalities -> batches in which each item has all of its modalities and texts.

As `pipeline`, but a sample is a whole item: `{"media": {modality: [b, ...], "present": [b, m]},
"text": {kind: [b, n]}}`. What an item lacks is 0 and not present; what cannot be decoded goes to
the quarantine with its row. Of a question several answers may come at once, `answer` [b, k, n] with
`answer_weights` [b, k]; and `item` [b] says which item it is, where captions are learnt by reward.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import captions
from lb_jax.corpora.quarantine import BadSample
from lb_jax.corpora.rows import Ref, Row, Source, name_of
from lb_jax.feed import keeping, pipeline
from lb_jax.media import items, specs
from lb_jax.text import wordpiece
from lb_jax.text.spec import TextSpec

NAME = "items"  # of these samples among those of a batch
PRESENT = "present"  # beside the arrays of the modalities
ANSWER, ANSWER_WEIGHTS = "answer", "answer_weights"
ITEM = "item"
Encode = Callable[[str], tuple[np.ndarray, bool]]


def pieces(tokens: wordpiece.WordPiece, spec: TextSpec, text: str) -> tuple[np.ndarray, bool]:
    """A text -> int32 [context], and whether it was cut; see `WordPiece.tokenize`."""
    cut = tokens.lengths([text], spec.clean)[0] > spec.context - wordpiece.SPECIAL_TOKENS
    return tokens.tokenize(text, spec)[0], cut


class Items(pipeline.Loader):
    """Sample number -> `pipeline.Sample` of an item, its media and texts by name.

    The sound of a film is its track, in a corpus that names no sound of its own. What decodes but
    shows or sounds nothing counts as absent, with a remark.

    Args:
      sources: corpora and their weights.
      by_modality: preprocessing of each modality; `present` has their order.
      texts: kind of text -> (a text -> its array, whether it was cut).
      seed: of the run.
      cache, drop_to: see `pipeline.Loader`.
      answers: most answers of a question that come at once, those of the largest weight; 1 draws
        one.
      numbered: whether samples say which item they are, a place in `references`.

    Raises:
      DataError: for a corpus without any of the modalities.
      ConfigError: as `pipeline.Loader`.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
        by_modality: Mapping[str, specs.Spec],
        texts: Mapping[str, Encode],
        *,
        seed: int,
        cache: bool = False,
        drop_to: int = 0,
        answers: int = 1,
        numbered: bool = False,
    ):
        self.specs, self.encoders = dict(by_modality), dict(texts)
        self.answers, self.numbered = answers, numbered
        first = next(iter(self.encoders))
        super().__init__(
            sources, NAME, None, first, self.encoders[first], seed=seed, drop_to=drop_to
        )
        self._kept = keeping.Kept(self.specs, cache)

    @property
    def items(self) -> int:
        """How many there are in all corpora; an item may have several rows, each a question."""
        return sum(
            len(getattr(source, "items", rows))
            for source, rows in zip(self._sources, self._rows, strict=True)
        )

    def load(
        self, corpus: int, number: int, rng: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], bool] | BadSample:
        """One row -> (media, texts, whether a text was cut), or why it cannot be used."""
        source, truncated = self._sources[corpus], False
        try:
            row = source[number]
        except errors.DataError as error:
            return BadSample(self.modality, error.path, error.reason)
        at, texts = f"{source.where}: {row.id}", {}
        where = at
        try:
            for kind, encode in self.encoders.items():
                where = f"{at}, {kind}"
                if kind == ANSWER and self.answers > 1:
                    texts |= (found := _answers(row, encode, self.answers))[0]
                    truncated |= found[1]
                    continue
                texts[kind], cut = encode(captions.draw_text(row, kind, rng)[0])
                truncated |= cut
            where = at
            media = files_of(row, "audio" not in source.modalities, rng)
            called = {name: name_of(file, f"{at}, {name}") for name, file in media.items()}
            key = (corpus, number, *map(str, media.values()))
            options = {"names": called, "refuses_empty": True}
            decode = functools.partial(items.decode, media, self.specs, rng, **options)
            decoded = self._kept.get(key, decode)
            item = items.transform(decoded, self.specs, rng)
            if self.numbered:
                before = sum(map(len, self._rows[:corpus]))
                texts[ITEM] = np.int32(before + np.searchsorted(self._rows[corpus], number))
        except errors.DataError as error:
            named = error.path if where == at else where
            return BadSample(self.modality, named, error.reason)
        present = np.array([item.present[name] for name in self.specs])
        return {**item.arrays, PRESENT: present}, texts, truncated

    def references(self, kind: str) -> list[list[np.ndarray]]:
        """Of every item its texts of a kind, as they are encoded.

        Raises:
          DataError: for a row that cannot be read.
        """
        encode = self.encoders[kind]
        return [
            [encode(text)[0] for text in captions.all_texts(source[int(number)], kind)]
            for source, rows in zip(self._sources, self._rows, strict=True)
            for number in rows
        ]

    def texts(self) -> Iterator[str]:
        """Every text that a sample may have."""
        for source, rows in zip(self._sources, self._rows, strict=True):
            for number in rows:
                row = source[int(number)]
                for kind in self.encoders:
                    yield from captions.all_texts(row, kind)

    def _usable(self, source: Source) -> np.ndarray:
        having = [np.asarray(source.having(name), np.int64) for name in self.specs]
        rows = np.unique(np.concatenate(having))
        if not len(rows):
            raise errors.DataError(
                source.where,
                f"has no row with {' or '.join(self.specs)}; it has "
                f"{', '.join(source.modalities)}. Add files of them, or give another corpus",
            )
        return rows


def _answers(row: Row, encode: Encode, most: int) -> tuple[dict[str, np.ndarray], bool]:
    """The answers of a question, the heaviest first, with their weights; and whether one was cut.

    Those that it has not are its last one again, of no weight.
    """
    if not (given := captions.all_texts(row, ANSWER)):
        raise errors.DataError(row.id, "is a question without an answer; add it or drop the row")
    weights = np.array(row.weights or (1.0,) * len(given), np.float32)
    chosen = np.argsort(-weights, kind="stable")[:most]
    encoded = [encode(given[one]) for one in chosen]
    ids = np.stack([one for one, _ in encoded])
    lacking = most - len(chosen)
    texts = {
        ANSWER: np.pad(ids, ((0, lacking), (0, 0)), mode="edge"),
        ANSWER_WEIGHTS: np.pad(weights[chosen], (0, lacking)),
    }
    return texts, any(cut for _, cut in encoded)


def files_of(row: Row, is_own_sound: bool, rng: np.random.Generator) -> dict[str, Ref]:
    """A file for each modality; of several, one for each frame, a drawn one.

    Args:
      row: of a corpus.
      is_own_sound: whether a film's track is its sound, where the row names no other.
      rng: random generator; a draw for each modality.
    """
    found = {}
    for name, files in row.media.items():
        found[name] = files[int(rng.random() * len(files))]
    film = found.get("video")
    if is_own_sound and "audio" not in found and _is_film(film):
        found["audio"] = film
    return found


def _is_film(file: Ref | None) -> bool:
    """Whether a file may have a sound track: no stills of a clip, no picture."""
    if isinstance(file, Path):
        return file.suffix.lower() in MODALITIES["video"].suffixes
    return isinstance(file, bytes)
