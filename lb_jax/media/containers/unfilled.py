"""Sound files whose writer never came back to fill in the sizes: pipes, recorders without power.

Their samples run to the end of the file. Libraries read none, or refuse the file.
"""

import io
from typing import BinaryIO

from lb_jax.media.containers import formats, spliced


def filled(file: BinaryIO) -> BinaryIO:
    """Returns the file, or a view of it with the sizes that its header lacks.

    A size of 0 with nothing behind it, or with further chunks behind it, is a sound without
    samples, and stays.

    Args:
      file: seekable stream of any media file; it is left at its beginning.
    """
    found, held = formats.of(file), file.seek(0, io.SEEK_END)
    mended = {} if found is None or found.mended is None else found.mended(file, held)
    file.seek(0)
    if not mended:
        return file
    parts: list[spliced.Part] = []
    done = 0
    for offset, size in sorted(mended.items()):
        parts += [(done, offset), size]
        done = offset + len(size)
    return spliced.spliced(file, [*parts, (done, held)])
