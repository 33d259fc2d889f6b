"""Depth and infrared of many films: read once for all, batched across films, each folder whole.

A film's pictures of one modality are a folder, written beside itself and renamed, so that one that
is there is finished; `made.json` in it says of which network and options. The next run makes what
is not there.
"""

import collections
import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from lb_jax.builder import picked, resizing
from lb_jax.core import checkpoint, errors, names
from lb_jax.core.words import counted
from lb_jax.corpora.quarantine import BadSample, Quarantine

RECORD = "made.json"
# Films that are read, or written, beside the network at a time, and those that are waiting for it.
THREADS, AHEAD = 4, 4

Out = TypeVar("Out")


class Generator(Protocol):
    """What makes the pictures of one modality, as `depth.Depth`.

    Attributes:
      modality: of the pictures.
      folder: name of their folder, with `{id}`.
      frames: of a film that it takes.
      batch_size: frames that the network takes at once.
    """

    modality: str
    folder: str
    frames: picked.Frames
    batch_size: int

    @property
    def record(self) -> dict[str, Any]:
        """Everything that the pictures depend on besides the film, as JSON values."""
        ...

    def prepare(self, frames: np.ndarray, name: str) -> tuple[np.ndarray, ...]:
        """What the network takes of a film's frames: arrays [t, ...]."""
        ...

    def run(self, *arrays: np.ndarray) -> np.ndarray:
        """The network on the frames of one film or several: [n, ...] -> [n, ...]."""
        ...

    def finish(self, found: np.ndarray, sides: resizing.Sides) -> Sequence[np.ndarray]:
        """Pictures of a film's frames, which had these sides."""
        ...

    def write(self, folder: Path, pictures: Sequence[np.ndarray]) -> None:
        """Writes them into a folder."""
        ...


@dataclasses.dataclass(frozen=True)
class Film:
    """A film to make pictures of.

    Attributes:
      path: of the file.
      name: where its pictures go, relative to the folder of all, with forward slashes and without
        an ending; seeds of what is drawn follow from it.
    """

    path: str
    name: str


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
      films: that were looked at.
      made: modality -> films whose pictures were made.
      frames: pictures that were made, of all modalities.
      there: folders that were there before.
      bad: films that cannot be used.
      seconds: from beginning to end.
    """

    films: int
    made: Mapping[str, int]
    frames: int
    there: int
    bad: int
    seconds: float

    def told(self) -> str:
        """The numbers in words."""
        made = ", ".join(f"{name} of {many}" for name, many in self.made.items())
        rate = self.frames / max(self.seconds, 1e-9)
        more = f", {counted(self.there, 'folder')} there before" if self.there else ""
        return (
            f"{counted(self.films, 'film')}: {made}, {counted(self.frames, 'picture')} in "
            f"{self.seconds:.1f} s ({rate:.2f} pictures/s){more}"
        )


def named(paths: Sequence[str], folders: Sequence[str] = ()) -> list[Film]:
    """Films of these absolute paths, by their names below the folders that were searched.

    Raises:
      DataError: for two that would have one name.
    """
    found: dict[str, str] = {}
    for path in paths:
        inside = [one for one in folders if Path(path).is_relative_to(one)]
        shown = Path(path).relative_to(max(inside, key=len)) if inside else Path(Path(path).name)
        name = shown.with_suffix("").as_posix()
        if name in found:
            raise errors.DataError(
                path,
                f"would have the same folders as {found[name]}; rename one, or give the folder "
                "above both",
            )
        found[name] = path
    return [Film(path, name) for name, path in found.items()]


def generate(
    films: Sequence[Film],
    generators: Sequence[Generator],
    out: Path,
    quarantine: Quarantine,
    *,
    threads: int = THREADS,
) -> Summary:
    """Makes pictures of all films, each modality into a folder of its own below `out`.

    Args:
      films: in any order; see `named`.
      generators: one or several, of different modalities.
      out: folder of all.
      quarantine: takes films that cannot be decoded.
      threads: films that are read at a time.

    Raises:
      ConfigError: before anything is made, for a folder that is there and was made otherwise.
      DataError: when too many films cannot be used.
      CheckpointError: when the disk does not take them; what was finished stays.
    """
    start = time.perf_counter()
    wanted = [(film, _missing(film, generators, out)) for film in films]
    there = len(films) * len(generators) - sum(len(missing) for _, missing in wanted)
    work = _Work(out)
    unmade = [(film, missing) for film, missing in wanted if missing]
    with futures.ThreadPoolExecutor(threads) as readers, futures.ThreadPoolExecutor(1) as writer:
        work.writer = writer
        for film, missing, read in _ahead(readers, _read, unmade, threads + AHEAD):
            if isinstance(read, errors.DataError):
                quarantine.record(0, [BadSample("video", names.shown(film.path), read.reason)])
                continue
            sides, prepared = read
            quarantine.record(1, [])
            for generator, arrays in zip(missing, prepared, strict=True):
                work.add(generator, film, sides, arrays)
        work.end()
    seconds = time.perf_counter() - start
    made = {one.modality: work.made[one.modality] for one in generators}
    return Summary(len(films), made, work.frames, there, quarantine.bad, seconds)


def _missing(film: Film, generators: Sequence[Generator], out: Path) -> list[Generator]:
    """The generators whose folder of a film is not there.

    Raises:
      ConfigError: for one that was made otherwise.
    """
    found = []
    for generator in generators:
        folder = place(out, film, generator)
        if not folder.exists():
            found.append(generator)
            continue
        record = folder / RECORD
        if not record.is_file():  # of LanguageBind's scripts, or put there
            continue
        stated, wanted = checkpoint.read_json(record), _plain(generator.record)
        if stated != wanted:
            told = ", ".join(_differing(stated, wanted))
            raise errors.ConfigError(
                f"{folder}: was made otherwise ({told}); give another -o, or remove the folder to "
                "make it anew."
            )
    return found


def place(out: Path, film: Film, generator: Generator) -> Path:
    """The folder of a film's pictures."""
    return Path(out) / generator.folder.format(id=film.name)


def _plain(record: Mapping[str, Any]) -> Any:
    """A record as JSON gives it back."""
    return json.loads(json.dumps(record))


def _differing(stated: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """What differs in two records: `options.seed 0, now 1`."""
    if isinstance(stated, dict) and isinstance(wanted, dict):
        for key in sorted({*stated, *wanted}):
            yield from _differing(stated.get(key), wanted.get(key), f"{name}.{key}".strip("."))
    elif stated != wanted:
        yield f"{name} {stated!r}, now {wanted!r}"


def _read(film: Film, generators: Sequence[Generator]) -> Any:
    """Sides of a film's frames and what each network takes; or why it cannot be used."""
    decoded: dict[picked.Frames, np.ndarray] = {}
    try:
        for generator in generators:
            if generator.frames not in decoded:
                decoded[generator.frames] = picked.read(film.path, generator.frames)
    except errors.DataError as error:
        return error
    sides = next(iter(decoded.values())).shape[1:3]
    return sides, [one.prepare(decoded[one.frames], film.name) for one in generators]


def _ahead(
    pool: futures.Executor,
    function: Callable[..., Out],
    items: Iterable[tuple[Any, ...]],
    most: int,
) -> Iterator[tuple[Any, ...]]:
    """Each item and what a function makes of it, in their order; some are made ahead."""
    pending: collections.deque = collections.deque()
    for item in items:
        pending.append((item, pool.submit(function, *item)))
        if len(pending) > most:
            done, future = pending.popleft()
            yield (*done, future.result())
    while pending:
        done, future = pending.popleft()
        yield (*done, future.result())


class _Work:
    """Frames that wait for a network, by generator and shape, and folders that are being written.

    Attributes:
      writer: writes folders, one after the other.
      made: modality -> films whose pictures were made.
      frames: pictures that were made.
    """

    writer: futures.Executor

    def __init__(self, out: Path):
        self._out = out
        self._waiting: dict[Any, list] = {}
        self._writing: collections.deque = collections.deque()
        self.made: collections.Counter[str] = collections.Counter()
        self.frames = 0

    def add(self, generator: Generator, film: Film, sides: resizing.Sides, arrays: tuple) -> None:
        """Takes the frames of a film; runs the network once there are enough of one shape."""
        key = (generator.modality, *(array.shape[1:] for array in arrays))
        waiting = self._waiting.setdefault(key, [])
        waiting.append((generator, film, sides, arrays))
        if sum(len(one[-1][0]) for one in waiting) >= generator.batch_size:
            self._run(self._waiting.pop(key))
        elif sum(map(len, self._waiting.values())) > AHEAD * THREADS:  # of many shapes
            self._run(self._waiting.pop(max(self._waiting, key=lambda k: len(self._waiting[k]))))

    def end(self) -> None:
        """Makes what waits, and waits for what is written."""
        for waiting in self._waiting.values():
            self._run(waiting)
        self._waiting = {}
        self._settle(0)

    def _run(self, waiting: list) -> None:
        generator = waiting[0][0]
        batch = [np.concatenate(parts) for parts in zip(*(one[-1] for one in waiting), strict=True)]
        found, start = generator.run(*batch), 0
        for _, film, sides, arrays in waiting:
            stop = start + len(arrays[0])
            part, start = found[start:stop], stop
            self._writing.append(self.writer.submit(self._write, generator, film, sides, part))
            self.made[generator.modality] += 1
            self.frames += len(part)
        self._settle(AHEAD)

    def _write(
        self, generator: Generator, film: Film, sides: resizing.Sides, found: np.ndarray
    ) -> None:
        with checkpoint.replacing(place(self._out, film, generator)) as partial:
            generator.write(partial, generator.finish(found, sides))
            checkpoint.write_json(partial / RECORD, generator.record)

    def _settle(self, most: int) -> None:
        """Waits until no more folders than that are on their way; raises what their writing did."""
        while len(self._writing) > most:
            self._writing.popleft().result()
