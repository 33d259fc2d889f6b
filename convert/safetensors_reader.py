"""Safetensors files as lazy tensors; only the header is read."""

from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.convert import lazy
from lb_jax.core import errors

DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": lazy.BFLOAT16,
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
MAX_HEADER_BYTES = 100_000_000  # the format's own bound


def read_safetensors(path: Path) -> dict[str, lazy.LazyTensor]:
    """Name -> tensor of a safetensors file, in the order of its header.

    Raises:
      CheckpointError: when the file is damaged or truncated, with every tensor at fault.
    """
    path = Path(path)
    start, header = _header(path)
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    found, spans, foreign, wrong = {}, [], [], []
    for name, entry in entries.items():
        match entry:
            case {"dtype": str(code)} if code not in DTYPES:
                foreign.append(f"{name!r} is {code}")
            case {"dtype": str(code), "shape": [*shape], "data_offsets": [begin, end]} if (
                lazy.is_shape(shape) and lazy.are_counts((begin, end))
            ):
                tensor = lazy.on_disk(path, start + begin, tuple(shape), DTYPES[code])
                if end - begin != tensor.nbytes:
                    wrong.append(f"{name!r} takes {tensor.nbytes} bytes and spans {end - begin}")
                found[name] = tensor
                spans.append((begin, end, name))
            case _:
                wrong.append(f"{name!r} lacks a valid dtype, shape or data_offsets")
    if foreign:
        raise errors.CheckpointError(
            f"{path}: {lazy.some(foreign)}; only {', '.join(DTYPES)} are read. "
            "Save these tensors in one of them."
        )
    spans.sort()
    ends = [0, *(end for _, end, _ in spans)]
    wrong += [
        f"{name!r} begins at byte {begin} and what lies before it ends at {before}"
        for before, (begin, _, name) in zip(ends, spans, strict=False)
        if begin != before
    ]
    if wrong:
        raise errors.CheckpointError(f"{path}: damaged header: {lazy.some(wrong)}; {lazy.AGAIN}.")
    expected, size = start + ends[-1], path.stat().st_size
    if size != expected:
        problem = "truncated" if size < expected else "longer than its header tells"
        raise errors.CheckpointError(
            f"{path}: {problem}: expected {expected} bytes, found {size}; {lazy.AGAIN}."
        )
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """The strings that the writer of a safetensors file left beside the tensors.

    Raises:
      CheckpointError: when the header is damaged or truncated.
    """
    metadata = _header(Path(path))[1].get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the data starts, and the JSON before it."""
    count = int.from_bytes(lazy.read_bytes(path, 0, 8).tobytes(), "little")
    if count > MAX_HEADER_BYTES:
        raise errors.CheckpointError(
            f"{path}: damaged: a header of {count} bytes, at most {MAX_HEADER_BYTES} are "
            f"expected; {lazy.AGAIN}."
        )
    if (found := path.stat().st_size) < 8 + count:
        raise errors.CheckpointError(
            f"{path}: truncated: expected at least {8 + count} bytes, found {found}; {lazy.AGAIN}."
        )
    return 8 + count, lazy.parse_json(path, lazy.read_bytes(path, 8, count).tobytes())
