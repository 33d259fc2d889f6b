"""What a user gives as media: how errors name it, and how its bytes are reached.

Damage to a container becomes an error here instead of a shorter clip later.
"""

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.media.containers import formats

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Picture = str | os.PathLike | bytes | Image.Image | np.ndarray
# Samples with a rate are a sound, readings with one motion, a sequence of pictures is a clip.
Media = Picture | tuple[np.ndarray, int | float] | Sequence[Picture]

AGAIN = "download or export it again"


def describe(media: object) -> str:
    """Returns how errors name the media: the path, or what kind of object it is."""
    match media:
        case str() | os.PathLike():
            return str(media)
        case bytes():
            return f"<{counted(len(media), 'byte')}>"
        case Image.Image():
            return f"<PIL image {media.mode} {media.width}x{media.height}>"
        case np.ndarray():
            return f"<array {media.dtype} {list(media.shape)}>"
        case (np.ndarray() as samples, rate):
            return f"<array {samples.dtype} {list(samples.shape)} at {rate!r} Hz>"
        case list() | tuple() if media:
            return f"<{counted(len(media), 'item')}, the first {describe(media[0])}>"
        case _:
            return f"<{type(media).__name__}>"


def unusable(media: object, accepted: str) -> errors.DataError:
    """Returns the error for media of a type, dtype or shape that a modality does not take."""
    return errors.DataError(
        describe(media), f"cannot be used here; accepted are a path, bytes, {accepted}"
    )


def window(start_s: float, end_s: float | None) -> str:
    """Returns how errors name a stretch of a file, in seconds; None is its end."""
    return f"from {start_s:g} s to {'its end' if end_s is None else f'{end_s:g} s'}"


@contextlib.contextmanager
def stream(media: object, accepted: str) -> Iterator[BinaryIO]:
    """Opens a path or bytes as a seekable binary stream, after checking the container is whole.

    Args:
      media: a path or the bytes of a file.
      accepted: what else the modality takes, for the error about other objects.

    Raises:
      errors.DataError: neither path nor bytes, no such file, not a regular file, empty, unreadable,
        or cut off.
    """
    name = describe(media)
    match media:
        case bytes():
            opened = io.BytesIO(media)
        case str() | os.PathLike():
            opened = _open_file(Path(media))
        case _:
            raise unusable(media, accepted)
    with opened as file, _disk_errors(file, name):
        held, promised = file.seek(0, io.SEEK_END), formats.promised_size(file)
        if held == 0:
            raise errors.DataError(name, f"is empty; {AGAIN}")
        if promised > held:
            raise errors.DataError(
                name,
                f"is cut off: its container promises {promised} bytes, {held} are there; {AGAIN}",
            )
        file.seek(0)
        yield file


class _Watched(io.FileIO):
    """A file that remembers that reading it failed, whatever a decoder makes of it.

    Attributes:
      failure: the last error; None while there is none.
    """

    failure: OSError | None = None

    def readinto(self, buffer: "WriteableBuffer", /) -> int | Any:
        with self._watching():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with self._watching():
            return super().readall()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            self.failure = e
            raise


@contextlib.contextmanager
def _disk_errors(file: BinaryIO, name: str) -> Iterator[None]:
    """Tells a disk that fails, or a file that cannot seek, from a file that is damaged."""
    raw = getattr(file, "raw", None)
    try:
        yield
    except Exception as e:  # a decoder may make any error of a failed read; others pass as they are
        failure = getattr(raw, "failure", None) or (e if isinstance(e, OSError) else None)
        if failure is None or raw is None:
            raise
        raise _unread(name, failure) from failure
    if getattr(raw, "failure", None) is not None:  # a decoder took it for the end
        raise _unread(name, raw.failure) from raw.failure


def _unread(name: str, failure: OSError) -> errors.DataError:
    reason = failure.strerror or failure
    return errors.DataError(name, f"cannot be read ({reason}); mend its disk or copy it again")


def _open_file(path: Path) -> BinaryIO:
    try:
        if not path.exists():
            raise errors.DataError(path, "does not exist; give the path of a media file")
        if not path.is_file():
            raise errors.DataError(path, "is not a regular file; give the path of one media file")
        return io.BufferedReader(_Watched(path))
    except OSError as e:
        raise errors.DataError(
            path, f"cannot be opened ({e.strerror or e}); give the path of a readable media file"
        ) from e
