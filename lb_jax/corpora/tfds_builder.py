"""A corpus as a TFDS dataset that holds encoded bytes, written without TensorFlow.

One feature for each modality and caption kind, named after it, besides `id`; none is decoded when
it is read. `shards` is how `lb-jax data convert --to tfds` writes it, in any size and resumable.
`LbJaxCorpus` is the same as a TFDS builder, whose TFDS writer keeps up to 1 GB of a split in memory
and needs TensorFlow beyond.
"""

import functools
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import pack, reading, record
from lb_jax.corpora.rows import Row, Source
from lb_jax.media.sensors.depth_units import Measured

NAME, VERSION, SPLIT = "lb_jax_corpus", "1.0.0", "train"
# Modalities whose item may be still pictures: how many of the bytes belong to each item, 0 for a
# file of its own.
PARTS = {m.name: f"{m.name}_parts" for m in MODALITIES.values() if m.has_frames}
DESCRIPTION = "Media as encoded bytes with captions of several kinds; written by lb_jax."

# tensorflow_datasets 4.9.10, core/shuffle.py, MAX_MEM_BUFFER_SIZE: beyond it `tf.io` writes files.
_IN_MEMORY_BYTES = 1000 << 20


def features(modalities: Iterable[str], text_kinds: Iterable[str]) -> tfds.features.FeaturesDict:
    """The features of a corpus: a row that lacks one has an empty sequence there."""
    media = {name: tfds.features.Sequence(np.bytes_) for name in modalities}
    parts = {PARTS[name]: tfds.features.Sequence(np.int64) for name in media if name in PARTS}
    texts = {kind: tfds.features.Sequence(tfds.features.Text()) for kind in text_kinds}
    return tfds.features.FeaturesDict({"id": tfds.features.Text(), **texts, **media, **parts})


def example(
    row: Row, modalities: Iterable[str], text_kinds: Iterable[str]
) -> dict[str, str | list[Any]]:
    """A row, with its media as bytes, as `features` lays it down.

    Raises:
      errors.DataError: still pictures as one item where the modality has none; narrations.
    """
    if row.narrations is not None:
        raise errors.DataError(
            row.id, "has narrations, which TFDS has no place for; pack as array_record"
        )
    found: dict[str, str | list[Any]] = {"id": row.id}
    for kind in text_kinds:
        given = row.texts.get(kind, ())
        found[kind] = [given] if isinstance(given, str) else list(given)
    for name in modalities:
        items = row.media.get(name, ())
        if any(isinstance(item, Measured) for item in items):
            raise errors.DataError(
                row.id,
                "has depth in a unit of its own, which TFDS has no place for; convert it to one "
                "unit, or pack as array_record",
            )
        stills = [isinstance(item, tuple) for item in items]
        if any(stills) and name not in PARTS:
            raise errors.DataError(row.id, f"has several pictures as one {name}; expected files")
        found[name] = [
            one for item in items for one in (item if isinstance(item, tuple) else (item,))
        ]
        if name in PARTS:
            found[PARTS[name]] = [len(item) if isinstance(item, tuple) else 0 for item in items]
    return found


def shards(source: Source, only: Iterable[str] | None = None) -> pack.Format:
    """How `pack.pack(source, folder, to=shards(source))` writes a TFDS dataset.

    The folder then opens with `tfds.builder_from_directory(folder)`, and by name where it is
    DATA_DIR/lb_jax_corpus/1.0.0.

    Args:
      source: the corpus.
      only: as for `pack.pack`.

    Raises:
      errors.ConfigError: rows of the source never carry one of the modalities.
    """
    names = reading.chosen(source, only), source.text_kinds
    laid_down = features(*names)
    serializer = tfds.core.ExampleSerializer(laid_down.get_serialized_info())

    def encode(row: Row) -> bytes:
        encoded = laid_down.encode_example(example(row, *names))
        # protobuf promises no order of the features otherwise
        return serializer.get_tf_example(encoded).SerializeToString(deterministic=True)

    return pack.Format(
        "TFDS",
        f"{NAME}-{SPLIT}.array_record-{{shard:05d}}-of-{{shards:05d}}",
        encode,
        functools.partial(_write_metadata, laid_down),
    )


def _write_metadata(
    laid_down: tfds.features.FeaturesDict, folder: Path, written: Sequence[Mapping[str, Any]]
) -> None:
    split = tfds.core.SplitInfo(
        name=SPLIT,
        shard_lengths=[shard["rows"] for shard in written],
        num_bytes=sum(shard["content_bytes"] for shard in written),
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=laid_down,
        split_infos=[split],
        version=VERSION,
        check_data=False,  # it would read by TensorFlow
        description=DESCRIPTION,
        disable_shuffling=True,
    )


class LbJaxCorpus(tfds.core.GeneratorBasedBuilder):
    """Any of our sources as a TFDS dataset, rows in their order.

        builder = LbJaxCorpus(splits={"train": Vidal("train.json")}, data_dir="data")
        builder.download_and_prepare()
        builder.as_data_source("train")[0]

    Args:
      splits: split -> source; needed to prepare, not to read.
      only: modalities to store; None takes all that rows may carry.
      max_bad_rate: share of the rows of a split that may be left out, see `pack.pack`.
      threads: rows read at a time.
      **arguments: those of every TFDS builder; `file_format` is "array_record" where none is given,
        for TFDS' own default needs TensorFlow.

    Raises:
      errors.ConfigError: a source never carries one of the modalities.
    """

    name = NAME
    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        *,
        splits: Mapping[str, Source] | None = None,
        only: Iterable[str] | None = None,
        max_bad_rate: float = reading.MAX_BAD_RATE,
        threads: int = reading.THREADS,
        **arguments: Any,
    ):
        self._splits, self._threads = dict(splits or {}), threads
        self._max_bad_rate = max_bad_rate
        only = None if only is None else tuple(only)
        chosen = {name for source in self._splits.values() for name in reading.chosen(source, only)}
        kinds = {kind for source in self._splits.values() for kind in source.text_kinds}
        self._modalities = [name for name in MODALITIES if name in chosen]
        self._kinds = [kind for kind in record.TEXT_NAMES if kind in kinds]
        super().__init__(**arguments)
        if arguments.get("file_format") is None and not self.info.initialized:
            self.info.set_file_format("array_record", override=True)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=DESCRIPTION,
            features=features(self._modalities, self._kinds),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        if not self._splits:
            raise errors.ConfigError(
                f"{NAME} is not prepared in {self.data_dir}; give splits={{'train': SOURCE}}."
            )
        return {split: self._generate_examples(source) for split, source in self._splits.items()}

    def _generate_examples(self, source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
        read = reading.Reading(
            source, self._modalities, max_bad_rate=self._max_bad_rate, threads=self._threads
        )
        held, limited = 0, importlib.util.find_spec("tensorflow") is None
        for number, row in read.rows():
            if row is None:
                continue
            found = example(row, self._modalities, self._kinds)
            held += sum(len(one) for name in self._modalities for one in found[name])
            if limited and held > _IN_MEMORY_BYTES:
                raise errors.DataError(
                    source.where,
                    f"holds more than {_IN_MEMORY_BYTES >> 20} MiB, which the writer of TFDS takes "
                    "only with TensorFlow installed; `lb-jax data convert SRC DST --to tfds` "
                    "writes the same dataset without it",
                )
            yield number, found
