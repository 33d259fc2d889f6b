"""Pickles of Haiku's parameters, read without Haiku and without running what is in them.

As in `torch_reader`, the pickle may use only some opcodes and name only what rebuilds arrays of
numbers and plain containers, under all names that numpy and Haiku have given those; each name
stands for a function or type of this package, so nothing of the file's choosing is ever called.
"""

import math
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from lb_jax.convert import lazy, torch_reader
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import errors

MAGIC = b"\x80"  # of a pickle of protocol 2 or later
PROTOCOLS = range(2, 6)
OPCODES = f"{torch_reader.OPCODES} BINBYTES8 POP"


class _Bounded:
    """A file that is never asked for more than it has left: a length in a pickle may be any."""

    def __init__(self, file: IO[bytes], size: int):
        self.file, self.size = file, size

    def read(self, count: int) -> bytes:
        """At most that many bytes."""
        return self.file.read(min(count, self.size - self.file.tell()))

    def readline(self) -> bytes:
        """Up to the end of a line, of names as protocol 2 writes them."""
        return self.file.readline(1 << 16)


class _Array:
    """An array of numpy while it is built: first its name, then its state."""

    def __init__(self):
        self.tensor: LazyTensor | None = None

    def set_state(self, state: Any) -> None:
        """Takes (version, shape, type, whether columns lie together, bytes)."""
        if type(state) is not tuple or len(state) != 5:
            raise pickle.UnpicklingError("numpy's array in a form that is not known")
        _, shape, kind, by_columns, content = state
        self.tensor = _tensor(content, kind, shape, by_columns=by_columns is True)


def _tensor(content: Any, kind: Any, shape: Any, *, by_columns: bool) -> LazyTensor:
    """The numbers of these bytes."""
    if type(kind) is not torch_reader.NumberType or kind.dtype is None:
        raise pickle.UnpicklingError("an array of something else than numbers")
    if type(shape) is not tuple or not lazy.are_counts(shape) or not lazy.is_shape(shape):
        raise pickle.UnpicklingError("an array of impossible shape")
    if type(content) is not bytes or len(content) != math.prod(shape) * kind.dtype.itemsize:
        raise pickle.UnpicklingError("an array of another size than its bytes")
    numbers = np.frombuffer(content, kind.dtype)
    numbers = numbers.reshape(shape, order="F" if by_columns else "C")

    def read(rows: slice | None = None) -> np.ndarray:
        found = numbers if rows is None else numbers[rows]
        return np.array(found, kind.dtype.newbyteorder("="), order="C")

    return LazyTensor(shape, kind.dtype.newbyteorder("="), read)


def _begin(kind: Any, *rest: Any) -> _Array:
    del rest  # an empty shape and type, before the state says what they are
    if kind is not _Array:
        raise pickle.UnpicklingError("an array of a class that is not numpy's")
    return _Array()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> _Array:
    made = _Array()
    made.tensor = _tensor(content, kind, shape, by_columns=order == "F")
    return made


def _created(function: Any, arguments: Any, state: Any = None, *rest: Any) -> _Array:
    """How dill writes an array: what makes it, and its state."""
    if function not in (_begin, _from_buffer) or type(arguments) is not tuple or any(rest):
        raise pickle.UnpicklingError("dill's array in a form that is not known")
    made = function(*arguments)
    if state is not None:
        made.set_state(state)
    return made


def _scalar(kind: Any, content: Any) -> _Array:
    return _from_buffer(content, kind, (), "C")


def _mapping(given: Any = None) -> dict:
    """A mapping made of another one, or empty."""
    if given is not None and type(given) is not dict:
        raise pickle.UnpicklingError("a mapping in a form that is not known")
    return {} if given is None else given


_CORES = ("numpy.core", "numpy._core")
_DILL = ("dill._dill", "dill.dill")
_HAIKU = ("haiku._src.data_structures", "haiku.data_structures")
ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _mapping,
    ("builtins", "dict"): _mapping,
    **{(room, name): _mapping for room in _HAIKU for name in ("FlatMapping", "FlatMap")},
    **{(room, "frozendict"): _mapping for room in _HAIKU},
    **{(room, "_create_array"): _created for room in _DILL},
    ("_codecs", "encode"): torch_reader.bytes_of,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): torch_reader.NumberType,
    **{(f"{core}.multiarray", "_reconstruct"): _begin for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _CORES},
}


def is_pickle(path: Path) -> bool:
    """Whether a file begins as a pickle does that this module reads."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(2)
    except OSError:
        return False
    return head[:1] == MAGIC and len(head) == 2 and head[1] in PROTOCOLS


def read_haiku(path: Path) -> Any:
    """Reads a tree of arrays, with a LazyTensor for every one; all of it is then in memory.

    Raises:
      CheckpointError: when the file is damaged or truncated, or holds anything but arrays of
        numbers in dicts, lists and tuples, numbers and strings.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            found = _Unpickler(path, _Bounded(file, path.stat().st_size)).load()
        return _plain(found)
    except OSError as error:
        raise errors.CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); give a file that is there."
        ) from error
    except torch_reader.DAMAGE as error:
        raise errors.CheckpointError(
            f"{path}: damaged or truncated ({type(error).__name__}: {str(error)[:200]}); "
            f"{lazy.AGAIN}."
        ) from error


def _plain(value: Any, deep: int = 3) -> Any:
    """The tree with tensors for arrays: what is saved, modules, the arrays of each; no deeper."""
    if type(value) is dict and deep:
        return {key: _plain(one, deep - 1) for key, one in value.items()}
    return _finished(value)


def _finished(value: Any) -> Any:
    if type(value) is not _Array:
        return value
    if value.tensor is None:
        raise pickle.UnpicklingError("an array without its numbers")
    return value.tensor


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler, kept to `OPCODES` and `ADMITTED`; see `torch_reader` for why."""

    stack: list[Any]  # these are the stock one's, set while it loads
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, path: Path, file: _Bounded):
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the pickle; the name itself is never imported."""
        if (module, name) not in ADMITTED:
            raise self._refusal(f"{module}.{name}"[:100])
        return ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Nothing lies outside of the file."""
        raise self._refusal("a reference to something outside of it")

    def _refusal(self, found: str) -> errors.CheckpointError:
        return errors.CheckpointError(
            f"{self.path}: holds {found}; only arrays of numbers in dicts, lists and tuples are "
            "read, and nothing in the file is run. Where you trust it, save params and state as "
            "dicts of numpy arrays."
        )

    def _refuse(self) -> None:
        raise self._refusal("something that no tree of arrays needs")

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or function not in _CALLED:
            raise self._refusal("a call of something that is not to be called")
        self.stack.append(function(*arguments))

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
        if type(self.stack[-1]) is not dict:
            raise pickle.UnpicklingError("an item set in what is no dict")
        self.stack[-1].update(zip(keys, values, strict=True))

    def _build(self) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) not in (_Array, torch_reader.NumberType):
            raise pickle.UnpicklingError("state for an object that has none")
        self.stack[-1].set_state(state)

    def _bytes(self) -> None:
        # the stock ones reserve what the length says before they read
        (count,) = struct.unpack("<Q", self.read(8))
        content = self.read(count)
        if len(content) != count:
            raise EOFError(f"expected {count} bytes, found {len(content)}")
        self.stack.append(content)

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict.fromkeys(range(256), _refuse)
    dispatch |= {
        opcode: pickle._Unpickler.dispatch[opcode]
        for opcode in (getattr(pickle, name)[0] for name in OPCODES.split())
    }
    dispatch |= {
        pickle.REDUCE[0]: _reduce,
        pickle.BUILD[0]: _build,
        pickle.BYTEARRAY8[0]: _bytes,
        pickle.BINBYTES8[0]: _bytes,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
    }


_CALLED = tuple(one for one in ADMITTED.values() if one is not _Array)
