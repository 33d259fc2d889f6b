"""Which container format a file is of, where it says that it ends, and what sizes it lacks.

A cut file is found by its end: decoders shorten it without a word.
"""

import dataclasses
from collections.abc import Callable
from typing import BinaryIO

from lb_jax.media.containers import (
    aiff,
    au,
    caf,
    gif,
    iso,
    matroska,
    mp3,
    mpegts,
    ogg,
    riff,
    wave64,
)

HEAD = 12  # bytes that tell a format


@dataclasses.dataclass(frozen=True)
class Format:
    """A container format.

    Attributes:
      is_one: whether a file begins so, by its first `HEAD` bytes.
      end: where a file says that its last structure ends; 0 where it does not say.
      mended: file and its length -> sizes that its header lacks by their offset, where a writer
        that never came back leaves some.
    """

    is_one: Callable[[bytes], bool]
    end: Callable[[BinaryIO], int]
    mended: Callable[[BinaryIO, int], dict[int, bytes]] | None = None


def _form(names: tuple[bytes, ...], kinds: tuple[bytes, ...]) -> Callable[[bytes], bool]:
    """Whether a file begins with one of some names and, behind a size, one of some kinds."""
    return lambda head: head[:4] in names and head[8:12] in kinds


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


# The first row that fits counts.
FORMATS = (
    Format(_form((b"RIFF",), (b"WAVE",)), riff.end, riff.mended),
    Format(_form((b"RIFF",), (b"AVI ",)), riff.end),
    Format(_form((b"RIFX",), (b"WAVE",)), riff.big_end, riff.big_mended),
    Format(_form((b"RF64", b"BW64"), (b"WAVE",)), riff.wide_end, riff.mended),
    Format(_starts(wave64.MAGIC[:HEAD]), wave64.end, wave64.mended),
    Format(_starts(b"caff"), caf.end, caf.mended),
    Format(_starts(b".snd"), au.end, au.mended),
    Format(_form((b"FORM",), (b"AIFF", b"AIFC")), riff.big_end, aiff.mended),
    Format(_starts(b"GIF87a", b"GIF89a"), gif.end),
    Format(lambda head: b"G" in (head[:1], head[4:5]), mpegts.end),
    Format(lambda head: head[4:8] in (b"ftyp", b"styp", b"moov"), iso.end),
    Format(_starts(b"\x1a\x45\xdf\xa3"), matroska.end),
    Format(_starts(b"OggS"), ogg.end),
    Format(_starts(b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xfa", b"\xff\xf2"), mp3.end),
)


def of(file: BinaryIO) -> Format | None:
    """The format of a file by how it begins; None for others. The file is left anywhere."""
    file.seek(0)
    head = file.read(HEAD)
    return next((one for one in FORMATS if one.is_one(head)), None)


def promised_size(file: BinaryIO) -> int:
    """Returns where a container says its last structure ends, 0 for formats that do not say.

    Comparing this with the real size finds the cut. An MP3 without a table of contents and an
    MPEG-TS file only tell that their last frame or packet is not whole.
    """
    found = of(file)
    return 0 if found is None else found.end(file)
