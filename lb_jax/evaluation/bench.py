"""One data set under one model: its rows as they are asked for, and the tasks on them.

An item that lacks a modality of a task, or whose file cannot be decoded, takes no part in that
task; it is listed among the problems by name, and the number of items stands beside every figure.
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
from lb_jax.data import tokenizer
from lb_jax.data.clips import Clip, Views
from lb_jax.evaluation import health, metrics, protocols, scoring, zero_shot
from lb_jax.evaluation.benchmarks import Benchmark, Settings, Task
from lb_jax.evaluation.protocols import Outcome
from lb_jax.evaluation.splits import ANNOTATION, TRUNCATED, UNREADABLE, Problem, Split

HEALTH_ROWS = 2000  # an effective rank is of no more items: it costs the cube of the width


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

    def media(
        self, modality: str, clips: Sequence[Clip], views: Views | None = None
    ) -> Embedded: ...

    def texts(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """One task of one benchmark.

    Attributes:
      task: what was asked.
      ids: the items that took part.
      outcome: figures.
      drop_one: modality -> outcome without it, on the same items; of tasks with a fused side.
      queries, targets: the rows that were compared, `[q, e]` and `[m, e]`; of several views the
        mean.
      owner: int, the item of each row of the side of captions; None without captions.
    """

    task: Task
    ids: tuple[str, ...]
    outcome: Outcome
    drop_one: dict[str, Outcome]
    queries: np.ndarray
    targets: np.ndarray
    owner: np.ndarray | None = None


# outcome, query rows, target rows, the item of each caption
_Compared = tuple[Outcome, np.ndarray, np.ndarray, np.ndarray | None]
_Protocol = Callable[["Bench", Task, Sequence[str]], _Compared]


class Bench:
    """A split, its embeddings as they are asked for, and the tasks on them."""

    def __init__(
        self, embedder: Embedder, name: str, row: Benchmark, split: Split, settings: Settings
    ):
        self.name, self.row, self.settings = name, row, settings
        texts, self.found = _usable(split)
        self.split = dataclasses.replace(split, texts=texts)
        self._embedder = embedder
        self._media: dict[str, dict[str, np.ndarray]] = collections.defaultdict(dict)
        self._failed: dict[str, set[str]] = collections.defaultdict(set)
        self._texts: dict[str, np.ndarray] = {}
        self._prompts = row.prompts.texts() if row.prompts else {}
        self.classes = tuple(self._prompts)
        self._column = {label: i for i, label in enumerate(self.classes)}

    def obstacle(self, task: Task) -> str | None:
        """Why a task cannot be run; None if it can."""
        for modality in task.media:
            if modality not in self._embedder.modalities:
                return f"the model has no {modality}"
            if not self.split.media.get(modality):
                return f"no file of {modality}"
        usable = len(self._ids(task))
        if usable < 2:
            return f"{usable} items have all of it, expected at least 2"
        return None

    def run(self, task: Task) -> TaskResult:
        """Runs a task that meets no obstacle."""
        ids = self._ids(task)
        protocol = self._protocol(task)
        outcome, queries, targets, owner = protocol(self, task, ids)
        smaller = {name: task.without(name) for name in task.query + task.target}
        drop_one = {name: protocol(self, less, ids)[0] for name, less in smaller.items() if less}
        return TaskResult(task, tuple(ids), outcome, drop_one, queries, targets, owner)

    def _protocol(self, task: Task) -> "_Protocol":
        if (TEXT,) not in (task.query, task.target):
            return _partners
        if self.row.prompts:
            return _several_classes if self.row.several else _classes
        return _pairs if self.row.pairs else _captions

    def _ids(self, task: Task) -> list[str]:
        """The items that have everything a task needs, in the order of the annotation."""
        ids = self.split.ids
        if task.share < 1:  # of the annotation, so that a missing file changes no other's place
            by_hash = sorted(
                ids, key=lambda id_: hashlib.sha256(f"{self.name}/{id_}".encode()).hexdigest()
            )
            chosen = set(by_hash[: math.ceil(task.share * len(ids))])
            ids = [id_ for id_ in ids if id_ in chosen]
        if TEXT in task.query + task.target:
            said = self.split.labels if self.row.prompts else self.split.texts
            ids = [id_ for id_ in ids if id_ in said]
        clips = [self.split.media.get(name, {}) for name in task.media]
        ids = [id_ for id_ in ids if all(id_ in one for one in clips)]
        for name in task.media:
            self._embed(name, ids)
        return [id_ for id_ in ids if all(id_ in self._media[name] for name in task.media)]

    def _embed(self, modality: str, ids: Sequence[str]) -> None:
        """Fills `_media` with the rows `[v, e]` as scored of what is new and can be decoded."""
        known = self._media[modality].keys() | self._failed[modality]
        new = [id_ for id_ in ids if id_ not in known]
        if not new:
            return
        clips = [self.split.media[modality][id_] for id_ in new]
        views = self.row.views if modality == "video" else None
        embedded = self._embedder.media(modality, clips, views)
        for i, reason in embedded.failed.items():
            self._failed[modality].add(new[i])
            self.found.append(Problem(UNREADABLE, new[i], f"{reason}; left out", modality))
        scored = scoring.SCORINGS[self.settings.scoring]
        for i, (id_, rows) in enumerate(zip(new, embedded.rows, strict=True)):
            if i not in embedded.failed:
                self._media[modality][id_] = scored(rows)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Rows float32 `[n, e]` as scored."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            rows = scoring.SCORINGS[self.settings.scoring](self._embedder.texts(new))
            self._texts |= dict(zip(new, rows, strict=True))
        return np.stack([self._texts[text] for text in texts])

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """Class weights float32 `[c, e]`; unit rows in either scoring, as in the original."""
        self.texts([text for texts in self._prompts.values() for text in texts])  # all at once
        return zero_shot.class_weights([self.texts(texts) for texts in self._prompts.values()])

    def health(self) -> dict[str, dict[str, float]]:
        """Of each modality that was embedded, on up to `HEALTH_ROWS` items."""
        rows = {
            name: [one.mean(0) for one in items.values()] for name, items in self._media.items()
        }
        rows[TEXT] = list(self._texts.values())
        some = {name: _spread(one) for name, one in rows.items() if len(one) > 1}
        found = {
            name: {
                "effective_rank": health.effective_rank(one),
                "uniformity": health.uniformity(one),
            }
            for name, one in some.items()
        }
        for name in some.keys() - {TEXT} if TEXT in some else ():
            found[name]["gap_to_text"] = health.modality_gap(some[name], some[TEXT])
        return found

    def side(self, names: Sequence[str], other: Sequence[str], ids: Sequence[str]) -> np.ndarray:
        """Rows `[n, v, e]` of a side, its modalities fused."""
        parts = {}
        for name in names:
            if name == TEXT:
                parts[name] = self._said(ids)[:, None]
            else:
                parts[name] = np.stack([self._media[name][id_] for id_ in ids])
        return scoring.fuse(parts, other, self.settings.fusion, self._embedder.logit_scale)

    def _said(self, ids: Sequence[str]) -> np.ndarray:
        """One row of text for each item `[n, e]`: of its class, or of its captions together."""
        if self.row.prompts:
            return self.weights[[self._column[self.split.labels[id_][0]] for id_ in ids]]
        return zero_shot.class_weights([self.texts(self.split.texts[id_]) for id_ in ids])

    def captions(self, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of all captions `[k, e]`, the item of each, and a number for each distinct text."""
        texts = [text for id_ in ids for text in self.split.texts[id_]]
        owner = np.repeat(np.arange(len(ids)), [len(self.split.texts[id_]) for id_ in ids])
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        return self.texts(texts), owner, np.array([number[text] for text in texts])

    def labels(self, ids: Sequence[str]) -> np.ndarray:
        """Bool `[n, c]`."""
        found = np.zeros((len(ids), len(self.classes)), bool)
        for row, id_ in zip(found, ids, strict=True):
            row[[self._column[label] for label in self.split.labels[id_]]] = True
        return found

    def alike(self) -> np.ndarray:
        """Int `[c]`, equal for classes whose prompts are the same."""
        number = {}
        return np.array(
            [number.setdefault(tuple(texts), len(number)) for texts in self._prompts.values()]
        )

    @property
    def logit_scale(self) -> Mapping[str, float]:
        return self._embedder.logit_scale


def _usable(split: Split) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """Captions that can be tokenised by item, and what is wrong with the others or cut short."""
    texts, problems = {}, []
    for id_, captions in split.texts.items():
        kept, cut = [], 0
        for caption in captions:
            try:
                cut += tokenizer.count_truncated(caption)
            except errors.DataError as error:
                problems.append(Problem(ANNOTATION, id_, f"a text {error.reason}; left out", TEXT))
            else:
                kept.append(caption)
        if kept:
            texts[id_] = tuple(kept)
        if cut:
            reason = f"{cut} of {len(captions)} texts are longer than the context, and cut"
            problems.append(Problem(TRUNCATED, id_, reason, TEXT))
    return texts, problems


def _captions(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    texts, owner, same = bench.captions(ids)
    if task.query == (TEXT,):
        items = bench.side(task.target, task.query, ids)[:, 0]
        return protocols.find_items(texts, owner, items), texts, items, owner
    items = bench.side(task.query, task.target, ids)[:, 0]
    return protocols.find_texts(items, texts, owner, same), items, texts, owner


def _classes(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    items, weights = bench.side(task.query, task.target, ids), bench.weights
    labels = bench.labels(ids).argmax(1)
    return protocols.classify(items, weights, labels, bench.alike()), items.mean(1), weights, None


def _several_classes(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    items, weights = bench.side(task.query, task.target, ids), bench.weights
    outcome = protocols.rank_several(items, weights, bench.labels(ids))
    return outcome, items.mean(1), weights, None


def _pairs(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    items = bench.side(task.query, task.target, ids)[:, 0]
    texts, owner, _ = bench.captions(ids)
    scale = math.exp(bench.logit_scale[task.query[0]])
    return protocols.show_pairs(items, texts, scale), items, texts, owner


def _partners(bench: Bench, task: Task, ids: Sequence[str]) -> _Compared:
    queries = bench.side(task.query, task.target, ids)[:, 0]
    targets = bench.side(task.target, task.query, ids)[:, 0]
    return protocols.find_partners(queries, targets), queries, targets, None


def _spread(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Up to `HEALTH_ROWS` of the rows, evenly from all of them, as unit rows."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), HEALTH_ROWS)).astype(int)
    return metrics.unit(np.stack([rows[i] for i in places]))
