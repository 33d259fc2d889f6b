"""Pickles of tensors and arrays, read without running what is in them.

A reader says which opcodes its files need and what stands for each name that they may hold: a
function or type of its own, so that nothing of the file's choosing is ever called.
"""

import pickle
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from lb_jax.core import errors

# What is written at protocols 2 to 5 for dicts, lists, tuples, numbers, strings, bytes, tensors
# and objects.
OPCODES = (
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINBYTES SHORT_BINBYTES EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST "
    "APPEND APPENDS EMPTY_DICT "
    "SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE "
    "BUILD BINPERSID BYTEARRAY8"
)
# All that pickle raises on damaged bytes.
DAMAGE = (
    pickle.UnpicklingError,
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

Do = Callable[[Any], None]  # what an opcode does, of the unpickler


# A dict, a list or an object of a class, as protocols 0 and 1 begin them: without a mark.
_OLD = re.compile(rb"\([dl]p\d+\n|[}\]]q.|c[\w.]+\n\w+\n", re.DOTALL)


def unread(head: bytes) -> str | None:
    """What a file is that begins so and that no reader takes; None where that is not known."""
    if not head:
        return "an empty file"
    return "a pickle of protocol 0 or 1, which is not read" if _OLD.match(head) else None


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


def bytes_of(text: Any, encoding: Any) -> bytes:
    """How bytes are written at protocol 2."""
    if type(text) is not str or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in a form that is not known")
    return text.encode("latin1")


class Guarded(pickle._Unpickler):
    """Python's own unpickler, kept to some opcodes and names.

    The one written in Python, because it takes its opcodes from a table, and because a 20-byte
    pickle makes the C one reserve and touch 64 GB: its memo is an array as long as the largest key.

    A reader sets `dispatch`, by the function of that name, and:

    Attributes:
      ADMITTED: what stands for a name, (module, name); no other is read.
      READ: what errors say of what is read, and how to write it so.
      NEEDLESS: what they call an opcode that the reader's files have no use for.
    """

    stack: list[Any]  # these three are the stock one's, set while it loads
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    ADMITTED: ClassVar[Mapping[tuple[str, str], Any]]
    READ: ClassVar[str]
    NEEDLESS: ClassVar[str]

    def __init__(self, path: Any, file: Any):
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the pickle; the name itself is never imported."""
        if (module, name) not in self.ADMITTED:
            raise self.refusal(f"{module}.{name}"[:100])
        return self.ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Nothing lies outside of the file, unless a reader says so."""
        raise self.refusal("a reference to something outside of it")

    def refusal(self, found: str) -> errors.CheckpointError:
        """The error for something that is not read."""
        return errors.CheckpointError(f"{self.path}: holds {found}; {self.READ}")

    def _refuse(self) -> None:
        raise self.refusal(self.NEEDLESS)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _set_items(self) -> None:
        self._update(self.pop_mark())

    def _update(self, items: list[Any]) -> None:
        keys, values = items[::2], items[1::2]
        # Hashing a tuple nested a million deep overflows the C stack.
        if any(type(key) not in (str, int) for key in keys):
            raise self.refusal("a dict key that is neither a string nor an integer")
        if not isinstance(self.stack[-1], dict):
            raise pickle.UnpicklingError("an item set in what is no dict")
        self.stack[-1].update(zip(keys, values, strict=True))

    def _bytes(self) -> None:
        # the stock ones reserve what the length says before they read
        (count,) = struct.unpack("<Q", self.read(8))
        content = self.read(count)
        if len(content) != count:
            raise EOFError(f"expected {count} bytes, found {len(content)}")
        self.stack.append(content)

    KEPT: ClassVar[dict[int, Do]] = {
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.BYTEARRAY8[0]: _bytes,
        pickle.BINBYTES8[0]: _bytes,
    }
    dispatch: ClassVar[dict[int, Do]] = dict.fromkeys(range(256), _refuse)


def dispatch(opcodes: str, own: Mapping[bytes, Do]) -> dict[int, Do]:
    """What a reader's unpickler does at each opcode.

    Args:
      opcodes: names of those that are done as Python does them, or safer where `Guarded` can.
      own: opcode -> what the reader does at it instead.
    """
    stock = pickle._Unpickler.dispatch | Guarded.KEPT
    known = (getattr(pickle, name)[0] for name in opcodes.split())
    return (
        Guarded.dispatch
        | {opcode: stock[opcode] for opcode in known}
        | {opcode[0]: do for opcode, do in own.items()}
    )
