"""Files of `torch.save` with nothing but tensors, written without torch.

A zip with one uncompressed record for each storage and a pickle that names them. The pickle is put
together from the few opcodes that a dict of tensors needs.
"""

import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from lb_jax.convert.torch_reader import STORAGES

_CLASSES = {dtype: name for name, dtype in STORAGES.items()}
_ROOT = "archive"  # of the names in the zip; torch takes any


def write(path: Path, tensors: Iterable[tuple[str, np.ndarray]], twins: Mapping[str, str]) -> None:
    """Writes a state dict.

    Args:
      path: the file.
      tensors: (name, array), written as they come.
      twins: name -> the other name of a tensor that is written, which shares its storage.
    """
    entries: dict[str, bytes] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, array in tensors:
            key = str(len(entries))
            entries[name] = _tensor(key, array)
            with file.open(f"{_ROOT}/data/{key}", "w", force_zip64=True) as record:
                record.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        entries |= {name: entries[other] for name, other in twins.items()}
        items = b"".join(_text(name) + entry for name, entry in entries.items())
        # protocol 2, a dict, all its items at once
        file.writestr(f"{_ROOT}/data.pkl", b"\x80\x02}(" + items + b"u.")
        file.writestr(f"{_ROOT}/byteorder", "little")
        file.writestr(f"{_ROOT}/version", "3\n")


def _tensor(key: str, array: np.ndarray) -> bytes:
    """Pushes a contiguous tensor over a whole storage."""
    storage = f"ctorch\n{_CLASSES[array.dtype.name]}\n".encode()
    of_file = _tuple(_text("storage"), storage, _text(key), _text("cpu"), _number(array.size))
    strides = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
    shape, steps = (_tuple(*map(_number, sizes)) for sizes in (array.shape, strides))
    hooks = b"ccollections\nOrderedDict\n)R"  # none
    arguments = _tuple(of_file + b"Q", _number(0), shape, steps, b"\x89", hooks)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def _tuple(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _number(value: int) -> bytes:
    """A whole number from 0 on."""
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little")
    return b"\x8a" + bytes([len(data)]) + data
