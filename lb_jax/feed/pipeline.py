"""Corpora -> shuffled, decoded, batched arrays, with an exact position.

Everything about a sample - which row it is, its caption, its crop - is a function of the run's
seed, the modality and the sample's number in the run. Batch k of B samples has numbers k B to
k B + B - 1, whoever makes it: the same in any thread, worker process and number of hosts, and the
position of a run is the number of batches it has taken.

A sample that cannot be used is never swapped without a word: it is reported with its reason, and
its number is given to another row, which is a function of the same three.
"""

import collections
import contextlib
import functools
import hashlib
import itertools
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import grain
import numpy as np
from absl import flags

from lb_jax.core import errors, modalities, names, notices
from lb_jax.core.words import counted
from lb_jax.corpora import captions, seen
from lb_jax.corpora.quarantine import BadSample, Quarantine, Remarks, remarks_of
from lb_jax.corpora.rows import Ref, Row, Source, name_of
from lb_jax.feed import arrays, keeping
from lb_jax.media import content, preprocess
from lb_jax.media.sensors.depth_units import Measured
from lb_jax.text import tokenizer

# Rows tried for one sample before the corpus counts as unusable.
ATTEMPTS = 20
ENDLESS = 1 << 62  # batches in a run that nobody stops
# Batches that are ready or on their way, on the host and on the devices.
AHEAD = 2
IDENTIFYING = 256  # rows whose names and captions tell a corpus from another


class Order:
    """Which row a sample is: every row once per epoch, in an order drawn from the seed.

    Several corpora are mixed in fixed proportions. Nothing is materialised: the order of a corpus
    is a permutation that is computed number by number.

    Args:
      lengths: rows of each corpus.
      weights: samples taken of each, in proportion.
      seed: of the order.
      epoch: samples taken of an epoch of a single corpus before the next begins; 0 takes all.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float], seed: int, epoch: int = 0):
        self._arguments = tuple(lengths), tuple(weights), seed, epoch
        self._left_out, self._epoch = (lengths[0] - epoch, epoch) if epoch else (0, 1)
        numbered = [
            grain.MapDataset.range(length)
            .seed(seed)
            .shuffle()
            .repeat()
            .map(lambda row, k=k: (k, row))
            for k, length in enumerate(lengths)
        ]
        self._order = grain.MapDataset.mix(numbered, weights)

    def __reduce__(self):
        return type(self), self._arguments

    def __getitem__(self, number: int) -> tuple[int, int]:
        """Sample number -> (corpus, row)."""
        found = self._order[number + self._left_out * (number // self._epoch)]
        assert found is not None  # the order has no end and leaves nothing out
        return found


class Sample(NamedTuple):
    """What one number of a run gives.

    Attributes:
      media: the array its encoder takes, or those of an item by name; None where no row could be
        used.
      text: int32 [n], or the caption's embedding, float32 [e]; or several by name.
      truncated: whether the caption was cut.
      bad: the rows that came before it and could not be used.
      remarks: why it probably is not what it is taken for.
    """

    media: arrays.Side | None
    text: arrays.Side | None
    truncated: bool
    bad: tuple[BadSample, ...]
    remarks: tuple[BadSample, ...] = ()


class Loader:
    """Sample number -> `Sample` of one modality.

    Args:
      sources: corpora and their weights.
      modality: which of a row's files.
      spec: its preprocessing.
      text_kind: caption kind, see `captions.draw_text`.
      encode: caption -> (array for the text side, whether it was cut).
      seed: of the run.
      cache: keep decoded files in memory, in every process that decodes; not where each decoding
        draws its frames.
      drop_to: samples per batch, where the rows that do not fill one are left out of an epoch; 0
        goes on into the next epoch.

    Raises:
      DataError: for a corpus without the modality.
      ConfigError: for `drop_to` of several corpora, or of fewer rows; for a cache of what is drawn.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
        modality: str,
        spec: Any,
        text_kind: str,
        encode: Callable[[str], tuple[np.ndarray, bool]],
        *,
        seed: int,
        cache: bool = False,
        drop_to: int = 0,
    ):
        self.modality, self.spec, self.text_kind, self.encode = modality, spec, text_kind, encode
        self._sources, self._weights = zip(*sources, strict=True)
        self._rows = [self._usable(source) for source in self._sources]
        self._epoch = self._epoch_of(drop_to) if drop_to else 0
        self._seed = zlib.crc32(f"{seed}/{modality}".encode())  # independent of other modalities
        self._orders: dict[int, Order] = {}
        self._kept = keeping.Kept({modality: spec} if spec else {}, cache)

    def __call__(self, number: int) -> Sample:
        """The sample of a number; in place of a row that cannot be used another is drawn.

        After `ATTEMPTS` rows it has no media and no text.
        """
        bad: list[BadSample] = []
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self._seed, attempt, number))
            corpus, place = self._order(attempt)[number]
            with notices.collected() as warned:
                found = self.load(corpus, int(self._rows[corpus][place]), rng)
            if not isinstance(found, BadSample):
                told = {one.reason: one.path for one in warned}
                remarks = (BadSample(self.modality, path, why) for why, path in told.items())
                return Sample(*found, tuple(bad), tuple(remarks))
            bad.append(found)
        return Sample(None, None, False, tuple(bad))

    def load(
        self, corpus: int, number: int, rng: np.random.Generator
    ) -> tuple[arrays.Side, arrays.Side, bool] | BadSample:
        """One row -> (media, text, whether the text was cut), or why it cannot be used."""
        source = self._sources[corpus]
        try:
            row = source[number]
        except errors.DataError as error:
            return BadSample(self.modality, error.path, error.reason)
        where = f"{source.where}: {row.id}"
        try:
            files = self._files(row, self.modality)
            text, frame = captions.draw_text(row, self.text_kind, rng, len(files))
            where = f"{source.where}: {row.id}, {self.text_kind}"
            encoded, cut = self.encode(text)
            where = name_of(files[frame], f"{source.where}: {row.id}, {self.modality} {frame}")
            decode = functools.partial(self._decode, files[frame], where, rng)
            decoded = self._kept.get((corpus, number, frame), decode)
            media = preprocess.transform(self.modality, decoded, self.spec, rng)
        except errors.DataError as error:
            return BadSample(self.modality, where, error.reason)
        return media, encoded, cut

    def texts(self) -> Iterator[str]:
        """Every caption that a sample may have."""
        for source, rows in zip(self._sources, self._rows, strict=True):
            for number in rows:
                with contextlib.suppress(errors.DataError):  # told of when the row is loaded
                    yield from captions.all_texts(source[int(number)], self.text_kind)

    def identity(self) -> list[dict[str, Any]]:
        """Tells each corpus from what it would be after a change.

        The number of its rows, and the hash of the names and captions of some spread over it.
        """
        return [
            {"rows": len(rows), "sha256": _digest(source, rows)}
            for source, rows in zip(self._sources, self._rows, strict=True)
        ]

    def seen(self) -> set[bytes] | None:
        """What the rows are known by in a checkpoint; None where it is not kept, see `seen`."""
        return seen.of_sources(self._sources, self.modality, self.text_kind)

    def _usable(self, source: Source) -> Sequence[int] | np.ndarray:
        """Numbers of the rows that samples are drawn from."""
        rows = source.having(self.modality)
        if not len(rows):
            raise errors.DataError(
                source.where,
                f"has no row with {self.modality}; add files of it, or take {self.modality} out of "
                "config.modalities",
            )
        return rows

    def _epoch_of(self, batch_size: int) -> int:
        """Rows of an epoch that fill batches."""
        rows, *others = self._rows
        if others or len(rows) < batch_size:
            found = "several corpora" if others else counted(len(rows), "row")
            raise errors.ConfigError(
                f"last_batch=drop needs one corpus of at least a batch of {batch_size}; "
                f"{self.modality} has {found}."
            )
        return len(rows) - len(rows) % batch_size

    def _files(self, row: Row, modality: str) -> tuple[Ref, ...]:
        if modality not in row.media:
            has = ", ".join(row.media) or "no media"
            raise errors.DataError(row.id, f"has no {modality}; it has {has}")
        return row.media[modality]

    def _decode(
        self,
        file: Ref,
        name: str,
        rng: np.random.Generator,
        modality: str | None = None,
        spec: Any = None,
    ) -> np.ndarray:
        """A file decoded; of another modality than the loader's with that and its spec."""
        modality, spec = (modality, spec) if modality else (self.modality, self.spec)
        with notices.collected() as warned:
            decoded = preprocess.decode(modality, file, spec, rng)
        notices.warn_again(errors.DataWarning(name, one.reason) for one in warned)
        content.require_content(modality, decoded, name, spec)
        return decoded

    def _order(self, attempt: int) -> Order:
        if attempt not in self._orders:
            lengths = [len(rows) for rows in self._rows]
            self._orders[attempt] = Order(lengths, self._weights, self._seed + attempt, self._epoch)
        return self._orders[attempt]


def _digest(source: Source, rows: Sequence[int]) -> str:
    total = hashlib.sha256()
    for place in np.linspace(0, len(rows) - 1, min(len(rows), IDENTIFYING)).astype(int):
        number = int(rows[place])
        try:
            row = source[number]
        except errors.DataError as error:  # told of when the row is loaded
            total.update(f"{number} {error.reason}\n".encode())
        else:
            files = _file_names(row) if isinstance(row.media, dict) else []  # others read lazily
            told = (number, row.id, sorted(row.texts.items()), files)
            total.update(f"{told}\n".encode())
    return total.hexdigest()


def _file_names(row: Row) -> list[str]:
    """Names of a row's media that are files, without the folder, which may move."""
    every = itertools.chain.from_iterable(row.media.values())
    flat = (part for one in every for part in (one if isinstance(one, tuple) else (one,)))
    told = ((p.file, f" {p.unit}") if isinstance(p, Measured) else (p, "") for p in flat)
    return [f"{file.name}{unit}" for file, unit in told if isinstance(file, Path)]


class CaptionPairs(Loader):
    """Sample number -> two captions of one row, as media and text.

    Args:
      sources: corpora and their weights.
      kinds: the two caption kinds, see `captions.draw_text`.
      encode: caption -> (int32 [n], whether it was cut).
      seed: of the run.
      drop_to: see `Loader`.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
        kinds: tuple[str, str],
        encode: Callable[[str], tuple[np.ndarray, bool]],
        *,
        seed: int,
        drop_to: int = 0,
    ):
        super().__init__(sources, modalities.TEXT, None, "", encode, seed=seed, drop_to=drop_to)
        self._kinds = kinds

    def _usable(self, source: Source) -> Sequence[int] | np.ndarray:
        return range(len(source))

    def load(
        self, corpus: int, number: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, bool] | BadSample:
        """One row -> (its first caption, its second, whether one was cut), or what is wrong."""
        source, found, truncated, where = self._sources[corpus], [], False, ""
        try:
            row = source[number]
        except errors.DataError as error:
            return BadSample(self.modality, error.path, error.reason)
        try:
            for kind in self._kinds:
                where = f"{source.where}: {row.id}, {kind}"
                encoded, cut = self.encode(captions.draw_text(row, kind, rng)[0])
                found.append(encoded)
                truncated |= cut
        except errors.DataError as error:
            return BadSample(self.modality, where, error.reason)
        return found[0], found[1], truncated


@functools.lru_cache(maxsize=1 << 17)  # repairing a text takes longer than looking it up
def tokens(length: int, text: str) -> tuple[np.ndarray, bool]:
    """A caption -> int32 [length], and whether it was cut; see `tokenizer.tokenize`."""
    return tokenizer.tokenize(text, length)[0], bool(tokenizer.count_truncated(text, length))


class BatchLoader:
    """Batch number -> `{modality: {"media", "text", "truncated", "bad"}}` of this process.

    Args:
      loaders: by modality.
      sizes: samples per batch by modality, of all processes together.
      threads: that decode the samples of a batch.
      process: (index, count) of this process among those that train together.
    """

    def __init__(
        self,
        loaders: Mapping[str, Loader],
        sizes: Mapping[str, int],
        *,
        threads: int = 0,
        process: tuple[int, int] = (0, 1),
    ):
        self.loaders = dict(sorted(loaders.items()))
        self.sizes, self.threads, self.process = dict(sizes), threads, process
        self._pool: futures.ThreadPoolExecutor | None = None

    def __getstate__(self):  # threads stay where they are
        return {**self.__dict__, "_pool": None}

    def __call__(self, batch: int) -> dict[str, dict[str, Any]]:
        """The part of this process of a batch, its samples loaded, side by side in arrays."""
        index, count = self.process
        work = [
            (loader, int(batch) * self.sizes[name] + index * share + i)
            for name, loader in self.loaders.items()
            for share in [self.sizes[name] // count]
            for i in range(share)
        ]
        if self.threads:
            self._pool = self._pool or futures.ThreadPoolExecutor(self.threads)
            samples = self._pool.map(lambda one: one[0](one[1]), work)
        else:
            samples = (loader(number) for loader, number in work)
        found = collections.defaultdict(list)
        for (loader, _), sample in zip(work, samples, strict=True):
            found[loader.modality].append(sample)
        return {name: collate(one) for name, one in found.items()}


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Samples -> arrays [b, …], and what was said about them."""
    good = [one for one in samples if one.media is not None]
    return {
        "media": arrays.stack([one.media for one in good]),
        "text": arrays.stack([one.text for one in good]),
        "truncated": sum(one.truncated for one in good),
        "missing": len(samples) - len(good),
        "bad": [bad for one in samples for bad in one.bad],
        "remarks": [remark for one in samples for remark in one.remarks],
    }


class Batches:
    """Endless batches with a position that can be saved and restored exactly.

    A batch is `{modality: {"media": [b, ...], "text": [b, n]}}`, of this process.

    Args:
      loader: makes them.
      quarantine: where bad samples go.
      workers: processes that decode; 0 decodes in this one.
      start_worker: (number, count) -> None, runs first in each of them.
      put: what is done with every batch, ahead of its use: puts it onto devices.
    """

    def __init__(
        self,
        loader: BatchLoader,
        quarantine: Quarantine,
        *,
        workers: int = 0,
        start_worker: Callable[[int, int], None] | None = None,
        put: Callable[[Any], Any] = lambda batch: batch,
    ):
        self._loader, self._workers, self._put = loader, workers, put
        self._start_worker = start_worker
        self.quarantine, self.truncated = quarantine, 0
        self.remarks = Remarks(remarks_of(quarantine.path))
        self._go_to(0)

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> dict[str, dict[str, Any]]:
        while len(self._ahead) < AHEAD:
            self._ahead.append(self._prepare(next(self._iterator)))
        batch, report = self._ahead.popleft()
        self._taken += 1
        for modality, one in report.items():
            self.truncated += one["truncated"]
            self.quarantine.record(one["good"], one["bad"])
            for first in self.remarks.record(one["remarks"]):
                print(
                    f"lb-jax: warning: {names.shown(first.path)}: {first.reason}; all of the kind "
                    f"are listed in {self.remarks.path}",
                    file=sys.stderr,
                )
            if one["missing"]:
                last = one["bad"][-1]
                raise errors.DataError(
                    self.quarantine.path,
                    f"{ATTEMPTS} rows tried for one {modality} sample and none can be used; last: "
                    f"{last.path}: {last.reason}",
                )
        return batch

    def get_state(self) -> dict[str, Any]:
        """The position and the counts up to it, ready for JSON."""
        counts = self.quarantine
        return {
            "batch": self._taken,
            "seen": counts.seen,
            "bad": counts.bad,
            "truncated": self.truncated,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to a position that `get_state` gave."""
        self.quarantine.seen, self.quarantine.bad = state["seen"], state["bad"]
        self.truncated = state["truncated"]
        self.close()
        self._go_to(state["batch"])

    def close(self) -> None:
        """Ends worker processes and threads."""
        self._ahead.clear()  # what workers made lies in memory shared with them
        self._iterator.close()

    def _go_to(self, batch: int) -> None:
        self._taken, self._ahead = batch, collections.deque()
        in_background = bool(self._workers or self._loader.threads)
        options = grain.ReadOptions(
            num_threads=int(in_background), prefetch_buffer_size=AHEAD if in_background else 0
        )
        numbers = grain.MapDataset.range(batch, ENDLESS).map(self._loader)
        made = numbers.to_iter_dataset(options)
        if self._workers:
            if not flags.FLAGS.is_parsed():  # Grain reads some; programs without absl parse none
                flags.FLAGS.mark_as_parsed()
            each = grain.MultiprocessingOptions(num_workers=self._workers)
            made = made.mp_prefetch(each, worker_init_fn=self._start_worker)
        self._iterator = iter(made)

    def _prepare(self, made: Mapping[str, Mapping[str, Any]]) -> tuple[Any, dict[str, Any]]:
        """(the batch, what was said about its samples)."""
        report = {
            name: {key: one[key] for key in ("truncated", "missing", "bad", "remarks")}
            | {"good": arrays.length(one["media"])}
            for name, one in made.items()
        }
        if any(one["missing"] for one in report.values()):
            return None, report
        # memory that is shared with a worker is given back at once, not under a device's feet
        own = np.array if self._workers else np.asarray
        return self._put(
            {
                name: {key: arrays.each(own, one[key]) for key in ("media", "text")}
                for name, one in made.items()
            }
        ), report
