"""Embedders whose vectors are known, for the suite: right, wrong in one place, or meaningless.

They decode the real files. Which item a file is they tell by its content, so that a file put in the
place of another is taken for what it shows.
"""

import dataclasses
import hashlib
from collections.abc import Collection, Mapping

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.evaluation.benchmarks.splits import Split
from lb_jax.evaluation.benchmarks.table import Benchmark
from lb_jax.media import clips as clip_lib
from lb_jax.media import specs
from lb_jax.text import readers
from lb_jax.text.spec import TextSpec

CLASSES_FROM = 16  # axes of items lie below, of classes above
WIDTH = CLASSES_FROM + 1000


@dataclasses.dataclass(frozen=True)
class Embedded:
    """As `lb_jax.inference.embedder.Embedded`."""

    rows: np.ndarray
    failed: Mapping[int, str]


class Planted:
    """Items point along an axis of their own and along those of their classes; so do their texts.

    Args:
      split: the whole data set; its files are looked at once.
      row: of the table of benchmarks.
      swapped: item -> the item whose vector its media get instead.
    """

    modalities = tuple(MODALITIES)
    logit_scale = dict.fromkeys(MODALITIES, 4.0)
    reader = readers.Pieces(TextSpec())

    def __init__(self, split: Split, row: Benchmark, swapped: Mapping[str, str] | None = None):
        self.split, self.swapped, self.decoded = split, swapped or {}, []
        prompts = row.prompts.texts() if row.prompts else {}
        self._class = {label: CLASSES_FROM + i for i, label in enumerate(prompts)}
        self._meaning = {
            text: [self._class[label]] for label, texts in prompts.items() for text in texts
        }
        self._item = {id_: i for i, id_ in enumerate(split.ids)}
        for id_, texts in split.texts.items():
            for text in texts:
                self._meaning.setdefault(text, []).append(self._item[id_])
        self._looks = {
            name: [(id_, _look(name, clip)) for id_, clip in clips.items()]
            for name, clips in split.media.items()
        }

    def media(self, modality, clips, views=None):
        count = views.temporal * views.spatial if views else 1
        rows, failed = np.full((len(clips), count, WIDTH), np.nan, np.float32), {}
        for i, clip in enumerate(clips):
            self.decoded.append((modality, clip))
            try:
                seen = _look(modality, clip)
            except errors.DataError as error:
                failed[i] = str(error)
                continue
            id_ = min(self._looks[modality], key=lambda one: np.abs(one[1] - seen).sum())[0]
            rows[i] = self.item(self.swapped.get(id_, id_))
        return Embedded(rows, failed)

    def item(self, id_: str) -> np.ndarray:
        axes = [self._item[id_], *(self._class[label] for label in self.split.labels.get(id_, ()))]
        return _axes(axes)

    def texts(self, texts):
        return np.stack([_axes(self._meaning[text]) for text in texts])


class Writes:
    """Writes the first caption of people and the right answer, and scores a pair 1 or 0.

    Args:
      split: the whole data set.
      wrong: items of which it writes, and scores, what is another item's.
    """

    groups: tuple[str, ...] = ("tv", "ta", "tva")
    temperature = 0.1

    def __init__(self, split: Split, wrong: Collection[str] = ()):
        self._split, self.asked = split, []
        shown = {id_: split.ids[i - 1] if id_ in wrong else id_ for i, id_ in enumerate(split.ids)}
        self._seen = {
            (name, clip.path): shown[id_]
            for name, clips in split.media.items()
            for id_, clip in clips.items()
        }

    def caption(self, group, items, **options):
        return [self._split.texts[id_][0] for id_ in self._see(group, items)]

    def answer(self, items, questions, *, group):
        found = []
        for id_, text in zip(self._see(group, items), questions, strict=True):
            answers = {one.text: one.answer for one in self._split.questions[id_]}
            found.append(answers.get(text, "something else"))
        return found

    def score(self, texts, items, *, group):
        own = [self._split.texts[id_] for id_ in self._see(group, items)]
        return np.array([[float(text in one) for one in own] for text in texts])

    def _see(self, group, items):
        self.asked.append((group, len(items)))
        for item in items:
            for name, clip in item.items():
                clip_lib.decode(name, clip, specs.preset(name))
        first = [next(iter(item.items())) for item in items]
        return [self._seen[name, clip.path] for name, clip in first]


class Meaningless(Planted):
    """Every file and every text has a direction that depends on nothing but its name and a seed."""

    def __init__(self, split: Split, row: Benchmark, seed: int = 0):
        del split, row
        self.seed = seed

    def media(self, modality, clips, views=None):
        count = views.temporal * views.spatial if views else 1
        names = [f"{modality} {clip}" for clip in clips]
        rows = np.stack([self._draw(f"{name} {v}") for name in names for v in range(count)])
        return Embedded(rows.reshape(len(clips), count, -1), {})

    def texts(self, texts):
        return np.stack([self._draw(text) for text in texts])

    def _draw(self, name: str) -> np.ndarray:
        digest = hashlib.sha256(f"{self.seed} {name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8])).normal(size=32).astype(np.float32)


def _axes(axes) -> np.ndarray:
    vector = np.zeros(WIDTH, np.float32)
    vector[axes] = 1
    return 3 * vector  # not a unit row: scoring has to see to that


def _look(modality: str, clip) -> np.ndarray:
    """A few numbers that tell one file of a miniature from the others."""
    decoded = clip_lib.decode(modality, clip, specs.preset(modality)).astype(np.float64)
    if modality == "audio":
        return decoded.mean(0)
    return decoded.reshape(-1, decoded.shape[-1]).mean(0)
