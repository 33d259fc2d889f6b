"""Which content of a file was embedded, and the unit that its depth was read in."""

import dataclasses
import hashlib
import os

from lb_jax.core import errors
from lb_jax.corpora.media_files import Source

UNIT = " depth_unit="
GONE = -1, -1  # size and time of change of a file that is not there


@dataclasses.dataclass(frozen=True)
class FileStamp:
    """Which content of a file was embedded."""

    sha256: str
    size: int
    mtime_ns: int

    @property
    def depth_unit(self) -> str:
        """Of the file's own; empty for none."""
        return ""


@dataclasses.dataclass(frozen=True)
class MeasuredStamp(FileStamp):
    """That of a file whose depth was read in a unit of its own."""

    unit: str

    @property
    def depth_unit(self) -> str:
        """Of the file's own."""
        return self.unit


def stamp_of(sha256: str, size: int, mtime_ns: int, preprocessing: str) -> FileStamp:
    """The stamp in a row, see `rows.Row`."""
    unit = preprocessing.partition(UNIT)[2]
    told = sha256, size, mtime_ns
    return MeasuredStamp(*told, unit) if unit else FileStamp(*told)


def with_unit(preprocessing: str, depth_unit: str) -> str:
    """What `Row.preprocessing` holds for a file with a unit of depth of its own, or without."""
    return f"{preprocessing}{UNIT}{depth_unit}" if depth_unit else preprocessing


def stamp(path: str | os.PathLike[str]) -> FileStamp:
    """Reads a file's stamp.

    Raises:
      DataError: when the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.DataError(path, f"cannot be read ({error.strerror}).") from error
    return FileStamp(digest, status.st_size, status.st_mtime_ns)


def now(path: str) -> tuple[int, int]:
    """Size and time of change; -1 for a file that is not there, which reading it will say."""
    try:
        status = os.stat(path)
    except OSError:
        return GONE
    return status.st_size, status.st_mtime_ns


def unit_of(source: Source, modality: str) -> str:
    """The unit of its own that a file is read in; empty for none."""
    return source.depth_unit if modality == "depth" else ""
