"""Models that write and that score pairs: the tasks of a data set that take more than vectors.

An item is handed over as its files by modality. A file that cannot be decoded takes its item out of
the task, by name, as in `bench`; it is told by the model's `errors.DataError`.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.evaluation.benchmarks import protocols
from lb_jax.evaluation.benchmarks.bench import TaskResult
from lb_jax.evaluation.benchmarks.protocols import Outcome
from lb_jax.evaluation.benchmarks.splits import UNREADABLE, Problem, Split
from lb_jax.evaluation.benchmarks.table import (
    ANSWER,
    CAPTION,
    Benchmark,
    Settings,
    Task,
    Writing,
)
from lb_jax.evaluation.metrics import retrieval
from lb_jax.media.clips import Clip

Item = Mapping[str, Clip]  # modality -> its file

# modalities -> the group of VALOR that sees them beside text
GROUPS: Mapping[frozenset[str], str] = {
    frozenset({"video"}): "tv",
    frozenset({"image"}): "tv",
    frozenset({"audio"}): "ta",
    frozenset({"audio", "video"}): "tva",
}
T = TypeVar("T")
PART = 64  # items that are handed over at a time
Progress = Callable[[str, int, int], None]


class Writer(Protocol):
    """A model that writes captions and answers, and scores texts against items.

    Attributes:
      groups: that it was made for, some of `GROUPS`' values.
      temperature: its own, for a dual softmax.
    """

    groups: Sequence[str]
    temperature: float

    def caption(self, group: str, /, items: Sequence[Item], **options) -> list[str]:
        """A caption of each item, by what the group sees of it."""
        ...

    def answer(self, items: Sequence[Item], questions: Sequence[str], *, group: str) -> list[str]:
        """The answer to a question about each item."""
        ...

    def score(self, texts: Sequence[str], items: Sequence[Item], *, group: str) -> np.ndarray:
        """Scores `[texts, items]`; asked for parts of the items, always of the same texts."""
        ...


@dataclasses.dataclass(frozen=True)
class Line:
    """One text of a model.

    Attributes:
      id: its item.
      said: the text.
      references: those of people.
      figure: the headline's of this text alone.
      question: that it answers; "" for a caption.
    """

    id: str
    said: str
    references: tuple[str, ...]
    figure: float
    question: str = ""


@dataclasses.dataclass(frozen=True)
class WrittenResult:
    """What a model wrote, and how good it is.

    Attributes:
      task: what was asked.
      ids: the items that took part.
      asked: how many items the task is about.
      outcome: figures.
      lines: every text, in the order of the items.
      drop_one: nothing; as of `TaskResult`.
    """

    task: Writing
    ids: tuple[str, ...]
    asked: int
    outcome: Outcome
    lines: tuple[Line, ...]
    drop_one: Mapping[str, Outcome] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ScoredResult(TaskResult):
    """A retrieval task by scores of pairs: `[q, m]` instead of rows, which have no width."""

    scores: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))

    def similarity(self, first: int, count: int) -> np.ndarray:
        """Scores `[count, m]` of queries from the first on."""
        return self.scores[first : first + count]


class WritingBench:
    """A split and a model that writes.

    Args:
      writer: the model; None where there is none, and every task meets that obstacle.
      split: the data set.
      settings: how to score.
      progress: called with a task, the items that are through, and how many there are.

    Attributes:
      found: problems that came up so far.
    """

    def __init__(
        self,
        writer: Writer | None,
        split: Split,
        settings: Settings,
        progress: Progress = lambda what, done, total: None,
    ):
        self._writer, self._split, self._settings = writer, split, settings
        self._progress = progress
        self.found: list[Problem] = []
        self._failed: set[tuple[str, tuple[str, ...]]] = set()

    def scores(self, task: Task) -> bool:
        """Whether the model scores the pairs of a retrieval task of captions itself."""
        return self._writer is not None and _scores(task, self._writer.groups)

    def obstacle(self, task: Task | Writing) -> str | None:
        """Why a task cannot be run; None if it can."""
        if self._writer is None:
            return f"this model does not write ({task}); one with a decoder does, such as VALOR"
        if _group(task) not in self._writer.groups:
            has = ", ".join(self._writer.groups)
            return f"the model has no group {_group(task)} for {task}; it has {has}"
        for modality in task.media:
            if not self._split.media.get(modality):
                return f"no file of {modality}"
        return _too_few(self._having(task))

    def write(self, task: Writing) -> WrittenResult | str:
        """Runs a task that meets no obstacle; or says why it has no result after all."""
        return _WRITTEN[task.kind](self, task)

    def score(self, task: Task) -> ScoredResult | str:
        """Runs a retrieval task that meets no obstacle; or says why it has no result after all."""
        writer, every, group = self._model, self._having(task), _group(task)
        texts = [(id_, text) for id_ in every for text in self._split.texts[id_]]
        words = [text for _, text in texts]
        columns, ids = self._in_parts(
            task, every, lambda ids: writer.score(words, self._items(task, ids), group=group).T
        )
        if reason := _too_few(ids):
            return reason
        kept = {id_: i for i, id_ in enumerate(ids)}
        chosen = [row for row, (id_, _) in enumerate(texts) if id_ in kept]
        owner = np.array([kept[texts[row][0]] for row in chosen])
        number = {text: i for i, text in enumerate(dict.fromkeys(words))}
        same = np.array([number[words[row]] for row in chosen])
        to_items = task.query == (TEXT,)
        temperature = writer.temperature if self._settings.dual_softmax == "on" else None
        scores = retrieval.weighted(np.stack(columns, 1)[chosen], temperature)[not to_items]
        outcome = protocols.find_by_score(scores, owner, same, items=to_items)
        scores = scores if to_items else scores.T
        return ScoredResult(
            task=task,
            ids=tuple(ids),
            asked=len(self._split.texts),
            outcome=outcome,
            drop_one={},
            queries=np.zeros((len(scores), 0), np.float32),
            targets=np.zeros((scores.shape[1], 0), np.float32),
            owner=owner,
            scores=scores,
        )

    def captions(self, task: Writing) -> WrittenResult | str:
        """A caption of each item, as `write`."""
        writer, texts = self._model, self._split.texts
        said, ids = self._in_parts(
            task,
            self._having(task),
            lambda ids: writer.caption(_group(task), self._items(task, ids)),
        )
        if reason := _too_few(ids):
            return reason
        by_id = dict(zip(ids, said, strict=True))
        references = {id_: texts[id_] for id_ in ids}
        outcome, figures = protocols.caption(references, by_id, self._settings.scorers)
        lines = tuple(Line(id_, text, texts[id_], figures[id_]) for id_, text in by_id.items())
        return WrittenResult(task, tuple(ids), len(texts), outcome, lines)

    def answers(self, task: Writing) -> WrittenResult | str:
        """An answer to each question, as `write`."""
        writer, questions = self._model, self._split.questions

        def ask(ids: Sequence[str]) -> list[list[str]]:
            asked = [(id_, one.text) for id_ in ids for one in questions[id_]]
            items = self._items(task, [id_ for id_, _ in asked])
            said = writer.answer(items, [text for _, text in asked], group=_group(task))
            found: dict[str, list[str]] = {id_: [] for id_ in ids}
            for (id_, _), text in zip(asked, said, strict=True):
                found[id_].append(text)
            return list(found.values())

        said, ids = self._in_parts(task, self._having(task), ask)
        if reason := _too_few(ids):
            return reason
        lines = tuple(
            Line(id_, text, (one.answer,), float(text == one.answer), one.text)
            for id_, texts in zip(ids, said, strict=True)
            for text, one in zip(texts, questions[id_], strict=True)
        )
        number = {id_: i for i, id_ in enumerate(ids)}
        outcome = protocols.answer(
            [line.said for line in lines],
            [line.references[0] for line in lines],
            np.array([number[line.id] for line in lines]),
        )
        return WrittenResult(task, tuple(ids), len(questions), outcome, lines)

    @property
    def _model(self) -> Writer:
        if self._writer is None:
            raise errors.InternalError("a task was run that meets an obstacle")
        return self._writer

    def _having(self, task: Task | Writing) -> list[str]:
        """The items that have everything a task needs, in the order of the annotation."""
        said = self._split.questions if _kind(task) == ANSWER else self._split.texts
        clips = [self._split.media.get(name, {}) for name in task.media]
        return [id_ for id_ in self._split.ids if id_ in said and all(id_ in one for one in clips)]

    def _items(self, task: Task | Writing, ids: Sequence[str]) -> list[Item]:
        return [{name: self._split.media[name][id_] for name in task.media} for id_ in ids]

    def _in_parts(
        self, task: Task | Writing, ids: Sequence[str], ask: Callable[[Sequence[str]], Sequence[T]]
    ) -> tuple[list[T], list[str]]:
        """What `ask` gives for each item, and the items that it gives something for."""
        found, kept = [], []
        self._progress(str(task), 0, len(ids))
        for first in range(0, len(ids), PART):
            part = self._in_halves(task, ids[first : first + PART], ask)
            found += part[0]
            kept += part[1]
            self._progress(str(task), min(first + PART, len(ids)), len(ids))
        return found, kept

    def _in_halves(
        self, task: Task | Writing, ids: Sequence[str], ask: Callable[[Sequence[str]], Sequence[T]]
    ) -> tuple[list[T], list[str]]:
        """As `_in_parts`, of one part.

        Where it cannot be used its halves are tried, so that no item costs another one.
        """
        try:
            return list(ask(ids)), list(ids)
        except errors.DataError as error:
            if len(ids) == 1:
                self._note(ids[0], task, error.reason)
                return [], []
            middle = len(ids) // 2
        both = [self._in_halves(task, part, ask) for part in (ids[:middle], ids[middle:])]
        found, kept = zip(*both, strict=True)
        return [one for some in found for one in some], [one for some in kept for one in some]

    def _note(self, id_: str, task: Task | Writing, reason: str) -> None:
        """Notes an item that cannot be used, once for all tasks that see the same of it."""
        if (id_, task.media) not in self._failed:
            self._failed.add((id_, task.media))
            self.found.append(Problem(UNREADABLE, id_, f"{reason}; left out", task.media[0]))


def has(row: Benchmark, groups: Collection[str]) -> bool:
    """Whether a model of these groups, which gives no vectors, has some task of a benchmark."""
    by_pairs = () if row.prompts or row.pairs else row.tasks
    return any(_group(task) in groups for task in row.written) or any(
        _scores(task, groups) for task in by_pairs
    )


def _scores(task: Task, groups: Collection[str]) -> bool:
    return (TEXT,) in (task.query, task.target) and _group(task) in groups


_WRITTEN = {CAPTION: WritingBench.captions, ANSWER: WritingBench.answers}


def _group(task: Task | Writing) -> str | None:
    return GROUPS.get(frozenset(task.media))


def _kind(task: Task | Writing) -> str:
    return task.kind if isinstance(task, Writing) else CAPTION


def _too_few(ids: Sequence[str]) -> str | None:
    have = "item has" if len(ids) == 1 else "items have"
    return None if len(ids) > 1 else f"{len(ids)} {have} all of it, expected at least 2"
