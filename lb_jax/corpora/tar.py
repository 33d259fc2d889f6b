"""Where the files in an uncompressed tar archive lie, so that they can be read without unpacking.

ustar with the long names of GNU tar and pax. Unlike the standard library's reader a damaged or cut
off archive never looks like a short one, and a million members take no objects of their own.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from lb_jax.core import errors
from lb_jax.corpora import vidal

BLOCK = 512
_END = bytes(BLOCK)
# Types of POSIX.1-1988 and -2001 and of GNU tar.
_FILES, _FOLDER = (b"0", b"\0", b"7"), b"5"
_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL = b"L", b"K", b"x", b"g"
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_MAX_NAME_BYTES = 1 << 16  # of a name or extended header
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
# A part of a path that is no name: `//`, `./`, `../`, or the start of an absolute one.
_ODD_PART = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")
_OCTAL = re.compile(rb"[0-7]+")
_PAX_RECORD = re.compile(rb"(\d{1,9}) ([^=]+)=")


class Member(NamedTuple):
    """A file in an archive: its name with `/` between folders, and which bytes it is."""

    name: str
    offset: int
    size: int


def members(path: Path) -> Iterator[Member]:
    """Files of an archive in their order.

    Raises:
      DataError: unreadable, compressed, damaged or cut off archive; a member whose path leads out
        of it, or that is neither file nor folder.
    """
    try:
        with path.open("rb") as file:
            yield from _members(path, file)
    except OSError as e:
        raise errors.DataError(path, f"cannot be read ({e.strerror}); expected an archive") from e


def _members(path: Path, file: BinaryIO) -> Iterator[Member]:
    end = file.seek(0, 2)
    at, changed = 0, {}  # what extended headers say about the next member
    while True:
        file.seek(at)
        header = file.read(BLOCK)
        if header == _END:
            return
        if len(header) < BLOCK:
            raise _cut(path, f"it ends at byte {end} without the mark of its end")
        _check(path, header, at)
        kind, at = header[156:157], at + BLOCK
        special = kind in (_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL)
        said = {} if special else changed
        name = said.get("path", _name(header))
        size = said.get("size", _number(path, header[124:136], at))
        if at + size > end:
            raise _cut(path, f"{_shown(name)} should reach byte {at + size}, the file has {end}")
        if special:
            if size > _MAX_NAME_BYTES:
                raise errors.DataError(path, f"has a header of {size} bytes at {at}; pack it again")
            content = file.read(size)
            if kind == _LONG_NAME:
                changed["path"] = content.rstrip(b"\0")
            elif kind == _EXTENDED:
                changed |= _extended(path, content, at)
        else:
            changed = {}
            text = _accepted(path, name, kind)
            if kind in _FILES and not name.endswith(b"/"):  # V7 marks a folder like this
                yield Member(text, at, size)
        at += -(-size // BLOCK) * BLOCK


def _check(path: Path, header: bytes, at: int) -> None:
    """Compares the header's checksum, which counts its own field as spaces."""
    stored = header[148:156].strip(b" \0")
    found = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if _OCTAL.fullmatch(stored) and int(stored, 8) == found:
        return
    packed = [name for start, name in _COMPRESSED.items() if header.startswith(start)]
    if at == 0 and packed:
        raise errors.DataError(
            path, f"is compressed by {packed[0]}, which allows no random access; decompress it"
        )
    if at == 0:
        raise errors.DataError(path, "is no tar archive; expected uncompressed tar")
    raise errors.DataError(path, f"is damaged at byte {at}; download or pack it again")


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0")[0], b""
    if header[257:263] == b"ustar\0":  # GNU tar keeps times in the place of the prefix
        prefix = header[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def _number(path: Path, field: bytes, at: int) -> int:
    """Reads a size: octal digits, or binary behind a set first bit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits and not _OCTAL.fullmatch(digits):
        raise errors.DataError(path, f"is damaged at byte {at - BLOCK}; download or pack it again")
    return int(digits or b"0", 8)


def _extended(path: Path, content: bytes, at: int) -> dict[str, bytes | int]:
    """Reads the name and size in a pax header, records of `<length> <key>=<value>\\n`."""
    found, start = {}, 0
    while start < len(content):
        match = _PAX_RECORD.match(content, start)
        length = int(match[1]) if match else 0
        value = content[match.end() : start + length - 1] if match else b""
        whole = match and match.end() < start + length <= len(content)
        if not whole or (match[2] == b"size" and not value.isdigit()):
            raise errors.DataError(path, f"is damaged at byte {at}; download or pack it again")
        if match[2] == b"path":
            found["path"] = value
        elif match[2] == b"size":
            found["size"] = int(value)
        elif match[2].startswith(b"GNU.sparse"):
            raise errors.DataError(path, f"holds a sparse file at byte {at}; pack it without")
        start += length
    return found


def _accepted(path: Path, name: bytes, kind: bytes) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError as e:
        raise errors.DataError(
            path, f"names a file {_shown(name)}, which is not UTF-8; rename it"
        ) from e
    if not _ODD_PART.search(text) and kind in _FILES:
        return text
    if vidal.escapes(text):
        raise errors.DataError(
            path, f"member {text!r} leads out of the archive; pack it with relative paths"
        )
    if kind not in (*_FILES, _FOLDER):
        what = _REFUSED.get(kind, f"of the unknown type {kind!r}")
        raise errors.DataError(
            path, f"member {text!r} is {what}; expected files and folders. Pack the file itself"
        )
    return str(PurePosixPath(text))


def _shown(name: bytes) -> str:
    return repr(name.decode(errors="backslashreplace"))


def _cut(path: Path, why: str) -> errors.DataError:
    return errors.DataError(path, f"is cut off: {why}; download or pack it again")
