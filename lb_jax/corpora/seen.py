"""Which rows a model was trained on, kept with its checkpoint, and whether others are among them.

A row is known by the path of its file; or by the end of it with the caption, as corpora are moved.
Kept are short hashes of both, 12 bytes for each row and caption. Corpora whose media are no files
are not kept, nor are those of more than `AT_MOST` rows: of them nothing is said.
"""

import base64
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from lb_jax.core import checkpoint, errors
from lb_jax.corpora import captions
from lb_jax.corpora.rows import Row, Source
from lb_jax.media.sensors.depth_units import Measured

AT_MOST = 50_000  # rows of a modality in all its corpora, which are read in seconds
BYTES = 6  # of a hash: two of 100,000 and 1,000 rows are alike by chance once in two million times
PARTS = 2  # of a path's end


def of_row(file: Path, caption: str) -> set[bytes]:
    """The two hashes that a row is known by."""
    told = (os.path.abspath(file), f"{'/'.join(file.parts[-PARTS:])}\n{caption}")
    return {
        hashlib.blake2b(one.encode("utf-8", "surrogatepass"), digest_size=BYTES).digest()
        for one in told
    }


def of_sources(sources: Iterable[Source], modality: str, kind: str) -> set[bytes] | None:
    """The hashes of all rows that a modality is trained on; None where they are not kept.

    Args:
      sources: its corpora.
      modality: which of a row's files.
      kind: of its captions.
    """
    found: set[bytes] = set()
    numbers = [(source, source.having(modality)) for source in sources]
    if sum(len(rows) for _, rows in numbers) > AT_MOST:
        return None
    for source, rows in numbers:
        for number in rows:
            try:
                row = source[int(number)]
            except errors.DataError:  # told of when the row is loaded
                continue
            files = list(_files(row, modality))
            if not files:
                return None
            for caption in captions.all_texts(row, kind):
                found.update(*(of_row(file, caption) for file in files))
    return found


def write(folder: Path, found: Mapping[str, Collection[bytes]]) -> None:
    """Writes the hashes of each modality beside the weights of a checkpoint."""
    told = {
        name: base64.b64encode(b"".join(sorted(hashes))).decode() for name, hashes in found.items()
    }
    checkpoint.write_json(Path(folder) / checkpoint.SEEN, told)


def read(folder: Path) -> dict[str, frozenset[bytes]]:
    """The hashes of each modality; none of a checkpoint that does not know.

    Raises:
      CheckpointError: the file is damaged.
    """
    path = Path(folder) / checkpoint.SEEN
    if not path.is_file():
        return {}
    stored = checkpoint.read_json(path)
    try:
        packed = {name: base64.b64decode(one, validate=True) for name, one in stored.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise errors.CheckpointError(
            f"{path}: no list of rows ({error}); delete it, and nothing is said of rows that were "
            "trained on."
        ) from error
    return {
        name: frozenset(one[i : i + BYTES] for i in range(0, len(one), BYTES))
        for name, one in packed.items()
    }


def _files(row: Row, modality: str) -> Iterator[Path]:
    """The files of a row, as far as they are files."""
    if not isinstance(row.media, dict):  # others read when they are asked for
        return
    for one in row.media[modality]:
        for part in one if isinstance(one, tuple) else (one,):
            file = part.file if isinstance(part, Measured) else part
            if isinstance(file, Path):
                yield file
