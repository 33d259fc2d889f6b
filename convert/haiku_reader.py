"""Pickles of Haiku's parameters, read without Haiku and without running what is in them.

The pickle (`guarded_pickle`) may use only some opcodes and name only what rebuilds arrays of
numbers and plain containers, under all names that numpy and Haiku have given those.
"""

import math
import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np

from lb_jax.convert import guarded_pickle, lazy
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import errors

MAGIC = b"\x80"  # of a pickle of protocol 2 or later
PROTOCOLS = range(2, 6)
OPCODES = f"{guarded_pickle.OPCODES} BINBYTES8 POP"


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
    if type(kind) is not guarded_pickle.NumberType or kind.dtype is None:
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
    ("_codecs", "encode"): guarded_pickle.bytes_of,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): guarded_pickle.NumberType,
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


def _require_pickle(path: Path, head: bytes) -> None:
    """Raises `CheckpointError` for a file that begins as no pickle of `PROTOCOLS`."""
    if head[:1] == MAGIC:
        return  # what is wrong with it is told where
    raise errors.CheckpointError(
        f"{path}: {guarded_pickle.unread(head) or 'no pickle'}; expected a dict of params and "
        f"state, saved with protocol {PROTOCOLS[0]} to {PROTOCOLS[-1]}."
    )


def read_haiku(path: Path) -> Any:
    """Reads a tree of arrays, with a LazyTensor for every one; all of it is then in memory.

    Raises:
      CheckpointError: when the file is damaged or truncated, or holds anything but arrays of
        numbers in dicts, lists and tuples, numbers and strings.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            _require_pickle(path, file.read(1 << 10))
            file.seek(0)
            unpickler = _Unpickler(path, _Bounded(file, size))
            found = unpickler.load()
            if unpickler.read(1):
                raise errors.CheckpointError(
                    f"{path}: holds more behind the end of its pickle (byte {file.tell() - 1} of "
                    f"{size}); {lazy.AGAIN}."
                )
        return _plain(found)
    except OSError as error:
        raise errors.CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); give a file that is there."
        ) from error
    except guarded_pickle.DAMAGE as error:
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


class _Unpickler(guarded_pickle.Guarded):
    """That of a file of Haiku's parameters."""

    ADMITTED = ADMITTED
    READ = (
        "only arrays of numbers in dicts, lists and tuples are read, and nothing in the file is "
        "run. Where you trust it, save params and state as dicts of numpy arrays."
    )
    NEEDLESS = "something that no tree of arrays needs"

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or function not in _CALLED:
            raise self.refusal("a call of something that is not to be called")
        self.stack.append(function(*arguments))

    def _build(self) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) not in (_Array, guarded_pickle.NumberType):
            raise pickle.UnpicklingError("state for an object that has none")
        self.stack[-1].set_state(state)

    dispatch = guarded_pickle.dispatch(OPCODES, {pickle.REDUCE: _reduce, pickle.BUILD: _build})


_CALLED = tuple(one for one in ADMITTED.values() if one is not _Array)
