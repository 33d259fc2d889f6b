"""Grey TIFFs as they are meant, where Pillow takes them otherwise or not at all.

Pillow turns 8-bit pictures that are white at zero (TIFF 6.0, PhotometricInterpretation 0) and no
others, and knows few of the combinations of bits, sample formats and byte orders. libtiff, through
OpenCV, knows more; half precision is read by tifffile.
"""

import dataclasses
import io
import logging
import struct
import warnings
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from lb_jax.core import errors
from lb_jax.media import extras

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # damaged files are told here


class _Form(NamedTuple):
    """How a TIFF or BigTIFF writes its pages."""

    order: str
    place: str  # of something in the file, for `struct`
    count: str  # of tags, for `struct`
    first: int  # where the place of the first page stands
    entry: int  # bytes of a tag


_FORMS = {
    b"II*\0": _Form("<", "<I", "<H", 4, 12),
    b"MM\0*": _Form(">", ">I", ">H", 4, 12),
    b"II+\0": _Form("<", "<Q", "<Q", 8, 20),
    b"MM\0+": _Form(">", ">Q", ">Q", 8, 20),
}
MAGIC = tuple(_FORMS)
WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLES, SAMPLE_FORMAT = 256, 257, 258, 262, 277, 339
UNSIGNED, SIGNED, FLOATING = 1, 2, 3
WHITE_IS_ZERO, ORIENTATION = 0, 274
MAX_TAGS, MAX_PAGES = 4096, 64
TILE_WIDTH, TILE_LENGTH = 322, 323
MAX_TILE_PIXELS = 1 << 24  # or as many as the picture has: readers hold a whole tile
SUBFILE, REDUCED, MASK = 254, 1, 4  # NewSubfileType and two of its bits
# type of a tag's values -> format of one, of those that are whole numbers
VALUES = {1: "B", 3: "H", 4: "I", 16: "Q"}
# orientation -> what makes it upright, where no library does
TURNS = {
    2: np.fliplr,
    3: lambda values: np.rot90(values, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda values: np.rot90(values, -1),
    7: lambda values: np.rot90(values, 2).T,
    8: np.rot90,
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a TIFF says of its first picture.

    Attributes:
      width, height: in pixels.
      bits: of a sample.
      samples: of a pixel.
      kind: one of `UNSIGNED`, `SIGNED` and `FLOATING`.
      is_white_at_zero: whether the value 0 is white.
      orientation: how it is turned to stand upright, as in EXIF.
    """

    width: int
    height: int
    bits: int
    samples: int
    kind: int
    is_white_at_zero: bool
    orientation: int = 1

    @property
    def largest(self) -> int | None:
        """The value opposite to 0; None where the kind has none."""
        return (1 << self.bits) - 1 if self.kind == UNSIGNED else None


def layout(file: BinaryIO, name: str) -> Layout | None:
    """Reads the tags of the first picture; None for what is no TIFF or has no readable tags.

    Raises:
      DataError: its tiles are larger than any that is written.
    """
    started = _start(file)
    if started is None:
        return None
    form, place = started
    try:
        file.seek(place)
        count = _number(file, form.count)
        tags = _tags(file.read(form.entry * min(count, MAX_TAGS)), form)
        about = Layout(
            width=tags[WIDTH],
            height=tags[HEIGHT],
            bits=tags.get(BITS, 1),
            samples=tags.get(SAMPLES, 1),
            kind=tags.get(SAMPLE_FORMAT, UNSIGNED),
            is_white_at_zero=tags.get(PHOTOMETRIC) == WHITE_IS_ZERO,
            orientation=tags.get(ORIENTATION, 1),
        )
    except (struct.error, KeyError, OverflowError, OSError, ValueError):
        return None
    tile = tags.get(TILE_WIDTH, 0), tags.get(TILE_LENGTH, 0)
    if tile[0] * tile[1] > max(MAX_TILE_PIXELS, about.width * about.height):
        raise errors.DataError(
            name,
            f"is a TIFF of {about.width}x{about.height} pixels in tiles of {tile[0]}x{tile[1]}, so "
            "it is damaged; write it again",
        )
    return about


def grey(content: bytes, about: Layout, name: str) -> np.ndarray:
    """The stored values of a picture of one sample a pixel, by libtiff or tifffile.

    Args:
      content: of the file.
      about: its layout; its size has been looked at.
      name: of the file, for errors.

    Returns:
      [h, w] in the type of the file.

    Raises:
      DataError: damaged, or of a kind that neither reads.
    """
    if about.kind == FLOATING and about.bits == 16:
        return TURNS.get(about.orientation, lambda values: values)(_half(content, name))
    try:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        found = None
    sides = {(about.height, about.width), (about.width, about.height)}  # orientation is applied
    if found is None or found.shape not in sides or _bits(found) < about.bits:
        kind = {UNSIGNED: "whole", SIGNED: "signed whole", FLOATING: "floating point"}
        raise errors.DataError(
            name,
            f"is a TIFF of {about.bits}-bit {kind.get(about.kind, 'unknown')} numbers that is "
            "damaged or of a kind that cannot be read; write it again, uncompressed",
        )
    # OpenCV moves numbers of 9 to 15 bits to the upper end of 16
    return found >> (16 - about.bits) if 8 < about.bits < 16 else found


def upright(values: np.ndarray, about: Layout | None) -> np.ndarray:
    """Values as they are meant: turned where 0 is white and the type has a largest value."""
    if about is None or not about.is_white_at_zero or about.largest is None or about.bits <= 8:
        return values
    return values.dtype.type(about.largest) - values


def _half(content: bytes, name: str) -> np.ndarray:
    with extras.needed("a TIFF of 16-bit floating point", "tifffile", name):
        import tifffile
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # remarks on damaged files
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NumPy's, on how the library uses it
            return np.asarray(tifffile.imread(io.BytesIO(content), key=0, maxworkers=1))
    except Exception as error:  # the library raises whatever its codecs do
        raise errors.DataError(
            name, f"is a damaged TIFF ({' '.join(str(error).split())[:120]}); write it again"
        ) from error


def _bits(values: np.ndarray) -> int:
    return 8 * values.dtype.itemsize


def _start(file: BinaryIO) -> tuple[_Form, int] | None:
    """How a TIFF is written and where its first page lies; None for what is none."""
    file.seek(0)
    head = file.read(16)
    form = _FORMS.get(head[:4])
    if form is None or len(head) < form.first + struct.calcsize(form.place):
        return None
    return form, struct.unpack_from(form.place, head, form.first)[0]


def _number(file: BinaryIO, packing: str) -> int:
    return struct.unpack(packing, file.read(struct.calcsize(packing)))[0]


def _tags(entries: bytes, form: _Form) -> dict[int, int]:
    """Tag -> its first value, of those that lie in the entry itself."""
    found, order, size = {}, form.order, form.entry
    for place in range(0, len(entries) - size + 1, size):
        tag, kind = struct.unpack_from(f"{order}HH", entries, place)
        if kind in VALUES:
            found.setdefault(
                tag, struct.unpack_from(order + VALUES[kind], entries, place + size // 3 * 2)[0]
            )
    return found


def has_more(file: BinaryIO) -> bool:
    """Whether another page comes after the first, not a smaller copy of it and no mask."""
    started = _start(file)
    if started is None:
        return False
    form, place = started
    try:
        for page in range(MAX_PAGES):
            file.seek(place)
            count = _number(file, form.count)
            if count > MAX_TAGS:
                return False
            tags = _tags(file.read(form.entry * count), form)
            if page and not tags.get(SUBFILE, 0) & (REDUCED | MASK):
                return True
            place = _number(file, form.place)
            if not place:
                return False
    except (struct.error, OverflowError, OSError, ValueError):
        return False
    return False
