"""The zip files of `torch.save`, read without torch and without running what is in them.

A file holds a pickle and one uncompressed record per storage. The pickle (`guarded_pickle`) may use
only the opcodes that torch writes and name only what rebuilds tensors and numbers, or what training
loops keep beside them and nobody reads.
"""

import dataclasses
import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from lb_jax.convert import guarded_pickle, lazy
from lb_jax.core import errors

ZIP_MAGIC = b"PK\x03\x04"
MAX_PICKLE_BYTES = 16 << 20  # some 70,000 tensors; what unpickling may take grows with it
# A view with stride 0 may be larger than its file. Beyond this it is a trap, not a tensor.
MAX_VIEW_BYTES = 1 << 30

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
# The types wider than a byte without a sign have no storage of their own, only a name.
DTYPES = {name: np.dtype(name) for name in (*STORAGES.values(), "uint16", "uint32", "uint64")}
# All that zipfile and pickle raise on damaged bytes.
DAMAGE = (*guarded_pickle.DAMAGE, zipfile.BadZipFile)


def read_torch(path: Path) -> Any:
    """Reads the tree that `torch.save` wrote, with a LazyTensor for every tensor.

    Raises:
      CheckpointError: when the file is damaged or truncated, or holds anything but tensors, plain
        containers, numbers and strings.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            entries = _entries(path, file)
            folder = _folder(path, entries)
            records = {name: _span(path, file, entry) for name, entry in entries.items()}
            order = records.get(f"{folder}/byteorder")
            if order and (found := _content(path, order)) != b"little":
                raise errors.CheckpointError(
                    f"{path}: expected little-endian numbers, found byteorder {found[:20]!r}; "
                    "save it again on a little-endian machine."
                )
            pickled = _content(path, records[f"{folder}/data.pkl"])
        return _Unpickler(path, pickled, folder, records).load()
    except OSError as error:
        raise errors.CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); give a file that is there."
        ) from error
    except DAMAGE as error:
        raise errors.CheckpointError(
            f"{path}: damaged ({type(error).__name__}: {str(error)[:200]}); {lazy.AGAIN}."
        ) from error


@dataclasses.dataclass(frozen=True)
class _Span:
    """Where bytes lie in the file."""

    offset: int
    nbytes: int


def _entries(path: Path, file: IO[bytes]) -> dict[str, zipfile.ZipInfo]:
    """The directory of the zip."""
    try:
        return {entry.filename: entry for entry in zipfile.ZipFile(file).infolist()}
    except zipfile.BadZipFile as error:
        raise errors.CheckpointError(
            f"{path}: truncated: expected a zip directory at the end of the file, found none "
            f"({error}); {lazy.AGAIN}."
        ) from error


def _folder(path: Path, names: Collection[str]) -> str:
    """The folder that all records of a file are in; `archive` or the name it was saved under."""
    folders = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise errors.CheckpointError(
            f"{path}: not a file of torch.save: expected one record */data.pkl in the zip, found "
            f"{len(folders)} among {lazy.some(names)}."
        )
    if f"{folders[0]}/constants.pkl" in names:
        raise errors.CheckpointError(
            f"{path}: expected tensors, found a TorchScript program. Save its tensors where torch "
            "is installed: torch.save(torch.jit.load(p, map_location='cpu').state_dict(), p)"
        )
    return folders[0]


def _span(path: Path, file: IO[bytes], entry: zipfile.ZipInfo) -> _Span:
    """Where the content of a record lies."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise errors.CheckpointError(
            f"{path}: record {entry.filename!r} is compressed or encrypted, and torch stores "
            "records as they are; write the file with torch.save."
        )
    # The directory does not tell where the content starts: torch pads the local header.
    file.seek(entry.header_offset)
    header = file.read(30)
    if header[:4] != ZIP_MAGIC:
        raise zipfile.BadZipFile(f"no record where {entry.filename!r} should be")
    start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    end, size = start + entry.file_size, file.seek(0, io.SEEK_END)
    if end > size:
        raise errors.CheckpointError(
            f"{path}: truncated: record {entry.filename!r} ends at byte {end}, found {size} bytes; "
            f"{lazy.AGAIN}."
        )
    return _Span(start, entry.file_size)


def _content(path: Path, span: _Span) -> bytes:
    if span.nbytes > MAX_PICKLE_BYTES:
        raise errors.CheckpointError(
            f"{path}: a pickle of {span.nbytes} bytes, at most {MAX_PICKLE_BYTES} are expected; "
            "save the state dict alone."
        )
    return lazy.read_bytes(path, span.offset, span.nbytes).tobytes()


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A record of numbers, which tensors are views of."""

    path: Path
    span: _Span
    dtype: np.dtype


def _rebuild(
    storage: Any, dtype: Any, first: Any, shape: Any, strides: Any, metadata: tuple
) -> lazy.LazyTensor:
    """The view of a storage; `first` and `strides` count numbers, not bytes."""
    if not (isinstance(storage, _Storage) and isinstance(dtype, np.dtype)):
        raise pickle.UnpicklingError("a tensor without a storage or a type")
    if any(metadata):
        raise pickle.UnpicklingError("a tensor to be conjugated or negated, expected plain numbers")
    for numbers in (shape, strides, (first,)):
        if type(numbers) is not tuple or not lazy.are_counts(numbers):
            raise pickle.UnpicklingError("sizes of a tensor that are not counts")
    if len(shape) != len(strides) or not lazy.is_shape(shape):
        raise pickle.UnpicklingError("a tensor of impossible shape")
    path, start = storage.path, storage.span.offset + first * dtype.itemsize
    if 0 in shape:
        return lazy.on_disk(path, storage.span.offset, shape, dtype)
    count = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if (first + count) * dtype.itemsize > storage.span.nbytes:
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")

    def read(rows: slice | None = None) -> np.ndarray:
        numbers = lazy.read_bytes(path, start, count * dtype.itemsize).view(dtype)
        steps = [
            stride * dtype.itemsize if n > 1 else 0
            for n, stride in zip(shape, strides, strict=True)
        ]
        view = np.lib.stride_tricks.as_strided(numbers, shape, steps)
        return np.asarray(view if rows is None else view[rows], order="C")

    tensor = lazy.LazyTensor(shape, dtype, read)
    if tensor.nbytes > max(storage.span.nbytes, MAX_VIEW_BYTES):
        raise pickle.UnpicklingError(f"a view of {tensor.nbytes} bytes of a smaller storage")
    return tensor


def _rebuild_tensor(
    storage: Any, first: Any, shape: Any, strides: Any, *rest: Any
) -> lazy.LazyTensor:
    """Of `rest`, requires_grad and hooks do not matter; metadata may follow."""
    return _rebuild(storage, storage.dtype, first, shape, strides, rest[2:])


def _rebuild_typed_tensor(
    storage: Any,
    first: Any,
    shape: Any,
    strides: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    *rest: Any,
) -> lazy.LazyTensor:
    """Unsigned integers wider than a byte: torch stores them as bytes and names the type here."""
    return _rebuild(storage, dtype, first, shape, strides, rest)


def _rebuild_parameter(data: Any, requires_grad: Any, hooks: Any) -> lazy.LazyTensor:
    if not isinstance(data, lazy.LazyTensor):
        raise pickle.UnpicklingError("a parameter without a tensor")
    return data


def _ordered_dict() -> dict:
    return {}


def _default_dict(factory: Any = None) -> dict:
    del factory  # nothing that is missing is asked for
    return {}


def _counter(counts: Any = None) -> dict:
    return counts if isinstance(counts, dict) else {}


class _Kept:
    """Something that a training loop keeps beside the weights, and that is not read."""

    def __init__(self, *values: Any):
        del values

    def append(self, value: Any) -> None:
        """Drops what a queue holds."""

    def extend(self, values: Any) -> None:
        """Drops what a queue holds."""


def _number(kind: Any, content: Any) -> bool | int | float | complex | _Kept:
    """A scalar of numpy from its bytes, as a number of Python."""
    if type(kind) is not guarded_pickle.NumberType:
        raise pickle.UnpicklingError("a scalar of numpy without a type")
    if kind.dtype is None:
        return _Kept()
    if type(content) is not bytes:
        raise pickle.UnpicklingError("a scalar of numpy without bytes")
    if len(content) != kind.dtype.itemsize:
        raise pickle.UnpicklingError("a scalar of numpy of another size than its type")
    return np.frombuffer(content, kind.dtype)[0].item()


def _size(*values: Any) -> tuple:
    return values[0] if len(values) == 1 and type(values[0]) is tuple else ()


_BUILTINS = (
    *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"),
    *("range", "xrange", "set", "slice", "str", "unicode", "tuple", "Ellipsis"),
)
# Values that checkpoints of training loops hold: arguments, paths, arrays of numbers, sets, queues,
# times, versions, types.
_BESIDE = (
    *((module, name) for module in ("builtins", "__builtin__") for name in _BUILTINS),
    *(("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(("collections", "deque"), ("decimal", "Decimal"), ("fractions", "Fraction")),
    *(("uuid", "UUID"), ("torch.torch_version", "TorchVersion")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("argparse", "Namespace"), ("types", "SimpleNamespace"), ("torch", "device")),
    *(("pathlib", f"{kind}Path") for kind in ("", "Posix", "PurePosix", "Windows", "PureWindows")),
    *(("pathlib._local", f"{kind}Path") for kind in ("", "Posix", "Windows")),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    ("numpy", "ndarray"),
)
ADMITTED: dict[tuple[str, str], Callable | np.dtype] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("collections", "defaultdict"): _default_dict,
    ("collections", "Counter"): _counter,
    **dict.fromkeys(_BESIDE, _Kept),
    **{(f"numpy.{core}.multiarray", "scalar"): _number for core in ("core", "_core")},
    ("numpy", "dtype"): guarded_pickle.NumberType,
    ("_codecs", "encode"): guarded_pickle.bytes_of,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.storage", "UntypedStorage"): DTYPES["uint8"],
    **{("torch", name): dtype for name, dtype in DTYPES.items()},
    **{("torch", name): DTYPES[dtype] for name, dtype in STORAGES.items()},
}


class _Unpickler(guarded_pickle.Guarded):
    """That of a file whose pickle and records were found."""

    ADMITTED = ADMITTED
    READ = (
        f"only tensors of {', '.join(DTYPES)} in dicts, lists and tuples are read, and nothing in "
        "the file is run. Where you trust it and torch is installed, save the tensors alone: "
        "torch.save(model.state_dict(), path)"
    )
    NEEDLESS = "something that torch.save does not write for tensors"

    def __init__(self, path: Path, pickled: bytes, folder: str, records: Mapping[str, _Span]):
        super().__init__(path, io.BytesIO(pickled))
        self.folder, self.records = folder, records

    def persistent_load(self, pid: Any) -> _Storage:
        """The record that a storage of the pickle lies in."""
        match pid:
            case ("storage", np.dtype() as dtype, str(key), _, int(count)):
                span = self.records.get(f"{self.folder}/data/{key}")
            case _:
                raise pickle.UnpicklingError("a persistent id that is no storage")
        if span is None or span.nbytes != count * dtype.itemsize:
            found = "no such record" if span is None else f"{span.nbytes} bytes"
            raise errors.CheckpointError(
                f"{self.path}: truncated or damaged: storage {key[:100]!r} of {count} {dtype}: "
                f"expected {count * dtype.itemsize} bytes, found {found}; {lazy.AGAIN}."
            )
        return _Storage(self.path, span, dtype)

    def _build(self) -> None:
        # Drops the state, which is the `_metadata` of a state dict. The stock BUILD would write
        # into whatever object is there, numpy's own types included.
        state = self.stack.pop()
        if type(self.stack[-1]) is guarded_pickle.NumberType:
            self.stack[-1].set_state(state)
        elif not isinstance(self.stack[-1], dict | _Kept):
            raise pickle.UnpicklingError("state for an object that has none")

    def _new(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if kind is not _Kept or type(arguments) is not tuple:
            raise self.refusal("an object of a type that is not one of a training loop's")
        self.stack.append(_Kept())

    dispatch = guarded_pickle.dispatch(
        guarded_pickle.OPCODES, {pickle.BUILD: _build, pickle.NEWOBJ: _new}
    )
