"""A corpus as a folder: written by several processes, complete or not there, the same bytes again.

Whatever a corpus holds is a `Corpus`; `corpus.json`, with its seed and size, is written last.
"""

import concurrent.futures
import functools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from lb_jax.core import errors

MIN_ITEMS = 20
_CHUNK = 16  # items between two reports of progress
_ITEMS_PER_WORKER = 64  # starting a worker costs about as much as writing this many items
_MARKER, _UNFINISHED = "corpus.json", "corpus.unfinished.json"


class Corpus(NamedTuple):
    """A kind of corpus.

    Attributes:
      mark: what tells it from other kinds and versions, in `corpus.json`.
      folders: of its files.
      schedule: seed, number of items -> the facts of all items.
      write_item: folder, seed, number and facts of an item -> (id, ...), what `finish` needs of it.
      finish: folder and the results of all items -> writes the files of the whole.
    """

    mark: Mapping[str, object]
    folders: Sequence[str]
    schedule: Callable[[int, int], Sequence[Any]]
    write_item: Callable[[Path, int, int, Any], tuple]
    finish: Callable[[Path, Sequence[tuple]], None]


def write(
    kind: Corpus,
    out: Path,
    *,
    seed: int,
    items: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a corpus, or returns at once where the same one is complete already.

    The same seed and number of items give the same bytes in every file, with any number of workers.
    A run that was cut short is written again from the start.

    Args:
      kind: what to write.
      out: folder to write; made if missing, else it must be empty or hold this very corpus.
      seed: whole number from 0.
      items: number of items, at least 20; one in five is a test item.
      workers: processes to write with; by default one per available core, fewer for a small corpus.
        One means this process; more start fresh interpreters, so a program must guard its entry
        with `if __name__ == "__main__"`.
      progress: called with (items written, items) now and then.

    Raises:
      errors.ConfigError: a value is out of range, or the folder holds something else.
    """
    out = Path(out)
    _check(seed, items, workers)
    identity = {"seed": seed, "items": items, **kind.mark}
    if _is_complete(out, identity):
        return
    _begin(kind, out, identity)
    done: list[tuple] = []
    plan = kind.schedule(seed, items)
    for row in _written(kind, out, seed, plan, workers or _default_workers(items)):
        done += row
        if progress is not None:
            progress(len(done), items)
    kind.finish(out, done)
    os.replace(out / _UNFINISHED, out / _MARKER)


def write_json(path: Path, content: object) -> None:
    """Writes JSON that people can read."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _written(
    kind: Corpus, out: Path, seed: int, plan: Sequence[Any], workers: int
) -> Iterator[list[tuple]]:
    """Yields the results of `write_item` in the order of the plan, a chunk at a time."""
    chunks = [list(enumerate(plan))[i : i + _CHUNK] for i in range(0, len(plan), _CHUNK)]
    write = functools.partial(_write_chunk, kind.write_item, out, seed)
    if workers == 1:
        yield from map(write, chunks)
        return
    # Fresh interpreters rather than forks: the caller may have threads (JAX has), which a fork
    # would lose.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield from pool.map(write, chunks)


def _write_chunk(
    write_item: Callable[..., tuple], out: Path, seed: int, chunk: list[tuple[int, Any]]
) -> list[tuple]:
    return [write_item(out, seed, index, facts) for index, facts in chunk]


def _check(seed: int, items: int, workers: int | None) -> None:
    if seed < 0:
        raise errors.ConfigError(f"corpus seed {seed} is negative; give a whole number from 0")
    if items < MIN_ITEMS:
        raise errors.ConfigError(
            f"a corpus of {items} items is too small for its splits; give at least {MIN_ITEMS}"
        )
    if workers is not None and workers < 1:
        raise errors.ConfigError(
            f"cannot write a corpus with {workers} workers; give at least 1, or leave it out"
        )


def _default_workers(items: int) -> int:
    return min(os.cpu_count() or 1, 1 + items // _ITEMS_PER_WORKER)


def _is_complete(out: Path, identity: dict[str, object]) -> bool:
    return (out / _MARKER).is_file() and _read_identity(out / _MARKER) == identity


def _begin(kind: Corpus, out: Path, identity: dict[str, object]) -> None:
    """Makes the folders, after making sure that nothing of anybody else's would be written over."""
    if out.exists() and not out.is_dir():
        raise errors.ConfigError(
            f"{out} is a file, expected a folder for the corpus; give another --out"
        )
    if out.is_dir() and any(out.iterdir()):
        found = next(
            (
                _read_identity(out / name)
                for name in (_MARKER, _UNFINISHED)
                if (out / name).is_file()
            ),
            None,
        )
        if found != identity:
            what = "files that are no corpus" if found is None else f"the corpus {found}"
            raise errors.ConfigError(
                f"{out} holds {what}, expected {identity} or nothing; give another --out "
                "or empty it"
            )
    for folder in kind.folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_json(out / _UNFINISHED, identity)


def _read_identity(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.ConfigError(
            f"{path} is not the JSON of a demo corpus ({error}); give another --out or "
            "empty the folder"
        ) from error
