"""Opens a file of weights of any kind, which its content tells, and finds the tensors in it."""

import argparse
import codecs
import collections
import importlib
import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.convert import guarded_pickle, lazy, safetensors_reader, torch_reader
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import errors

# How torch began a file before 1.6: this number, pickled.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257  # before 0.1.10
LFS_MAGIC = b"version https://git-lfs"  # a clone without Git LFS has this in place of weights
# Where training checkpoints keep the weights among epoch, optimizer and the like.
STATE_DICT_KEYS = ("state_dict", "model", "model_state_dict", "module")
# Modules that hold another one and nothing else, and so stand in its names: those that torch puts
# anywhere (compile, checkpointing, FSDP), and those that all names begin with (data-parallel, a
# training loop's own).
WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
AROUND_ALL = ("module", "model", "clip")


def open_tensors(path: Path) -> Any:
    """Opens weights: a safetensors or torch file, or the index of a checkpoint in shards.

    Returns:
      Name -> LazyTensor; of a torch file the tree as it was saved, with LazyTensors in it, in which
      `state_dict` finds the weights.

    Raises:
      CheckpointError: when the file is missing, damaged, of another kind or holds anything but
        data.
    """
    path = Path(path)
    if _head(path).lstrip()[:1] == b"{":
        return _open_shards(path)
    return _open_file(path)


def state_dict(tree: Any, source: object = "the checkpoint") -> dict[str, LazyTensor]:
    """The weights in what `open_tensors` returned: the tree itself or what a training loop saved.

    Args:
      tree: a tree with LazyTensors.
      source: the file, for messages.

    Returns:
      Name -> tensor, without the names of `WRAPPERS` and `AROUND_ALL`.

    Raises:
      CheckpointError: when there are none, or something else is among them.
    """
    found = _tensor_dict(tree, source)
    plain = _unwrapped(found)
    named = collections.defaultdict(list)
    for name, short in zip(found, plain, strict=True):
        named[short].append(name)
    twice = [" and ".join(names) for names in named.values() if len(names) > 1]
    if twice:
        raise errors.CheckpointError(
            f"{source}: {lazy.some(twice)} are one tensor twice; save the state dict of one model."
        )
    return dict(zip(plain, found.values(), strict=True))


def _unwrapped(names: Iterable[str]) -> list[str]:
    """Names of tensors without the modules that only hold another one."""
    inside = re.compile(rf"(?:(?<=\.)|^)(?:{'|'.join(WRAPPERS)})\.")
    plain = [inside.sub("", name) for name in names]
    while True:
        first = {name.partition(".")[0] for name in plain}
        if len(first) != 1 or not first <= {*AROUND_ALL} or not all("." in n for n in plain):
            return plain
        plain = [name.partition(".")[2] for name in plain]


def _tensor_dict(tree: Any, source: object) -> dict[str, LazyTensor]:
    top = tree if isinstance(tree, dict) else {}
    found = next((top[key] for key in STATE_DICT_KEYS if isinstance(top.get(key), dict)), top)
    if not any(isinstance(value, LazyTensor) for value in found.values()):
        keys = lazy.some(repr(key)[:60] for key in top) or f"{type(tree).__name__} without keys"
        raise errors.CheckpointError(
            f"{source}: expected tensors by name, at the top or under "
            f"{' or '.join(STATE_DICT_KEYS)}, found {keys}; save model.state_dict()."
        )
    foreign = [
        f"{name!r} is {type(value).__name__}"
        for name, value in found.items()
        if not (isinstance(name, str) and isinstance(value, LazyTensor))
    ]
    if foreign:
        raise errors.CheckpointError(
            f"{source}: expected nothing but tensors among the weights, found "
            f"{lazy.some(foreign)}; save model.state_dict()."
        )
    return found


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise errors.CheckpointError(
            f"{path}: cannot be read ({error.strerror}); give a safetensors or torch file or the "
            "index of one in shards."
        ) from error


def _open_file(path: Path) -> Any:
    head = _head(path)
    if head.startswith(torch_reader.ZIP_MAGIC):
        return torch_reader.read_torch(path)
    if _is_legacy(head):
        return _open_legacy(path)
    if head[4:9] == b"\0\0\0\0{":  # the upper half of the header's length, and the header
        return safetensors_reader.read_safetensors(path)
    if head.startswith(LFS_MAGIC):
        raise errors.CheckpointError(
            f"{path}: a Git LFS pointer, which stands for the weights; fetch them: git lfs pull"
        )
    if told := guarded_pickle.unread(head):
        raise errors.CheckpointError(
            f"{path}: {told}; expected a safetensors or torch file or the index of one in shards, "
            "or a pickle saved with protocol 2 to 5."
        )
    raise errors.CheckpointError(
        f"{path}: expected a safetensors or torch file or the index of one in shards, found "
        f"{head[:16]!r}; {lazy.AGAIN}."
    )


def is_legacy(path: Path) -> bool:
    """Whether a file is one of torch's from before its zip format.

    Raises:
      CheckpointError: when it cannot be read.
    """
    return _is_legacy(_head(path))


def _is_legacy(head: bytes) -> bool:
    is_pickle = head[:1] == b"\x80" and LEGACY_MAGIC in head[:32]
    return is_pickle or head[TAR_MAGIC_AT:].startswith(TAR_MAGIC)


def _open_legacy(path: Path) -> Any:
    """Reads by torch what torch wrote before its zip format; all of it is then in memory."""
    if importlib.util.find_spec("torch") is None:
        raise errors.CheckpointError(
            f"{path}: a legacy torch file, from before torch 1.6 or its zip format, which is not "
            "read without torch. Save it again where torch is installed: "
            "torch.save(torch.load(p, weights_only=True), p)"
        )
    torch = importlib.import_module("torch")
    try:
        with torch.serialization.safe_globals(_harmless()):
            found = torch.load(path, map_location="cpu", weights_only=True)
        return _lazy(found, path, torch)
    except torch_reader.DAMAGE as error:
        refused = re.search(r"GLOBAL (\S+) was not an allowed", str(error))
        if refused:
            raise errors.CheckpointError(
                f"{path}: holds {refused[1]}; only tensors are read, nothing in the file is run. "
                "Save model.state_dict()."
            ) from error
        raise errors.CheckpointError(
            f"{path}: damaged, or more than tensors: torch.load says {str(error)[:200]!r}; "
            f"{lazy.AGAIN}."
        ) from error


def _harmless() -> list[Any]:
    """What torch may make besides tensors: what `torch_reader.ADMITTED` has, of these files."""
    scalar = np._core.multiarray.scalar
    numbers = {type(np.dtype(code)) for code in "?bBhHiIlLqQefdFD"}
    # the second is the name of the first before numpy 2
    old = scalar, "numpy.core.multiarray.scalar"
    return [scalar, old, np.dtype, *numbers, codecs.encode, argparse.Namespace]


def _lazy(value: Any, path: Path, torch: Any) -> Any:
    """The tree with a LazyTensor for every tensor of torch."""
    if isinstance(value, dict):
        return {key: _lazy(one, path, torch) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_lazy(one, path, torch) for one in value]
        return items if isinstance(value, list) else tuple(items)
    if not isinstance(value, torch.Tensor):
        return value
    name = str(value.dtype).removeprefix("torch.")
    if name not in torch_reader.DTYPES or value.layout != torch.strided or value.is_neg():
        raise errors.CheckpointError(
            f"{path}: holds a tensor of {name}, {value.layout}; only plain ones of "
            f"{', '.join(torch_reader.DTYPES)} are read."
        )
    dtype = torch_reader.DTYPES[name]

    def read(rows: slice | None = None) -> np.ndarray:
        numbers = (value if rows is None else value[rows]).detach().contiguous()
        if name == "bfloat16":  # numpy has no such type for torch to convert to
            numbers = numbers.view(torch.int16)
        return np.array(numbers.numpy().view(dtype), order="C")

    return LazyTensor(tuple(value.shape), dtype, read)


def _open_shards(index: Path) -> dict[str, LazyTensor]:
    """The tensors of every shard that an index names, in the order of the index."""
    weight_map = lazy.parse_json(index, index.read_bytes()).get("weight_map")
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise errors.CheckpointError(
            f'{index}: expected the index of a checkpoint in shards with a "weight_map" of '
            "names and files; give that or the file of weights itself."
        )
    shards: dict[Any, list[str]] = {}
    for name, file in weight_map.items():
        shards.setdefault(str(file), []).append(name)
    found, problems = {}, []
    for file, names in shards.items():
        if not file or Path(file).name != file or "\0" in file:
            problems.append(f"{file!r} is not the name of a file beside the index")
            continue
        try:
            shard = _tensor_dict(_open_file(index.with_name(file)), index.with_name(file))
        except errors.CheckpointError as error:
            problems.append(str(error).removesuffix("."))
            continue
        missing, extra = set(names) - set(shard), set(shard) - set(names)
        problems += [f"{file} lacks {name!r}" for name in sorted(missing)]
        problems += [f"{file} holds {name!r}, which the index does not" for name in sorted(extra)]
        found |= shard
    if problems:
        raise errors.CheckpointError(
            f"{index}: {lazy.some(problems)}. Download the index and all its shards again."
        )
    return {name: found[name] for name in weight_map}
