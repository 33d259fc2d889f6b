"""Many clips and texts to vectors: decoded side by side, encoded in full batches, kept on disk.

    <cache>/files/                               bytes' hash by path, size, times and inode
    <cache>/<model digest>/<dtype>/<modality>/   vectors by bytes, window and views; or by text

All of them are folders of `vector_cache.VectorCache`. Another model, preprocessing, file content or
window never finds a vector that is not its own. A file that was hashed once is not read again while
path, size, times of change and inode stay. Clips that failed are not kept: the next call tries them
again.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.inference import encoder, vector_cache
from lb_jax.media import clips as clips_lib
from lb_jax.media import given, passes, specs
from lb_jax.text import readers

# Part of every key of a vector; a new value makes older ones stale: for another way to decode or
# cut, which no spec tells.
RECIPE = "clips-2"
# What changed so shortly before it was hashed may change again within one tick of the file
# system's clock and look the same; it is hashed again the next time.
SETTLED_S = 2.0

FILES, HASH_BYTES = "files", 32

Progress = Callable[[str, int, int], None]
Views = clips_lib.Views | passes.Passes


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What clips became.

    Attributes:
      rows: float32 [n, v, e], as the original gives them; v is 1, or the number of views. NaN for
        what failed.
      failed: number of a clip that cannot be used -> why, in one line.
    """

    rows: np.ndarray
    failed: Mapping[int, str]


class Embedder:
    """Embeds any number of clips and texts.

    Args:
      model: what embeds.
      cache: folder for the vectors, which models and processes may share; None keeps nothing.
      threads: files decoded at the same time; None takes one for each core.
      progress: called as `progress(what, done, total)`, what being a modality or "text".
    """

    def __init__(
        self,
        model: encoder.Encoder,
        cache: Path | None,
        threads: int | None = None,
        progress: Progress | None = None,
    ):
        self._model, self._cache = model, None if cache is None else Path(cache)
        self._threads = threads or os.cpu_count() or 1
        self._progress = progress or (lambda what, done, total: None)
        self._stores: dict[str, vector_cache.VectorCache] = {}

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text, sorted."""
        return self._model.modalities

    @property
    def logit_scale(self) -> Mapping[str, float]:
        """Log of the inverse temperature by modality."""
        return self._model.logit_scale

    @property
    def reader(self) -> readers.Reader:
        """How it reads texts; raises ConfigError where it reads none."""
        return self._model.reader

    @property
    def digest(self) -> str:
        """Hash of the weights, the config and the preprocessing."""
        return self._model.digest

    @property
    def folder(self) -> Path | None:
        """The checkpoint of this package that the model was read from; None for other weights."""
        return self._model.folder

    def media(
        self,
        modality: str,
        clips: Sequence[clips_lib.Clip],
        views: Views | None = None,
    ) -> Embedded:
        """Embeds clips: equal ones once, those in the cache not at all.

        A clip that cannot be used neither stops nor changes another one. About two batches of
        decoded clips are in memory at most.

        Args:
          modality: one of `modalities`.
          clips: files and windows.
          views: how many arrays become of each video, and how. None makes one; of a model with
            several clips of a film it gives one row, their mean. So do `clips.Views` where the
            preprocessing has windows of its own.

        Raises:
          ConfigError: for a modality the model does not have, or views of another one than video.
          DataError: for a cache that is damaged or cannot be written to.
          CheckpointError: for embeddings that are not finite.
        """
        known = self.modalities if views is None else ("video",)
        if modality not in known or modality not in self.modalities:
            raise errors.ConfigError(
                f"clips are embedded as {', '.join(known)}{'' if views is None else ' in views'}; "
                f"got {modality!r} of a model with {', '.join(self.modalities)}."
            )
        unique = {clip: number for number, clip in enumerate(dict.fromkeys(clips))}
        film = self._model.film if views is None and modality == "video" else None
        rows, reasons = self._embed(modality, list(unique), film or views)
        if film is not None:
            rows = rows.mean(axis=1, keepdims=True)
        numbers = [unique[clip] for clip in clips]
        failed = {i: reasons[number] for i, number in enumerate(numbers) if number in reasons}
        if len(unique) < len(numbers):
            rows = rows[numbers]
        return Embedded(rows, failed)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds texts: equal ones once, those in the cache not at all.

        Returns:
          float32 [n, e], as the original gives them: not normalised, or times its temperature.

        Raises:
          DataError: for a text that cannot be tokenised, by its place; or for a cache that is
            damaged or cannot be written to.
          CheckpointError: for embeddings that are not finite.
        """
        first: dict[str, int] = {}  # place of each different text
        for place, text in enumerate(texts):
            first.setdefault(text, place)
        unique = {text: number for number, text in enumerate(first)}
        keys = [vector_cache.key(RECIPE, text) for text in unique]
        with self._open(TEXT) as kept:
            rows, missing = self._kept(kept, keys, 1, self._width(TEXT))
            report = _Report(self._progress, TEXT, len(keys), len(keys) - len(missing))
            tokens = np.zeros((0, 0), np.int32)
            if missing:  # all are tokenised, so that an error names the place in `texts`
                tokens = self._model.preprocess(TEXT, list(texts))[list(first.values())]
            for start in range(0, len(missing), self._model.batch_size):
                batch = missing[start : start + self._model.batch_size]
                rows[batch, 0] = self._run(TEXT, tokens[batch])
                for number in batch:
                    kept.put(keys[number], rows[number])
                report(len(batch))
        return rows[np.array([unique[text] for text in texts], np.int64), 0]

    def _embed(
        self, modality: str, clips: Sequence[clips_lib.Clip], views: Views | None
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Rows of different clips, float32 [n, v, e], and by number why some failed."""
        spec = self._spec(modality, views)
        count, size = _count(spec, views), self._model.batch_size
        if not isinstance(views, passes.Passes):  # these are clips one by one
            size = self._model.at_once(modality)
        failed: dict[int, str] = {}
        elsewhere: dict[int, bytes] = {}  # same bytes as a file whose vectors are there
        with self._open(FILES) as hashes, self._open(modality) as kept:
            files = self._files(hashes, [clip.path for clip in clips])
            keys = [_key(clip, file, views) for clip, file in zip(clips, files, strict=True)]
            rows, missing = self._kept(kept, keys, count, self._width(modality))
            report = _Report(self._progress, modality, len(keys), len(keys) - len(missing))
            batch = _Batch(self._run, size, modality, rows)
            hashed: dict[bytes, bytes] = {}  # in this call: many clips may be of one file
            remembered = {None, *(file.stamp for file in files if file.content)}

            def read(number: int) -> _Read:
                return _read(modality, clips[number], files[number], spec, views, kept, hashed)

            def keep(numbers: Iterator[int]) -> None:
                for number in numbers:
                    kept.put(keys[number], rows[number])
                    report(1)

            ahead = max(self._threads, -(-size // count))
            results = _side_by_side(read, missing, self._threads, ahead)
            with contextlib.closing(results):
                for number, found in results:
                    keys[number] = found.key
                    if found.file.stamp not in remembered and found.file.content is not None:
                        hashes.put(found.file.stamp, np.frombuffer(found.file.content, np.uint8))
                        remembered.add(found.file.stamp)
                    if found.reason is not None:
                        failed[number] = found.reason
                        report(1)
                    elif found.array is None:
                        elsewhere[number] = found.key
                        report(1)
                    else:
                        keep(batch.add(number, found.array))
            keep(batch.finish())
            if elsewhere:
                rows[list(elsewhere)] = kept.lookup(list(elsewhere.values()))[1]
        return rows, failed

    def _files(self, hashes: vector_cache.VectorCache, paths: Sequence[Path]) -> list["_File"]:
        """What is known of each file before it is opened."""
        stamp = functools.lru_cache(maxsize=None)(_stamp)  # many clips may be of one file
        stamps = [None if self._cache is None else stamp(path) for path in paths]
        contents: list[bytes | None] = [None] * len(stamps)
        for number, content in zip(*hashes.lookup(stamps), strict=True):
            contents[number] = content.tobytes()
        is_asked = self._cache is not None
        return [_File(*known, is_asked) for known in zip(stamps, contents, strict=True)]

    def _kept(
        self, kept: vector_cache.VectorCache, keys: Sequence[bytes | None], count: int, width: int
    ) -> tuple[np.ndarray, list[int]]:
        """Rows [n, count, e], NaN where the store has none, and the numbers of these."""
        shape = (len(keys), count, width)
        rows = np.full(shape, np.nan, np.float32)
        there, found = kept.lookup(keys)
        if len(there):
            rows[there] = found
        return rows, np.setdiff1d(np.arange(len(keys)), there).tolist()

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[vector_cache.VectorCache]:
        """The store of a modality, of texts or of files; at the end it is all on disk."""
        if name not in self._stores:
            width = HASH_BYTES if name == FILES else self._width(name)
            folder = self._cache and self._cache / self._folder(name)
            self._stores[name] = vector_cache.VectorCache(folder, width)
        kept = self._stores[name]
        kept.refresh()
        try:
            yield kept
        finally:
            kept.flush()

    def _width(self, name: str) -> int:
        """Length of the rows of a modality or of texts."""
        del name
        return self._model.width

    def _spec(self, modality: str, views: Views | None) -> specs.Spec:
        """The preprocessing of clips that are looked at so."""
        del views
        return self._model.specs[modality]

    def _run(self, modality: str, arrays: np.ndarray) -> np.ndarray:
        """Rows float32 [n, e] of arrays of one modality."""
        return self._model.encode(modality, arrays, **self._model.as_published)

    def _folder(self, name: str) -> str:
        if name == FILES:
            return name
        return f"{self.digest}/{jnp.dtype(self._model.dtype).name}/{name}{self._kind}"

    @property
    def _kind(self) -> str:
        """What tells the folders of other rows of the same model."""
        return "-scaled" if self._model.output_scale else ""


class _Report:
    """Counts what is done, and tells it from what was there on; nothing where all was there."""

    def __init__(self, progress: Progress, what: str, total: int, done: int):
        self._tell, self._total, self._done = functools.partial(progress, what), total, done
        if done < total:
            self._tell(done, total)

    def __call__(self, count: int) -> None:
        self._done += count
        self._tell(self._done, self._total)


@dataclasses.dataclass(frozen=True)
class _File:
    """What is known of a file.

    Attributes:
      stamp: key of its path, size, times and inode; None for one that just changed or is not
        there.
      content: hash of its bytes, 32 bytes; None for not known.
      is_asked: whether its hash is needed.
    """

    stamp: bytes | None
    content: bytes | None
    is_asked: bool


@dataclasses.dataclass(frozen=True)
class _Read:
    """What became of a clip.

    Attributes:
      file: what is known of its file now.
      key: of its vectors; None if nothing is kept.
      array: float32 [v, ...]; None if its vectors are there.
      reason: why it cannot be used.
    """

    file: _File
    key: bytes | None = None
    array: np.ndarray | None = None
    reason: str | None = None


def _stamp(path: Path) -> bytes | None:
    try:
        stat = os.stat(path)
    except OSError:  # opening it will say what is wrong
        return None
    if time.time() - max(stat.st_mtime, stat.st_ctime) < SETTLED_S:
        return None
    # the last two change when another file is moved there, or written with the old time of change
    told = stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
    return vector_cache.key(os.path.abspath(path), *told)


def _content(path: Path) -> bytes:
    """SHA-256 of a file's bytes.

    Raises:
      DataError: for no such file, or one that is empty, unreadable or cut off.
    """
    with given.stream(path, "nothing else") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _count(spec: specs.Spec, views: Views | None) -> int:
    """How many arrays become of a clip."""
    if isinstance(views, clips_lib.Views):
        return clips_lib.view_count(spec, views)
    return 1 if views is None else views.count


def _key(clip: clips_lib.Clip, file: _File, views: Views | None) -> bytes | None:
    """Key of a clip's vectors; None where the bytes are not known."""
    if file.content is None:
        return None
    end_s = None if clip.end_s is None else float(clip.end_s)
    told = file.content, float(clip.start_s), end_s, views
    return vector_cache.key(RECIPE, *told, *([clip.depth_unit] if clip.depth_unit else []))


def _read(
    modality: str,
    clip: clips_lib.Clip,
    file: _File,
    spec: specs.Spec,
    views: Views | None,
    kept: vector_cache.VectorCache,
    hashed: dict[bytes, bytes],
) -> _Read:
    """Hashes a file where that is asked for, and decodes the clip unless its vectors are there."""
    try:
        if file.is_asked and (file.content is None or _stamp(clip.path) != file.stamp):
            stamp = _stamp(clip.path)  # before the bytes are read
            content = hashed.get(stamp) or _content(clip.path)
            file = _File(stamp, content, file.is_asked)
            if stamp is not None:
                hashed[stamp] = content
        key = _key(clip, file, views)
        if key is not None and key in kept:
            return _Read(file, key)
        if views is None:
            array = clips_lib.preprocess(modality, clip, spec)[None]
        elif isinstance(views, passes.Passes):
            array = passes.arrays(clip, spec, views)
        else:
            array = clips_lib.views(clip, spec, views)
        return _Read(file, key, array)
    except errors.DataError as error:
        return _Read(file, reason=str(error))


def _side_by_side(
    read: Callable[[int], _Read], numbers: Sequence[int], threads: int, ahead: int
) -> Generator[tuple[int, _Read], None, None]:
    """Yields what threads read, in order; they are at most `ahead` items in front."""
    with futures.ThreadPoolExecutor(threads) as pool:
        running: collections.deque[tuple[int, futures.Future]] = collections.deque()
        try:
            for number in numbers:
                running.append((number, pool.submit(read, number)))
                if len(running) > ahead:
                    number, future = running.popleft()
                    yield number, future.result()
            while running:
                number, future = running.popleft()
                yield number, future.result()
        finally:
            for _, future in running:
                future.cancel()


class _Batch:
    """Gathers arrays of items, encodes them when there are enough, and fills rows.

    Args:
      run: modality and arrays [n, ...] -> rows float32 [n, e].
      size: how many are encoded at once.
      modality: of the arrays.
      rows: float32 [n, v, e] to write to.
    """

    def __init__(
        self,
        run: Callable[[str, np.ndarray], np.ndarray],
        size: int,
        modality: str,
        rows: np.ndarray,
    ):
        self._run, self._size, self._modality, self._rows = run, size, modality, rows
        self._waiting: list[tuple[int, int, np.ndarray]] = []

    def add(self, number: int, views: np.ndarray) -> Iterator[int]:
        """Takes the arrays of an item, [v, ...]; yields the numbers of items that are finished."""
        self._waiting += [(number, view, array) for view, array in enumerate(views)]
        while len(self._waiting) >= self._size:
            yield from self._encode()

    def finish(self) -> Iterator[int]:
        """Encodes what is left; yields the numbers of items that are finished."""
        while self._waiting:
            yield from self._encode()

    def _encode(self) -> Iterator[int]:
        batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        vectors = self._run(self._modality, np.stack([array for _, _, array in batch]))
        for (number, view, _), vector in zip(batch, vectors, strict=True):
            self._rows[number, view] = vector
            if view == self._rows.shape[1] - 1:
                yield number
