"""What a caller may hand in as media, and how its bytes are reached."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from lb_jax.core import errors

Media = str | os.PathLike | bytes | Image.Image | np.ndarray | tuple[np.ndarray, int]


def describe(media: object) -> str:
    """Returns how errors name the media: the path, or what kind of object it is."""
    match media:
        case str() | os.PathLike():
            return str(media)
        case bytes():
            return f"<{len(media)} bytes>"
        case Image.Image():
            return f"<PIL image {media.mode} {media.width}x{media.height}>"
        case np.ndarray():
            return f"<array {media.dtype} {list(media.shape)}>"
        case (np.ndarray() as samples, rate):
            return f"<array {samples.dtype} {list(samples.shape)} at {rate!r} Hz>"
        case _:
            return f"<{type(media).__name__}>"


def unusable(media: object, accepted: str) -> errors.DataError:
    """Returns the error for media of a type, dtype or shape that a modality does not take."""
    return errors.DataError(describe(media), f"cannot be used here; accepted are a path, bytes, {accepted}")


@contextlib.contextmanager
def stream(media: object, accepted: str) -> Iterator[BinaryIO]:
    """Opens a path or bytes as a seekable binary stream.

    Args:
      media: a path or the bytes of a file.
      accepted: what else the modality takes, for the error about other objects.

    Raises:
      errors.DataError: neither path nor bytes, no such file, not a regular file, empty or unreadable.
    """
    match media:
        case bytes():
            if not media:
                raise errors.DataError(describe(media), "is empty, expected the content of a media file")
            yield io.BytesIO(media)
        case str() | os.PathLike():
            with _open(Path(media)) as file:
                yield file
        case _:
            raise unusable(media, accepted)


def _open(path: Path) -> BinaryIO:
    try:
        if not path.exists():
            raise errors.DataError(path, "does not exist; give the path of a media file")
        if not path.is_file():
            raise errors.DataError(path, "is not a regular file; give the path of one media file")
        if path.stat().st_size == 0:
            raise errors.DataError(path, "is an empty file; download or export it again")
        return path.open("rb")
    except (OSError, ValueError) as e:  # ValueError: a NUL inside the name
        raise errors.DataError(path, f"cannot be opened: {e}") from e
