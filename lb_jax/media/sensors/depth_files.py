"""Depth maps as stored in files: readers by format, told by the first bytes.

Every reader gives the stored numbers, [h, w]: whole numbers in some unit, floating point in metres.
Formats that need more than the package's own libraries name the extra `sensors`.
"""

import contextlib
import io
import os
import struct
import threading
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from lb_jax.core import errors
from lb_jax.media import given, image
from lb_jax.media.pictures import tiff
from lb_jax.media.sensors import matlab

SENSORS = "`pip install 'lb_jax[sensors]'` brings it"
# What numpy.load raises on damaged headers, which it reads as Python literals.
NPY_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    EOFError,
    SyntaxError,
    LookupError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
HDF5 = b"\x89HDF\r\n\x1a\n"
NAMES = ("depth", "depths", "depthmap", "z", "dataset", "data", "arr0")
MAX_BYTES = 16 * image.MAX_PIXELS
HEAD = 520  # of a file, for its format


def read(media: given.Media, accepted: str) -> np.ndarray | None:
    """Reads a file that Pillow would read otherwise, or not at all.

    Args:
      media: path or bytes.
      accepted: what the modality takes.

    Returns:
      [h, w] or what else the file holds, in this machine's byte order; None for other pictures.

    Raises:
      DataError: damaged, too large, without a depth map, or of a format whose library is not there.
    """
    name = given.describe(media)
    with given.stream(media, accepted) as file:
        head = file.read(HEAD)
        reader = next((reader for is_one, reader in FORMATS if is_one(head)), None)
        if reader is None:
            return None
        file.seek(0)
        array = reader(file, name)
    return None if array is None else array.astype(array.dtype.newbyteorder("="), copy=False)


def _npy(file: BinaryIO, name: str) -> np.ndarray:
    """Loads an array, never a pickle."""
    content = io.BytesIO(file.read())  # from a file NumPy would clear as much memory as is claimed
    return one_map(_loaded(content, name))


def one_map(array: np.ndarray) -> np.ndarray:
    """[h, w, 1], as programs write one map, without that axis; [1, h, w] is a batch."""
    return array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array


def _loaded(content: BinaryIO, name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on old headers
            return np.load(content, allow_pickle=False)
    except NPY_ERRORS as e:
        raise errors.DataError(
            name, f"is no array that NumPy reads ({_short(e)}); save it again"
        ) from e


def _npz(file: BinaryIO, name: str) -> np.ndarray:
    with _told("NPZ", name, NPY_ERRORS), zipfile.ZipFile(file) as opened:
        sizes = {one.filename: one.file_size for one in opened.infolist()}
        arrays = {}
        for one in sizes:
            if one.endswith(".npy"):
                with opened.open(one) as member:
                    arrays[one.removesuffix(".npy")] = _header(member)
        chosen = choose(arrays, name) + ".npy"
        if sizes[chosen] > MAX_BYTES:
            raise image.too_large(name, f"{sizes[chosen]} bytes")
        return _two_axes(_loaded(io.BytesIO(opened.read(chosen)), name))


def _header(member: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of a saved array."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version, np.lib.format.read_array_header_2_0)
    shape, _, dtype = read(member)
    return shape, dtype


def choose(arrays: Mapping[str, tuple[tuple[int, ...], np.dtype]], name: str) -> str:
    """The array of a file that is the depth map: the only one, or the one that is called so.

    Args:
      arrays: key -> shape and type.
      name: of the file, for the error.

    Raises:
      DataError: none is a map of numbers, or several are.
    """
    maps = [
        key
        for key, (shape, dtype) in arrays.items()
        if dtype.kind in "fiu" and len([n for n in shape if n != 1]) == 2
    ]
    plain = {key: key.rpartition("/")[2].lower().replace("_", "") for key in maps}
    for wanted in NAMES:
        named = [key for key in maps if plain[key] == wanted]
        if len(maps) > 1 and len(named) == 1:
            maps = named
    named = [key for key in maps if "depth" in plain[key]]
    if len(maps) > 1 and len(named) == 1:  # depth_gt, pred_depth
        maps = named
    if len(maps) == 1:
        return maps[0]
    found = ", ".join(
        f"{_printable(key)} {dtype} {list(shape)}"
        for key, (shape, dtype) in list(arrays.items())[:8]
    )
    raise errors.DataError(
        name,
        f"holds {found or 'no array'}; expected one map [h, w] of numbers, or one called depth. "
        "Save the map alone",
    )


def _two_axes(array: np.ndarray) -> np.ndarray:
    """A map without axes of length 1 beside its own two."""
    return array if array.ndim == 2 else array.squeeze()


def _map(file: BinaryIO, name: str) -> np.ndarray:
    """PGM of any maximum, the numbers as they are; None where they are of 8 bits."""
    fields, start = _netpbm(file.read(1 << 12), 4, name)
    kind, width, height, largest = fields[0], *map(_whole(name), fields[1:])
    _require_size(width, height, name)
    if largest < 256:
        return None
    if largest > 65535:
        raise errors.DataError(name, f"is a PGM of maximum {largest}, expected up to 65535")
    file.seek(start)
    if kind == b"P5":
        data = file.read(2 * width * height)
        if len(data) < 2 * width * height:
            raise errors.DataError(name, f"is a PGM that is cut off; {given.AGAIN}")
        return np.frombuffer(data, ">u2").reshape(height, width)
    # as long as all its numbers of five digits could be; comments make it longer
    words = file.read(64 * width * height + (1 << 16)).split()
    try:
        values = np.array(words[: width * height], np.int64)
    except (ValueError, OverflowError) as e:
        raise errors.DataError(name, f"is a damaged PGM ({_short(e)}); write it again") from e
    if len(values) < width * height:
        raise errors.DataError(name, f"is a PGM that is cut off; {given.AGAIN}")
    return values.reshape(height, width)


def _float_map(file: BinaryIO, name: str) -> np.ndarray:
    """PFM: rows from the bottom up, byte order by the sign of the scale.

    The size of the scale is not used: Middlebury's maps have 1/255 there, and are meant as stored.
    """
    fields, start = _netpbm(file.read(1 << 12), 4, name)
    if fields[0] == b"PF":
        raise errors.DataError(name, "is a PFM of three colours; expected one channel (Pf)")
    width, height = map(_whole(name), fields[1:3])
    _require_size(width, height, name)
    try:
        scale = float(fields[3])
    except ValueError:
        scale = 0.0
    if not 0 < abs(scale) < float("inf"):
        raise errors.DataError(name, f"is a PFM of scale {fields[3]!r}, expected a number but 0")
    file.seek(start)
    data = file.read(4 * width * height)
    if len(data) < 4 * width * height:
        raise errors.DataError(name, f"is a PFM that is cut off; {given.AGAIN}")
    if abs(scale) != 1:
        told = f"has the PFM scale {abs(scale):g}, which programs multiply by, divide by or ignore"
        warnings.warn(
            errors.DataWarning(name, f"{told}; its numbers are taken as they are"), stacklevel=5
        )
    return np.frombuffer(data, "<f4" if scale < 0 else ">f4").reshape(height, width)[::-1]


def _netpbm(head: bytes, count: int, name: str) -> tuple[list[bytes], int]:
    """The first words of a header, without comments, and where the data begin."""
    fields, place = [], 0
    while len(fields) < count and place < len(head):
        if head[place : place + 1].isspace():
            place += 1
        elif head[place : place + 1] == b"#":
            end = head.find(b"\n", place)
            place = len(head) if end < 0 else end
        else:
            end = place
            while end < len(head) and not head[end : end + 1].isspace():
                end += 1
            fields.append(head[place:end])
            place = end
    if len(fields) < count or place >= len(head):
        raise errors.DataError(name, "has a damaged PGM or PFM header; write it again")
    return fields, place + 1  # one white space


def _whole(name: str) -> Callable[[bytes], int]:
    def read(word: bytes) -> int:
        if not word.isdigit() or not 0 < int(word[:20]) < 1 << 31:
            raise errors.DataError(
                name, f"has {word[:20]!r} in its header, expected a whole number above 0"
            )
        return int(word)

    return read


def _tiff(file: BinaryIO, name: str) -> np.ndarray | None:
    about = tiff.layout(file)
    if about is None or about.samples != 1 or about.bits <= 8:
        return None  # Pillow says what it is
    _require_size(about.width, about.height, name)
    file.seek(0)
    return tiff.upright(tiff.grey(file.read(), about, name), about)


def _exr(file: BinaryIO, name: str) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError as e:
        raise errors.DataError(
            name, f"is an EXR file, which needs the library OpenEXR; {SENSORS}"
        ) from e
    content = file.read()
    with _told("EXR", name), _quiet():
        header = OpenEXR.File(io.BytesIO(content), header_only=True, num_threads=0)
        for part in header.parts:
            low, high = (np.asarray(one, np.int64) for one in part.header["dataWindow"])
            _require_size(*map(int, high - low + 1), name)
        opened = OpenEXR.File(io.BytesIO(content), separate_channels=True, num_threads=0)
        if len(opened.parts) < len(header.parts):  # it left out what it could not read
            raise errors.DataError(name, f"is an EXR file that is damaged; {given.AGAIN}")
        parts = [dict(part.channels) for part in opened.parts]
        several = len(parts) > 1
        pixels = {
            f"{number}.{key}" if several else key: np.asarray(one.pixels)
            for number, part in enumerate(parts)
            for key, one in part.items()
        }
    return pixels[_exr_channel(pixels, name)]


def _exr_channel(pixels: Mapping[str, np.ndarray], name: str) -> str:
    """The channel that is depth: `Z` of any layer, else one called depth, else the only one."""
    for is_one in (
        lambda key: key.rpartition(".")[2].lower() == "z",
        lambda key: "depth" in key.lower(),
        lambda key: len(pixels) == 1 or key in ("V", "Y"),
        lambda key: key == "R" and _are_equal(pixels),
    ):
        found = [key for key in pixels if is_one(key)]
        if len(found) == 1:
            return found[0]
    channels = ", ".join(map(_printable, list(pixels)[:8]))
    raise errors.DataError(
        name,
        f"is an EXR file of the channels {channels}; expected Z, a layer's ….Z or a single "
        "channel. Write the depth alone",
    )


def _are_equal(pixels: Mapping[str, np.ndarray]) -> bool:
    """Whether red, green and blue are the same, as programs write one channel three times."""
    return {"R", "G", "B"} <= set(pixels) and all(
        np.array_equal(pixels["R"], pixels[key], equal_nan=True) for key in "GB"
    )


def _hdf5(file: BinaryIO, name: str) -> np.ndarray:
    try:
        import h5py
    except ImportError as e:
        raise errors.DataError(
            name,
            f"is an HDF5 file (so is MATLAB's v7.3 .mat), which needs the library h5py; {SENSORS}",
        ) from e
    is_matlab = file.read(6) == b"MATLAB"
    file.seek(0)
    with _told("HDF5", name), h5py.File(file, "r") as opened:
        sets: dict[str, Any] = {}
        _datasets(h5py, opened, "", sets)
        key = choose({key: (one.shape, one.dtype) for key, one in sets.items()}, name)
        chosen = sets[key]
        if chosen.external or chosen.is_virtual:
            raise errors.DataError(name, f"keeps {key} in other files; save it whole in one")
        if chosen.nbytes > MAX_BYTES:
            raise image.too_large(name, f"{chosen.nbytes} bytes")
        array = np.asarray(chosen[()])
    return _two_axes(array.T if is_matlab else array)


def _datasets(h5py: Any, group: Any, path: str, found: dict[str, Any], depth: int = 0) -> None:
    """Datasets by path, through links that stay in the file, a few groups deep."""
    for key in list(group)[:1000]:
        link = group.get(key, getlink=True)
        if not isinstance(link, h5py.HardLink) or key.startswith("#"):
            continue
        one = group[key]
        if isinstance(one, h5py.Dataset):
            found[f"{path}{key}"] = one
        elif isinstance(one, h5py.Group) and depth < 8:
            _datasets(h5py, one, f"{path}{key}/", found, depth + 1)


def _matlab(file: BinaryIO, name: str) -> np.ndarray:
    content = file.read()
    with _told("MATLAB", name, MATLAB_ERRORS):
        found = {one.name: one for one in matlab.entries(content)}
        key = choose({key: (one.shape, one.dtype) for key, one in found.items()}, name)
        height, width, *_ = [n for n in found[key].shape if n != 1]
        _require_size(width, height, name)
        return _two_axes(matlab.read(content, found[key]))


MATLAB_ERRORS = (ValueError, LookupError, StopIteration, struct.error, MemoryError)


def _heif(file: BinaryIO, name: str) -> np.ndarray:
    """Says what kind of depth a HEIC holds; phones write disparity, whose scale is not told."""
    try:
        import pillow_heif
    except ImportError as e:
        raise errors.DataError(
            name, f"is a HEIC file, which needs the library pillow-heif; {SENSORS}"
        ) from e
    content = file.read()
    with _told("HEIC", name):
        opened = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
        _require_size(*opened.size, name)
        depth = opened.info.get("depth_images") or []
        kinds = [(one.info.get("metadata") or {}) for one in depth]
    if not depth:
        raise errors.DataError(name, "is a HEIC picture without a depth image; give a depth map")
    kind, near, far = (kinds[0].get(key) for key in ("representation_type", "z_near", "z_far"))
    told = HEIF_KINDS.get(kind, "disparity without its scale")
    if kind != 2 or near is None or far is None:
        raise errors.DataError(
            name,
            f"is a HEIC picture whose depth image holds {told}, which is no depth; export the "
            "depth in metres or millimetres as PNG, TIFF or NPY",
        )
    with _told("HEIC", name):
        values = np.asarray(depth[0])
        _require_size(*values.shape[1::-1], name)
    largest = np.iinfo(values.dtype).max
    return (near + values.astype(np.float32) / largest * (far - near)).astype(np.float32)


# as libheif numbers them
HEIF_KINDS = {
    0: "inverse depth",
    1: "disparity",
    2: "depth without its range",
    3: "disparity on a scale of its own",
}


def _require_size(width: int, height: int, name: str) -> None:
    if min(width, height) < 1 or width * height > image.MAX_PIXELS:
        raise image.too_large(name, f"{width}x{height}")


@contextlib.contextmanager
def _told(
    what: str, name: str, kinds: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Makes what a library raises on a damaged file an error of that file.

    These libraries raise whatever is at hand, and everything here is done by them.
    """
    try:
        yield
    except errors.LbJaxError:
        raise
    except kinds as e:
        raise errors.DataError(
            name, f"is a damaged {what} file, or of a kind that is not read ({_short(e)})"
        ) from e


_QUIET = threading.Lock()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what OpenEXR says itself off the screen: it raises the same, or leaves parts out."""
    with (
        _QUIET,
        open(os.devnull, "wb") as nothing,
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        before = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            others = [one for one in said.getvalue().splitlines(True) if "reading pixel" not in one]
    print("".join(others), end="")  # of other threads


def _printable(key: str) -> str:
    """A name in a file, fit for a line."""
    return key[:40] if key.isprintable() else ascii(key[:40])


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


# whether the first bytes are of a format -> its reader
FORMATS: tuple[
    tuple[Callable[[bytes], bool], Callable[[BinaryIO, str], np.ndarray | None]], ...
] = (
    (_starts(b"\x93NUMPY"), _npy),
    (_starts(b"PK\3\4"), _npz),
    (_starts(b"P2", b"P5"), _map),
    (_starts(b"Pf", b"PF"), _float_map),
    (_starts(*tiff.MAGIC), _tiff),
    (_starts(b"\x76\x2f\x31\x01"), _exr),
    (lambda head: HDF5 in (head[:8], head[512:520]), _hdf5),
    (_starts(b"MATLAB 5.0"), _matlab),
    (
        lambda head: (
            head[4:8] == b"ftyp"
            and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
        ),
        _heif,
    ),
)
