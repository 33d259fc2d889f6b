"""Annotation rows -> shuffled, decoded, batched arrays, with an exact position.

One Grain dataset per modality over one globally shuffled, seeded index; every process takes its
share of it. A sample that cannot be decoded is never swapped for another: it is written to the
quarantine list with its reason, and the batch is filled with the samples that follow.
"""

import dataclasses
import functools
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grain
import numpy as np

from lb_jax.core import errors, logging, modalities
from lb_jax.data import annotations, preprocess, tokenizer

# No rate is judged on fewer samples than this.
BAD_RATE_FROM = 50


@dataclasses.dataclass(frozen=True)
class BadSample:
    """A sample that could not be used: modality, file and reason."""

    modality: str
    path: str
    reason: str


class Loader:
    """Row -> `{"media": float32 [...], "text": int32 [n]}`, or a `BadSample`.

    Args:
      root: folder the media paths are relative to.
      modality: which of the row's files.
      spec: its preprocessing.
      text_kind: caption kind, see `annotations.draw_text`.
      text_length: tokens per caption.
      cache: keep decoded files in memory.
    """

    def __init__(
        self, root: Path, modality: str, spec: Any, text_kind: str, text_length: int, *, cache: bool
    ):
        self.root, self.modality, self.spec = root, modality, spec
        self.text_kind, self.text_length = text_kind, text_length
        self.cache: dict[Path, np.ndarray] | None = {} if cache else None

    def __call__(
        self, row: annotations.Row, rng: np.random.Generator
    ) -> dict[str, np.ndarray] | BadSample:
        where = f"{row.id}, {self.text_kind}"  # the caption, until the file is read
        try:
            text, frame = annotations.draw_text(row, self.text_kind, rng)
            ids = tokens(text, self.text_length)
            where = path = annotations.media_path(self.root, row, self.modality, frame)
            media = preprocess.transform(self.modality, self._decode(path), self.spec, rng)
        except errors.DataError as error:
            return BadSample(self.modality, str(where), error.reason)
        return {"media": media, "text": ids}

    def _decode(self, path: Path) -> np.ndarray:
        if self.cache is None:
            return preprocess.decode(self.modality, path, self.spec)
        if path not in self.cache:
            self.cache[path] = preprocess.decode(self.modality, path, self.spec)
        return self.cache[path]


class CaptionPairs:
    """Row -> `{"media": ids [n], "text": ids [n]}` of two captions, or a `BadSample`.

    Args:
      kinds: the two caption kinds, see `annotations.draw_text`.
      text_length: tokens per caption.
    """

    def __init__(self, kinds: tuple[str, str], text_length: int):
        self.kinds, self.text_length = kinds, text_length

    def __call__(
        self, row: annotations.Row, rng: np.random.Generator
    ) -> dict[str, np.ndarray] | BadSample:
        ids = []
        for kind in self.kinds:
            try:
                text, _ = annotations.draw_text(row, kind, rng)
                ids.append(tokens(text, self.text_length))
            except errors.DataError as error:
                return BadSample(modalities.TEXT, f"{row.id}, {kind}", error.reason)
        return {"media": ids[0], "text": ids[1]}


@functools.lru_cache(maxsize=1 << 17)  # repairing a text takes longer than looking it up
def tokens(text: str, length: int) -> np.ndarray:
    """A caption -> int32 [length]; see `tokenizer.tokenize`."""
    return tokenizer.tokenize(text, length)[0]


class Quarantine:
    """Records bad samples once each in a JSONL file and stops the run when there are too many."""

    def __init__(self, path: Path, max_bad_rate: float):
        self.path, self.max_bad_rate = path, max_bad_rate
        self.seen = self.bad = 0
        known = logging.read_metrics(path)
        self._known = {row["path"] for row in known}
        if path.exists():  # without a last line that a kill cut off
            path.write_text("".join(json.dumps(row) + "\n" for row in known), encoding="utf-8")

    def accept(self, sample: Any) -> bool:
        """Whether to train on this sample.

        Raises:
          DataError: once the share of bad samples exceeds the allowed rate.
        """
        self.seen += 1
        if not isinstance(sample, BadSample):
            return True
        self.bad += 1
        if sample.path not in self._known:
            self._known.add(sample.path)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(sample)) + "\n")
        if self.seen >= BAD_RATE_FROM and self.bad > self.max_bad_rate * self.seen:
            raise errors.DataError(
                self.path,
                f"{self.bad} of {self.seen} samples cannot be used, more than "
                f"config.data.max_bad_rate={self.max_bad_rate}; "
                f"last: {sample.path}: {sample.reason}. Mend the files listed there or "
                "raise the rate.",
            )
        return False


class Batches:
    """Endless batches with a position that can be saved and restored exactly.

    A batch is `{modality: {"media": [b, ...], "text": [b, n]}}`.
    """

    def __init__(self, datasets: Mapping[str, grain.IterDataset], quarantine: Quarantine):
        self._iterators = {name: iter(dataset) for name, dataset in datasets.items()}
        self._quarantine = quarantine

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> dict[str, dict[str, np.ndarray]]:
        return {name: next(iterator) for name, iterator in self._iterators.items()}

    def get_state(self) -> dict[str, Any]:
        """The position and the counts of the quarantine, ready for JSON."""
        return {
            "position": {name: one.get_state() for name, one in self._iterators.items()},
            "samples": [self._quarantine.seen, self._quarantine.bad],
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to a position that `get_state` gave."""
        for name, iterator in self._iterators.items():
            iterator.set_state(state["position"][name])
        self._quarantine.seen, self._quarantine.bad = state["samples"]


def make_batches(
    rows: Sequence[annotations.Row],
    loaders: Mapping[str, Loader | CaptionPairs],
    quarantine: Quarantine,
    *,
    batch_sizes: Mapping[str, int],
    seed: int,
    threads: int,
    process: tuple[int, int] = (0, 1),
) -> Batches:
    """Builds the pipeline.

    Args:
      rows: the annotated items; every one is taken once per epoch, in an order drawn from the seed.
      loaders: by modality.
      quarantine: where bad samples go.
      batch_sizes: items per batch by modality, of this process.
      seed: of the order and of every sample's own generator.
      threads: decoding threads per modality.
      process: (index, count) of this process among those that train together.
    """
    datasets = {}
    for name, loader in sorted(loaders.items()):
        size = batch_sizes[name]
        options = grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=2 * size if threads else 0
        )
        own_seed = zlib.crc32(
            f"{seed}/{name}".encode()
        )  # a modality's order does not depend on the others
        items = grain.MapDataset.source(rows).seed(own_seed).shuffle().repeat()
        items = items[process[0] :: process[1]].random_map(loader)
        datasets[name] = (
            items.to_iter_dataset(options)
            .filter(quarantine.accept)
            .batch(size, drop_remainder=True)
        )
    return Batches(datasets, quarantine)
