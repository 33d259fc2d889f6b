"""One data set under one model: its rows as they are asked for, and the tasks on them.

An item that lacks a modality of a task, or whose file cannot be decoded, takes no part in that
task; it is listed among the problems by name, and the number of items stands beside every figure.
A class whose prompts the model cannot read is never chosen: its items count, as wrong.
"""

import collections
import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.core.words import counted
from lb_jax.evaluation.benchmarks import protocols
from lb_jax.evaluation.benchmarks.protocols import Outcome
from lb_jax.evaluation.benchmarks.splits import (
    ANNOTATION,
    DUPLICATE,
    TRUNCATED,
    UNREADABLE,
    Problem,
    Split,
)
from lb_jax.evaluation.benchmarks.table import Benchmark, Settings, Task
from lb_jax.evaluation.metrics import retrieval, scoring, zero_shot
from lb_jax.media.clips import Clip, Views
from lb_jax.text.readers import Reader

SAMPLED = 2000  # items of a modality that its health is told of


class Embedded(Protocol):
    """What `Embedder.media` returns.

    Attributes:
      rows: float32 `[n, v, e]`, not normalised; NaN where a clip failed.
      failed: place of a clip -> why it cannot be decoded.
    """

    rows: np.ndarray
    failed: Mapping[int, str]


class Embedder(Protocol):
    """A model that embeds each clip and text once, see `lb_jax.inference.embedder`."""

    modalities: tuple[str, ...]
    logit_scale: Mapping[str, float]

    @property
    def reader(self) -> Reader:
        """How it reads texts."""
        ...

    def media(self, modality: str, clips: Sequence[Clip], views: Views | None = None) -> Embedded:
        """Rows of clips of one modality, of several views where `views` asks for them."""
        ...

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Rows float32 `[n, e]` of texts, not normalised."""
        ...


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """One task of one benchmark.

    Attributes:
      task: what was asked.
      ids: the items that took part.
      asked: how many items the task is about.
      outcome: figures.
      drop_one: modality -> outcome without it, on the same items; of tasks with a fused side.
      queries, targets: the rows that were compared, `[q, e]` and `[m, e]`; of several views the
        mean.
      owner: int, the item of each row of the side of captions; None without captions.
    """

    task: Task
    ids: tuple[str, ...]
    asked: int
    outcome: Outcome
    drop_one: dict[str, Outcome]
    queries: np.ndarray
    targets: np.ndarray
    owner: np.ndarray | None = None

    def similarity(self, first: int, count: int) -> np.ndarray:
        """Scores `[count, m]` of queries from the first on; of rows their dot product."""
        return scoring.cosine(self.queries[first : first + count], self.targets)


# outcome, query rows, target rows, the item of each caption
_Compared = tuple[Outcome, np.ndarray, np.ndarray, np.ndarray | None]
_Protocol = Callable[["Bench", Task, Sequence[str]], _Compared]


class Bench:
    """A split, its embeddings as they are asked for, and the tasks on them.

    Args:
      embedder: the model; None where it gives no vectors, and every task meets that obstacle.
      name: of the row of the table, by which shares of the items are chosen.
      row: what is asked.
      split: the data set.
      settings: how to score.

    Attributes:
      split: as given, without the captions that cannot be tokenised.
      found: problems that came up so far.
      classes: labels on disk in the order of the columns; empty with captions.
    """

    def __init__(
        self,
        embedder: Embedder | None,
        name: str,
        row: Benchmark,
        split: Split,
        settings: Settings,
    ):
        self.name, self.row, self.settings = name, row, settings
        texts, self.found = _usable(split, embedder) if embedder else (split.texts, [])
        self.split = dataclasses.replace(split, texts=texts)
        self._model = embedder
        self._media: dict[str, dict[str, np.ndarray]] = collections.defaultdict(dict)
        self._failed: dict[str, set[str]] = collections.defaultdict(set)
        self._alike: dict[tuple[str, bytes], str] = {}  # modality, hash of rows -> first item
        self._texts: dict[str, np.ndarray] = {}
        self._prompts = row.prompts.texts() if row.prompts else {}
        self.classes = tuple(self._prompts)
        self._column = {label: i for i, label in enumerate(self.classes)}

    @property
    def _embedder(self) -> Embedder:
        if self._model is None:
            raise errors.InternalError("a task was run that meets an obstacle")
        return self._model

    def obstacle(self, task: Task) -> str | None:
        """Why a task cannot be run; None if it can."""
        if self._model is None:
            return f"this model gives no vectors ({task}); an encoder does, such as LanguageBind"
        for modality in task.media:
            if modality not in self._model.modalities:
                return f"the model has no {modality}"
            if not self.split.media.get(modality):
                return f"no file of {modality}"
        if TEXT in task.query + task.target and self.row.prompts and not any(self._spoken.values()):
            return "the model can read the prompts of no class"
        usable = len(self._ids(task))
        if usable >= 2:
            return None
        bad = [one for one in self.found if one.kind == UNREADABLE and one.modality in task.media]
        why = [f"; {one.modality} of {one.name}: {one.reason}" for one in bad[:1]]
        return f"{counted(usable, 'item')} with all of it, expected at least 2{''.join(why)}"

    def run(self, task: Task) -> TaskResult:
        """Runs a task that meets no obstacle."""
        ids = self._ids(task)
        protocol = self._protocol(task)
        outcome, queries, targets, owner = protocol(self, task, ids)
        smaller = {name: task.without(name) for name in task.query + task.target}
        drop_one = {name: protocol(self, less, ids)[0] for name, less in smaller.items() if less}
        asked = len(self._chosen(task))
        return TaskResult(task, tuple(ids), asked, outcome, drop_one, queries, targets, owner)

    def _protocol(self, task: Task) -> "_Protocol":
        if (TEXT,) not in (task.query, task.target):
            return _partners
        if self.row.prompts:
            return _several_classes if self.row.several else _classes
        return _pairs if self.row.pairs else _captions

    def _chosen(self, task: Task) -> list[str]:
        """The items that a task is about, whether their files are there or not.

        Of a share of the items each is chosen by its own name, so that none moves another.
        """
        ids = self.split.ids
        if task.share < 1:
            ids = [id_ for id_ in ids if _fraction(f"{self.name}/{id_}") < task.share]
        return list(ids)

    def _ids(self, task: Task) -> list[str]:
        """The items that have everything a task needs, in the order of the annotation."""
        ids = self._chosen(task)
        if TEXT in task.query + task.target:
            said = self.split.labels if self.row.prompts else self.split.texts
            ids = [id_ for id_ in ids if id_ in said]
            if self.row.prompts and (TEXT,) not in (task.query, task.target):  # beside others
                ids = [id_ for id_ in ids if self._spoken[self.split.labels[id_][0]]]
        clips = [self.split.media.get(name, {}) for name in task.media]
        ids = [id_ for id_ in ids if all(id_ in one for one in clips)]
        for name in task.media:
            self._embed(name, ids)
        return [id_ for id_ in ids if all(id_ in self._media[name] for name in task.media)]

    def _embed(self, modality: str, ids: Sequence[str]) -> None:
        """Fills `_media` with the rows `[v, e]` of what is new and can be decoded."""
        known = self._media[modality].keys() | self._failed[modality]
        new = [id_ for id_ in ids if id_ not in known]
        if not new:
            return
        clips = [self.split.media[modality][id_] for id_ in new]
        views = self.row.views if modality == "video" else None
        embedded = self._embedder.media(modality, clips, views)
        for i, (id_, rows) in enumerate(zip(new, embedded.rows, strict=True)):
            if i in embedded.failed:
                self._failed[modality].add(id_)
                reason = f"{embedded.failed[i]}; left out"
                self.found.append(Problem(UNREADABLE, id_, reason, modality))
                continue
            self._media[modality][id_] = rows
            content = hashlib.sha256(rows.tobytes()).digest()
            first = self._alike.setdefault((modality, content), id_)
            if first != id_:
                reason = f"has the very embedding of {first}; the same content under two names?"
                self.found.append(Problem(DUPLICATE, id_, reason, modality))

    def texts(self, texts: Sequence[str], kind: str) -> np.ndarray:
        """Rows float32 `[n, e]` for a scoring of this kind."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            self._texts |= dict(zip(new, self._embedder.texts(new), strict=True))
        return scoring.SCORINGS[kind](np.stack([self._texts[text] for text in texts]))

    @functools.cached_property
    def _spoken(self) -> dict[str, list[str]]:
        """Label -> those of its prompts that the model can read; tells of the others."""
        found = {}
        for label, texts in self._prompts.items():
            found[label], wrong, _ = _sorted_out(texts, self._embedder.reader)
            if wrong:
                what = "goes by the others" if found[label] else "is never chosen"
                reason = (
                    f"{len(wrong)} of {counted(len(texts), 'prompt')} cannot be read (the first "
                    f"{wrong[0].partition(';')[0]}); the class {what}"
                )
                self.found.append(Problem(ANNOTATION, label, reason, TEXT))
        return found

    @functools.cached_property
    def _weights(self) -> np.ndarray:
        """Unit rows float32 `[c, e]` of the classes that can be read, in their order."""
        return self._mean_of(list(filter(None, self._spoken.values())), "cosine")

    def against_classes(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows of items `[n, v, e]` and classes as `zero_shot.against` has them."""
        return zero_shot.against(items, self._weights, [*map(bool, self._spoken.values())])

    def samples(self) -> dict[str, np.ndarray]:
        """Modality, text among them -> unit rows of up to `SAMPLED` items that were embedded."""
        rows = {
            name: [one.mean(0) for one in items.values()] for name, items in self._media.items()
        }
        rows[TEXT] = list(self._texts.values())
        return {name: _spread(one) for name, one in rows.items() if len(one) > 1}

    def side(
        self, names: Sequence[str], other: Sequence[str], ids: Sequence[str], kind: str
    ) -> np.ndarray:
        """Rows `[n, v, e]` of a side for a scoring of this kind, its modalities fused."""
        parts = {}
        for name in names:
            if name == TEXT:
                parts[name] = self._said(ids, kind)[:, None]
            else:
                rows = np.stack([self._media[name][id_] for id_ in ids])
                flat = rows.reshape(-1, rows.shape[-1])
                parts[name] = scoring.SCORINGS[kind](flat).reshape(rows.shape)
        return scoring.fuse(parts, other, self.settings.fusion, self._embedder.logit_scale)

    def _said(self, ids: Sequence[str], kind: str) -> np.ndarray:
        """One row of text for each item `[n, e]`: of its class, or of its captions together."""
        if not self.row.prompts:
            return self._mean_of([self.split.texts[id_] for id_ in ids], kind)
        labels = [self.split.labels[id_][0] for id_ in ids]
        some = {label: i for i, label in enumerate(dict.fromkeys(labels))}
        rows = self._mean_of([self._spoken[label] for label in some], kind)
        return rows[[some[label] for label in labels]]

    def _mean_of(self, groups: Sequence[Sequence[str]], kind: str) -> np.ndarray:
        """The mean row of each group of texts, `[n, e]`; by cosine a unit row again."""
        self.texts([text for texts in groups for text in texts], kind)  # all at once
        means = [self.texts(texts, kind).mean(0) for texts in groups]
        return scoring.SCORINGS[kind](np.stack(means))

    def captions(self, ids: Sequence[str], kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of all captions `[k, e]`, the item of each, and a number for each distinct text."""
        texts = [text for id_ in ids for text in self.split.texts[id_]]
        owner = np.repeat(np.arange(len(ids)), [len(self.split.texts[id_]) for id_ in ids])
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        return self.texts(texts, kind), owner, np.array([number[text] for text in texts])

    def labels(self, ids: Sequence[str]) -> np.ndarray:
        """Bool `[n, c]`."""
        found = np.zeros((len(ids), len(self.classes)), bool)
        for row, id_ in zip(found, ids, strict=True):
            row[[self._column[label] for label in self.split.labels[id_]]] = True
        return found

    def alike_items(self, ids: Sequence[str]) -> np.ndarray:
        """Int `[n]`, equal for items whose captions are the same, from 0 on without gaps."""
        number: dict[tuple[str, ...], int] = {}
        return np.array([number.setdefault(self.split.texts[id_], len(number)) for id_ in ids])

    def alike(self) -> np.ndarray:
        """Int `[c]`, equal for classes whose prompts are the same."""
        number = {}
        return np.array(
            [number.setdefault(tuple(texts), len(number)) for texts in self._prompts.values()]
        )

    @property
    def logit_scale(self) -> Mapping[str, float]:
        """Modality -> log of its inverse temperature, of the model."""
        return self._embedder.logit_scale


def _usable(split: Split, embedder: Embedder) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """Captions that the model can read by item, and what is wrong with the others or cut short."""
    texts, problems = {}, []
    for id_, captions in split.texts.items():
        kept, wrong, cut = _sorted_out(captions, embedder.reader)
        problems += [Problem(ANNOTATION, id_, f"a text {why}; left out", TEXT) for why in wrong]
        if kept:
            texts[id_] = tuple(kept)
        if cut:
            reason = f"{cut} of {counted(len(captions), 'text')} longer than the context, and cut"
            problems.append(Problem(TRUNCATED, id_, reason, TEXT))
    return texts, problems


def _sorted_out(texts: Sequence[str], reader: Reader) -> tuple[list[str], list[str], int]:
    """Texts that can be read, why the others cannot, and how many are longer than the context."""
    kept, wrong, cut = [], [], 0
    for text in texts:
        try:
            cut += reader.is_cut(text)
        except errors.DataError as error:
            wrong.append(error.reason)
        else:
            kept.append(text)
    return kept, wrong, cut


def _captions(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    kind = bench.settings.scoring
    if bench.settings.dual_softmax == "on":
        return _by_dual_softmax(bench, task, ids)
    texts, owner, same = bench.captions(ids, kind)
    if task.query == (TEXT,):
        items = bench.side(task.target, task.query, ids, kind)[:, 0]
        alike = bench.alike_items(ids) if bench.row.by_caption else None
        return protocols.find_items(texts, owner, items, alike), texts, items, owner
    items = bench.side(task.query, task.target, ids, kind)[:, 0]
    return protocols.find_texts(items, texts, owner, same), items, texts, owner


def _by_dual_softmax(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    """As `_captions`, of the whole matrix of cosines."""
    texts, owner, same = bench.captions(ids, "cosine")
    to_items = task.query == (TEXT,)
    sides = (task.target, task.query) if to_items else (task.query, task.target)
    items = bench.side(*sides, ids, "cosine")[:, 0]
    scales = [bench.logit_scale[name] for name in task.media]
    temperature = math.exp(-sum(scales) / len(scales))
    both = retrieval.weighted(scoring.cosine(texts, items), temperature)
    outcome = protocols.find_by_score(both[not to_items], owner, same, items=to_items)
    return (outcome, texts, items, owner) if to_items else (outcome, items, texts, owner)


# The original compares unit rows wherever there are classes, and in its samples.


def _classes(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    items, weights = bench.against_classes(bench.side(task.query, task.target, ids, "cosine"))
    labels = bench.labels(ids).argmax(1)
    return protocols.classify(items, weights, labels, bench.alike()), items.mean(1), weights, None


def _several_classes(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    items, weights = bench.against_classes(bench.side(task.query, task.target, ids, "cosine"))
    outcome = protocols.rank_several(items, weights, bench.labels(ids))
    return outcome, items.mean(1), weights, None


def _pairs(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    items = bench.side(task.query, task.target, ids, "cosine")[:, 0]
    texts, owner, _ = bench.captions(ids, "cosine")
    scale = math.exp(bench.logit_scale[task.query[0]])
    return protocols.show_pairs(items, texts, scale), items, texts, owner


def _partners(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    kind = bench.settings.scoring
    queries = bench.side(task.query, task.target, ids, kind)[:, 0]
    targets = bench.side(task.target, task.query, ids, kind)[:, 0]
    return protocols.find_partners(queries, targets), queries, targets, None


def _fraction(name: str) -> float:
    """A number from 0 to 1 that is as good as drawn, and always the same."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def _spread(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Up to `SAMPLED` of the rows, evenly from all of them, as unit rows."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), SAMPLED)).astype(int)
    return scoring.unit(np.stack([rows[i] for i in places]))
