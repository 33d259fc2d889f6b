"""Films -> batches of clips in sync with their sound and with what is said about then.

As `items`, but a sample is a stretch of a film at a drawn place, `{"media": {modality: [b, ...],
"present": [b, m]}, "text": {"narration": [b, k, n], "narration_present": [b, k]}}`: the K
narrations nearest in time, padded with texts of zeros (MMV spec 2).
"""

import contextlib
import functools
import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lb_jax.core import errors
from lb_jax.corpora import narrations
from lb_jax.corpora.quarantine import BadSample
from lb_jax.corpora.rows import Source, name_of
from lb_jax.feed import items, keeping, pipeline
from lb_jax.media import items as media_items
from lb_jax.media import specs, stretches

NARRATION, NARRATION_PRESENT = "narration", "narration_present"
UNREAD = "has narrations without a word that is known, which are left out"


class Films(items.Items):
    """Sample number -> `pipeline.Sample` of a stretch of a film.

    Args:
      sources: corpora and their weights.
      by_modality: preprocessing of "video" and what else is taken; `present` has their order.
      encode: a narration -> (int32 [n], whether it was cut). One that it raises `DataError` for,
        such as one without a known word, counts as none, with a remark.
      words: n.
      seed: of the run; with a sample's number it decides row, place, crop and colours.
      clip_s: length of a stretch.
      candidates: K; 0 reads no narrations. How many films have none is told once, here.
      needs: modalities without which a film is of no use, such as "audio".
      cache, drop_to: see `pipeline.Loader`; a cache is for films that are no longer than a stretch.

    Raises:
      DataError: for a corpus without films.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
        by_modality: Mapping[str, specs.Spec],
        encode: items.Encode,
        *,
        words: int,
        seed: int,
        clip_s: float = 3.2,
        candidates: int = 5,
        needs: Sequence[str] = (),
        cache: bool = False,
        drop_to: int = 0,
    ):
        options = {"seed": seed, "cache": cache, "drop_to": drop_to}
        super().__init__(sources, by_modality, {NARRATION: encode}, **options)
        self._words, self.clip_s, self.candidates = words, clip_s, candidates
        self.needs = tuple(needs)
        self._keeps, self._lengths = cache, keeping.Kept({}, cache)
        for source, rows in zip(self._sources, self._rows, strict=True) if candidates else ():
            if told := narrations.without(source, rows):
                warnings.warn(errors.DataWarning(source.where, told), stacklevel=2)

    def load(
        self, corpus: int, number: int, rng: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], bool] | BadSample:
        """One row -> (media, texts, whether a text was cut), or why it cannot be used."""
        source = self._sources[corpus]
        try:
            row = source[number]
            files = items.files_of(row, "audio" not in source.modalities, rng)
            files = {name: file for name, file in files.items() if name in self.specs}
            at = f"{source.where}: {row.id}"
            called = {name: name_of(file, f"{at}, {name}") for name, file in files.items()}
            if "video" not in files:
                raise errors.DataError(at, "has no film; add it, or drop the row")
            key = (corpus, number, *map(str, files.values()))
            film_s = self._lengths.get(key, lambda: stretches.length_s(files["video"]))
            start_s = stretches.drawn(film_s, self.clip_s, rng.random())
            cut = stretches.cut(files, start_s, self.clip_s)
            options = {"names": called, "refuses_empty": True}
            decode = functools.partial(media_items.decode, cut, self.specs, rng, **options)
            if self._keeps and film_s > self.clip_s:
                raise errors.ConfigError(
                    f"data.cache is 'memory', and {called['video']} lasts {film_s:g} s, of which "
                    f"each sample has other {self.clip_s:g} s; expected no cache, set "
                    "data.cache=none."
                )
            decoded = self._kept.get(key, decode)
            for name in self.needs:
                if name not in decoded.arrays:
                    path, why = decoded.absent.get(name, (at, f"has no {name}"))
                    raise errors.DataError(
                        path, f"{why}; this training needs {name}, leave the film out"
                    )
            item = media_items.transform(decoded, self.specs, rng)
            said = narrations.read(row) if self.candidates else None
            bag = narrations.bag(said, start_s, start_s + self.clip_s, self.candidates)
            texts, truncated = self._encoded(row.id, bag)
        except errors.DataError as error:
            return BadSample(self.modality, error.path, error.reason)
        present = np.array([item.present[name] for name in self.specs])
        return {**item.arrays, items.PRESENT: present}, texts, truncated

    def texts(self) -> Iterator[str]:
        """Every narration that a sample may have."""
        for source, rows in zip(self._sources, self._rows, strict=True):
            for number in rows:
                found = source[int(number)].narrations
                yield from () if found is None else found.read().texts

    def identity(self) -> list[dict[str, Any]]:
        """As `pipeline.Loader.identity`, and a hash of what some films' narrations are read as."""
        return [
            {**told, "narrations": self._digest(source, rows)} if self.candidates else told
            for told, source, rows in zip(
                super().identity(), self._sources, self._rows, strict=True
            )
        ]

    def _digest(self, source: Source, rows: np.ndarray) -> str:
        total = hashlib.sha256()
        for place in np.linspace(0, len(rows) - 1, min(len(rows), pipeline.IDENTIFYING)):
            with contextlib.suppress(errors.DataError):  # told of when the row is loaded
                told = source[int(rows[int(place)])].narrations
                for text in () if told is None else told.read().texts:
                    with contextlib.suppress(errors.DataError):
                        total.update(self.encoders[NARRATION](text)[0].tobytes())
        return total.hexdigest()

    def _encoded(self, at: str, bag: narrations.Bag) -> tuple[dict[str, np.ndarray], bool]:
        ids, truncated = np.zeros((self.candidates, self._words), np.int32), False
        present = bag.present.copy()
        for place in np.flatnonzero(present):
            try:
                ids[place], cut = self.encoders[NARRATION](bag.texts[place])
                truncated |= cut
            except errors.DataError:
                present[place] = False
                warnings.warn(errors.DataWarning(at, UNREAD), stacklevel=2)
        return {NARRATION: ids, NARRATION_PRESENT: present}, truncated
