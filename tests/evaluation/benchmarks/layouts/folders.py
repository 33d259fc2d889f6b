"""Miniatures of test sets on disk: written, changed, read, compared."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lb_jax.evaluation.benchmarks import layouts, splits
from tests.evaluation import miniatures


def key(problem: splits.Problem) -> tuple[str, str, str | None]:
    return problem.kind, problem.name, problem.modality


def read(folder: Path) -> splits.Split:
    return layouts.LAYOUTS[folder.name].read(folder)


def without(split: splits.Split, *ids: str) -> splits.Split:
    """The split without items, and without its problems."""

    def kept(table):
        return {id_: one for id_, one in table.items() if id_ not in ids}

    return dataclasses.replace(
        split,
        ids=tuple(id_ for id_ in split.ids if id_ not in ids),
        media={modality: kept(clips) for modality, clips in split.media.items()},
        texts=kept(split.texts),
        labels=kept(split.labels),
        questions=kept(split.questions),
        problems=(),
    )


def new(before: splits.Split, after: splits.Split) -> list[tuple[str, str, str | None]]:
    """Problems that were not there before."""
    old = [*before.problems]
    return [key(one) for one in after.problems if one not in old]


def write(tmp_path: Path, name: str) -> Path:
    return miniatures.write(name, tmp_path)


def change(path: Path, how: Callable[[str], str]) -> None:
    path.write_bytes(how(path.read_bytes().decode()).encode())
