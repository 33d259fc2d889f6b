"""Depth maps as stored in files: readers by format, told by the first bytes.

Every reader gives the stored numbers, [h, w]: whole numbers in some unit, floating point in metres.
Formats that need more than the package's own libraries name the extra `sensors`.
"""

import io
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from lb_jax.core import errors
from lb_jax.media import extras, given, image
from lb_jax.media.pictures import tiff
from lb_jax.media.sensors import exr, maps, matlab, netpbm

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
    return maps.one_map(_loaded(content, name))


def _loaded(content: BinaryIO, name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on old headers
            return np.load(content, allow_pickle=False)
    except NPY_ERRORS as e:
        raise errors.DataError(
            name, f"is no array that NumPy reads ({maps.short(e)}); save it again"
        ) from e


def _npz(file: BinaryIO, name: str) -> np.ndarray:
    with maps.told("NPZ", name, NPY_ERRORS), zipfile.ZipFile(file) as opened:
        sizes = {one.filename: one.file_size for one in opened.infolist()}
        arrays = {}
        for one in sizes:
            if one.endswith(".npy"):
                with opened.open(one) as member:
                    arrays[one.removesuffix(".npy")] = _header(member)
        chosen = maps.choose(arrays, name) + ".npy"
        if sizes[chosen] > MAX_BYTES:
            raise image.too_large(name, f"{sizes[chosen]} bytes")
        return maps.two_axes(_loaded(io.BytesIO(opened.read(chosen)), name))


def _header(member: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of a saved array."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version, np.lib.format.read_array_header_2_0)
    shape, _, dtype = read(member)
    return shape, dtype


def _tiff(file: BinaryIO, name: str) -> np.ndarray | None:
    about = tiff.layout(file, name)
    if about is None or about.samples != 1 or about.bits <= 8:
        return None  # Pillow says what it is
    maps.require_size(about.width, about.height, name)
    file.seek(0)
    return tiff.upright(tiff.grey(file.read(), about, name), about)


def _hdf5(file: BinaryIO, name: str) -> np.ndarray:
    with extras.needed("an HDF5 file (so is MATLAB's v7.3 .mat)", "h5py", name):
        import h5py
    is_matlab = file.read(6) == b"MATLAB"
    file.seek(0)
    with maps.told("HDF5", name), h5py.File(file, "r") as opened:
        sets: dict[str, Any] = {}
        _datasets(h5py, opened, "", sets)
        key = maps.choose({key: (one.shape, one.dtype) for key, one in sets.items()}, name)
        chosen = sets[key]
        if chosen.external or chosen.is_virtual:
            raise errors.DataError(name, f"keeps {key} in other files; save it whole in one")
        if chosen.nbytes > MAX_BYTES:
            raise image.too_large(name, f"{chosen.nbytes} bytes")
        array = np.asarray(chosen[()])
    return maps.two_axes(array.T if is_matlab else array)


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
    with maps.told("MATLAB", name, MATLAB_ERRORS):
        found = {one.name: one for one in matlab.entries(content)}
        key = maps.choose({key: (one.shape, one.dtype) for key, one in found.items()}, name)
        height, width, *_ = [n for n in found[key].shape if n != 1]
        maps.require_size(width, height, name)
        return maps.two_axes(matlab.read(content, found[key]))


MATLAB_ERRORS = (ValueError, LookupError, StopIteration, struct.error, MemoryError)


def _heif(file: BinaryIO, name: str) -> np.ndarray:
    """Says what kind of depth a HEIC holds; phones write disparity, whose scale is not told."""
    with extras.needed("a HEIC file", "pillow-heif", name):
        import pillow_heif
    content = file.read()
    with maps.told("HEIC", name):
        opened = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
        width, height = opened.size
        maps.require_size(width, height, name)
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
    with maps.told("HEIC", name):
        values = np.asarray(depth[0])
        height, width = values.shape[:2]
        maps.require_size(width, height, name)
    largest = np.iinfo(values.dtype).max
    return (near + values.astype(np.float32) / largest * (far - near)).astype(np.float32)


# as libheif numbers them
HEIF_KINDS = {
    0: "inverse depth",
    1: "disparity",
    2: "depth without its range",
    3: "disparity on a scale of its own",
}


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


# whether the first bytes are of a format -> its reader
FORMATS: tuple[
    tuple[Callable[[bytes], bool], Callable[[BinaryIO, str], np.ndarray | None]], ...
] = (
    (_starts(b"\x93NUMPY"), _npy),
    (_starts(b"PK\3\4"), _npz),
    (_starts(b"P2", b"P5"), netpbm.pgm),
    (_starts(b"Pf", b"PF"), netpbm.pfm),
    (_starts(*tiff.MAGIC), _tiff),
    (_starts(b"\x76\x2f\x31\x01"), exr.read),
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
