"""Files of `torch.save` written without torch: the zip and the pickle, opcode by opcode."""

import dataclasses
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {"float32": "FloatStorage", "bfloat16": "BFloat16Storage", "int64": "LongStorage"}


@dataclasses.dataclass(frozen=True)
class Global:
    """What the pickle names as `module.name`."""

    module: str
    name: str


@dataclasses.dataclass(frozen=True)
class Call:
    """A function of the pickle applied to arguments when it is read."""

    function: Any
    args: tuple


@dataclasses.dataclass(frozen=True)
class Persistent:
    """A persistent id, which is how torch refers to a storage."""

    pid: Any


def dumps(value: Any) -> bytes:
    """Pickles plain values and the three kinds above as torch does, at protocol 2."""
    return b"\x80\x02" + opcodes(value) + b"."


def opcodes(value: Any) -> bytes:
    """What pushes a value on the stack of the unpickler; bytes stand for themselves."""
    match value:
        case bytes():
            return value
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, args):
            return opcodes(function) + opcodes(args) + b"R"
        case Persistent(pid):
            return opcodes(pid) + b"Q"
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case dict():
            items = [opcodes(one) for item in value.items() for one in item]
            return b"}(" + b"".join(items) + b"u"
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        case _:
            return pickle.dumps(value, 2)[2:-1]


def storage(key: str, count: int, dtype: str = "float32") -> Persistent:
    """A storage of `count` numbers in record `data/<key>`."""
    return Persistent(("storage", Global("torch", STORAGES[dtype]), key, "cpu", count))


def tensor(at: Any, shape: tuple, strides: tuple, first: Any = 0, *more: Any) -> Call:
    """A view of a storage."""
    hooks = Call(Global("collections", "OrderedDict"), ())
    return Call(
        Global("torch._utils", "_rebuild_tensor_v2"),
        (at, first, shape, strides, False, hooks, *more),
    )


def write(path: Path, pickled: bytes, records: dict[str, bytes], **zip_options: Any) -> Path:
    """Writes the zip around a pickle; records are named below `archive/`."""
    with zipfile.ZipFile(path, "w", **zip_options) as archive:
        for name, content in {"data.pkl": pickled, "byteorder": b"little", **records}.items():
            archive.writestr(f"archive/{name}", content)
    return path


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Writes a state dict of contiguous tensors."""
    tree, records = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        at = storage(str(key), array.size, str(array.dtype))
        tree[name] = tensor(at, array.shape, strides)
        records[f"data/{key}"] = array.tobytes()
    return write(path, dumps(tree), records)
