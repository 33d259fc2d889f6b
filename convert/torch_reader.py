"""The zip files of `torch.save`, read without torch and without running what is in them.

A file holds a pickle and one uncompressed record per storage. The pickle may use only the opcodes
that torch writes and name only what rebuilds tensors and numbers, or what training loops keep
beside them and nobody reads; each name stands for a function or type of this module, so nothing of
the file's choosing is ever called.
"""

import dataclasses
import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from lb_jax.convert import lazy
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
# What torch writes at protocols 2 to 5 for dicts, lists, tuples, numbers, strings, bytes, tensors
# and objects.
OPCODES = (
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINBYTES SHORT_BINBYTES EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST "
    "APPEND APPENDS EMPTY_DICT "
    "SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE "
    "BUILD BINPERSID BYTEARRAY8"
)
# All that zipfile and pickle raise on damaged bytes.
DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


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


class NumberType:
    """A type of numpy; its state tells the byte order. Of any but numbers nothing is read."""

    def __init__(self, code: Any, *rest: Any):
        is_number = type(code) is str and re.fullmatch(r"b1|[iuf][1248]|c(?:8|16)", code)
        self.dtype = np.dtype(code) if is_number and code != "f1" else None

    def set_state(self, state: Any) -> None:
        """Takes the second of the values that numpy keeps: `<`, `>` or `|`."""
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("numpy's type in a form that is not known")
        self.dtype = self.dtype and self.dtype.newbyteorder(state[1])


def _number(kind: Any, content: Any) -> bool | int | float | complex | _Kept:
    """A scalar of numpy from its bytes, as a number of Python."""
    if type(kind) is not NumberType:
        raise pickle.UnpicklingError("a scalar of numpy without a type")
    if kind.dtype is None:
        return _Kept()
    if type(content) is not bytes:
        raise pickle.UnpicklingError("a scalar of numpy without bytes")
    if len(content) != kind.dtype.itemsize:
        raise pickle.UnpicklingError("a scalar of numpy of another size than its type")
    return np.frombuffer(content, kind.dtype)[0].item()


def bytes_of(text: Any, encoding: Any) -> bytes:
    """How bytes are written at protocol 2."""
    if type(text) is not str or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in a form that is not known")
    return text.encode("latin1")


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
    ("numpy", "dtype"): NumberType,
    ("_codecs", "encode"): bytes_of,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.storage", "UntypedStorage"): DTYPES["uint8"],
    **{("torch", name): dtype for name, dtype in DTYPES.items()},
    **{("torch", name): DTYPES[dtype] for name, dtype in STORAGES.items()},
}


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler, kept to `OPCODES` and `ADMITTED`.

    The one written in Python, because it takes its opcodes from a table, and because a 20-byte
    pickle makes the C one reserve and touch 64 GB: its memo is an array as long as the largest key.
    """

    stack: list[Any]  # these three are the stock one's, set while it loads
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, path: Path, pickled: bytes, folder: str, records: Mapping[str, _Span]):
        super().__init__(io.BytesIO(pickled))
        self.path, self.folder, self.records = path, folder, records

    def find_class(self, module: str, name: str) -> Callable | np.dtype:
        """What stands for a name of the pickle; the name itself is never imported."""
        if (module, name) not in ADMITTED:
            raise self._refusal(f"{module}.{name}"[:100])
        return ADMITTED[module, name]

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

    def _refusal(self, found: str) -> errors.CheckpointError:
        return errors.CheckpointError(
            f"{self.path}: holds {found}; only tensors of {', '.join(DTYPES)} in dicts, lists and "
            "tuples are read, and nothing in the file is run. Where you trust it and torch is "
            "installed, save the tensors alone: torch.save(model.state_dict(), path)"
        )

    def _refuse(self) -> None:
        raise self._refusal("something that torch.save does not write for tensors")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _set_items(self) -> None:
        self._update(self.pop_mark())

    def _update(self, items: list[Any]) -> None:
        keys, values = items[::2], items[1::2]
        # Hashing a tuple nested a million deep overflows the C stack.
        if any(type(key) not in (str, int) for key in keys):
            raise self._refusal("a dict key that is neither a string nor an integer")
        if not isinstance(self.stack[-1], dict):
            raise pickle.UnpicklingError("an item set in what is no dict")
        self.stack[-1].update(zip(keys, values, strict=True))

    def _build(self) -> None:
        # Drops the state, which is the `_metadata` of a state dict. The stock BUILD would write
        # into whatever object is there, numpy's own types included.
        state = self.stack.pop()
        if type(self.stack[-1]) is NumberType:
            self.stack[-1].set_state(state)
        elif not isinstance(self.stack[-1], dict | _Kept):
            raise pickle.UnpicklingError("state for an object that has none")

    def _new(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if kind is not _Kept or type(arguments) is not tuple:
            raise self._refusal("an object of a type that is not one of a training loop's")
        self.stack.append(_Kept())

    def _bytearray(self) -> None:
        # the stock one reserves what the length says before it reads
        (count,) = struct.unpack("<Q", self.read(8))
        self.stack.append(self.read(count))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict.fromkeys(range(256), _refuse)
    dispatch |= {
        opcode: pickle._Unpickler.dispatch[opcode]
        for opcode in (getattr(pickle, name)[0] for name in OPCODES.split())
    }
    dispatch |= {
        pickle.BUILD[0]: _build,
        pickle.NEWOBJ[0]: _new,
        pickle.BYTEARRAY8[0]: _bytearray,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
    }
