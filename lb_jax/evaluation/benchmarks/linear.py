"""Linear classifiers on frozen features, run on whatever of their data sets is on disk."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.evaluation.benchmarks import protocols
from lb_jax.evaluation.benchmarks.bench import Embedded, TaskResult
from lb_jax.evaluation.benchmarks.layouts.divided import DIVIDED
from lb_jax.evaluation.benchmarks.probes import Probe, Settings, Used
from lb_jax.evaluation.benchmarks.splits import UNREADABLE, Divided, Problem
from lb_jax.evaluation.benchmarks.suite import BenchmarkResult, SuiteResult
from lb_jax.evaluation.metrics import svm
from lb_jax.media.clips import Clip
from lb_jax.media.passes import Passes

FEATURES = "what the projection of the tower takes"


class Features(Protocol):
    """A model's features of clips, see `lb_jax.inference.features`."""

    modalities: tuple[str, ...]

    def media(self, modality: str, clips: Sequence[Clip], views: Passes | None = None) -> Embedded:
        """Features float32 `[n, v, f]` of clips of one modality."""
        ...


def run(
    features: Features,
    root: Path,
    rows: Mapping[str, Probe],
    settings: Settings,
    announce: Callable[[str], None] = lambda title: None,
) -> SuiteResult:
    """Runs the rows whose data are below `root`.

    Args:
      features: the model.
      root: holds a folder for each data set, named as the row.
      rows: of the table of probes, by name.
      settings: how the classifiers learn.
      announce: called with the title of each data set before it is run.

    Raises:
      DataError: `root` is no folder, or nothing in it can be run.
    """
    if not root.is_dir():
        raise errors.DataError(root, "is no folder; give the one that holds the data sets' folders")
    results: dict[str, BenchmarkResult] = {}
    left_out: dict[str, str] = {}
    used: dict[str, float] = {}
    for name, row in rows.items():
        if not (root / name).is_dir():
            left_out[name] = f"no folder {root / name}"
        elif row.modality not in features.modalities:
            left_out[name] = f"the model has no {row.modality}"
        else:
            announce(row.title)
            try:
                divided = DIVIDED[name].read(root / name)
                results[name], used[name] = score(
                    features, root / name, row, divided, settings, DIVIDED[name].items
                )
            except errors.DataError as error:  # one out of order does not stop the others
                left_out[name] = str(error)
    if not results:
        reasons = [left_out[name] for name in rows if (root / name).is_dir()]
        absent = [name for name in rows if not (root / name).is_dir()]
        reasons += [f"there is no folder {', '.join(absent)}"] if absent else []
        raise errors.DataError(
            root,
            f"no classifier can be learnt: {'; '.join(reasons)}. Give the folder that holds the "
            "data sets' folders.",
        )
    return SuiteResult(results, left_out, Used(FEATURES, svm.SOLVER, used))


def score(
    features: Features,
    folder: Path,
    row: Probe,
    divided: Divided,
    settings: Settings,
    items: int | None = None,
) -> tuple[BenchmarkResult, float]:
    """Learns and tests a classifier on each chosen division of a data set.

    Args:
      features: the model.
      folder: of the data set, for messages.
      row: what is looked at.
      divided: the data set.
      settings: how the classifiers learn.
      items: of the published data set.

    Returns:
      The result, its scores of classes in place of vectors, and C.

    Raises:
      DataError: a division is not there, or has not enough in it.
    """
    started = time.perf_counter()
    names = row.parts or tuple(divided.parts)
    if lacking := [name for name in names if name not in divided.parts]:
        raise errors.DataError(folder, f"has no division {', '.join(lacking)}; download its lists")
    parts = {name: divided.parts[name] for name in names}
    labelled = divided.split.labels
    views = {"train": row.train, "test": row.test}
    asked = {side: [getattr(part, side) for part in parts.values()] for side in views}
    known, problems = _embed(features, row, divided, views, asked)
    labels = _matrix(labelled, tuple(divided.classes))
    doubts = _matrix(divided.unsure, tuple(divided.classes)) if divided.unsure else None
    tested: list[str] = []
    scores, c = [], 0.0
    for name, part in parts.items():
        train = [id_ for id_ in part.train if id_ in known[row.train]]
        test = [id_ for id_ in part.test if id_ in known[row.test]]
        _require(folder, name, train, test, labelled)
        rows = np.stack([known[row.train][id_] for id_ in train])
        c = settings.weight(row, rows.shape[-1])
        scores.append(
            svm.scores(
                rows,
                labels(train),
                np.stack([known[row.test][id_] for id_ in test]),
                c,
                None if doubts is None else doubts(train),
            )
        )
        tested += test
    whole = np.concatenate(scores)
    task = TaskResult(
        task=row.task,
        ids=tuple(tested),
        asked=sum(len(part.test) for part in parts.values()),
        outcome=_outcome(row, whole, tested, labels, doubts),
        drop_one={},
        queries=np.maximum(whole, whole[whole > svm.ABSENT].min()).astype(np.float32),
        targets=np.eye(len(divided.classes), dtype=np.float32),
    )
    result = BenchmarkResult(
        title=row.title,
        split=divided.split,
        published={"items": items, "captions": None},
        classes=tuple(divided.classes),
        names=tuple(divided.classes.values()),
        tasks={str(row.task): task},
        left_out={},
        problems=(*divided.split.problems, *problems),
        samples={},
        seconds=time.perf_counter() - started,
    )
    return result, c


_Rows = dict[Passes | None, dict[str, np.ndarray]]
_Labels = Callable[[Sequence[str]], np.ndarray]


def _embed(
    features: Features,
    row: Probe,
    divided: Divided,
    views: Mapping[str, Passes | None],
    asked: Mapping[str, Sequence[Sequence[str]]],
) -> tuple[_Rows, list[Problem]]:
    """Way of looking -> item -> features `[v, f]`, and what cannot be decoded."""
    wanted: dict[Passes | None, dict[str, None]] = {}
    for side, given in views.items():
        ids = wanted.setdefault(given, {})
        ids.update(dict.fromkeys(id_ for part in asked[side] for id_ in part))
    media = divided.split.media.get(row.modality, {})
    known: _Rows = {}
    problems: dict[str, Problem] = {}
    for given, ids in wanted.items():
        there = [id_ for id_ in ids if id_ in media]
        found = features.media(row.modality, [media[id_] for id_ in there], given)
        known[given] = {
            id_: rows
            for place, (id_, rows) in enumerate(zip(there, found.rows, strict=True))
            if place not in found.failed
        }
        for place, reason in found.failed.items():
            id_ = there[place]
            problems[id_] = Problem(UNREADABLE, id_, f"{reason}; left out", row.modality)
    return known, list(problems.values())


def _matrix(told: Mapping[str, Sequence[str]], classes: Sequence[str]) -> _Labels:
    """Items -> bool `[n, c]`, which labels each has."""
    column = {label: place for place, label in enumerate(classes)}

    def of(ids: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(ids), len(classes)), bool)
        for row, id_ in zip(found, ids, strict=True):
            row[[column[label] for label in told.get(id_, ())]] = True
        return found

    return of


def _require(
    folder: Path,
    name: str,
    train: Sequence[str],
    test: Sequence[str],
    labels: Mapping[str, Sequence[str]],
) -> None:
    """Raises DataError where a division has nothing to learn from or to test."""
    learnt = {label for id_ in train for label in labels[id_]}
    if len(learnt) < 2 or not test:
        raise errors.DataError(
            folder,
            f"division {name} has {counted(len(train), 'item')} of "
            f"{counted(len(learnt), 'class')} to learn from and {len(test)} to test "
            "that can be decoded; expected 2 classes and 1 item",
        )


def _outcome(
    row: Probe, scores: np.ndarray, ids: Sequence[str], labels: _Labels, doubts: _Labels | None
) -> protocols.Outcome:
    if row.several:
        unsure = None if doubts is None else doubts(ids)
        return protocols.choose_several(scores, labels(ids), unsure)
    number = {id_: place for place, id_ in enumerate(dict.fromkeys(ids))}
    item = np.array([number[id_] for id_ in ids])
    return protocols.choose(scores, labels(ids).argmax(1), item)
