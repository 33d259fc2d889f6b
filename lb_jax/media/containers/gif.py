"""GIF: blocks and a trailer."""

from typing import BinaryIO


def end(file: BinaryIO) -> int:
    """Walks the blocks to the trailer; a colour table and data sub-blocks may follow a header.

    Layout: GIF89a specification, sections 15 to 27.
    """
    file.seek(0)
    data = file.read()

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    offset = 13 + (table(data[10]) if len(data) > 10 else 0)
    while offset < len(data):
        match data[offset]:
            case 0x21:  # extension: label, sub-blocks
                offset += 2
            case 0x2C if offset + 9 < len(data):  # image: place, flags, colour table, code size
                offset += 11 + table(data[offset + 9])
            case 0x3B:
                return offset + 1
            case _:
                return offset
        while offset < len(data) and data[offset]:
            offset += 1 + data[offset]
        offset += 1
    return offset + 1
