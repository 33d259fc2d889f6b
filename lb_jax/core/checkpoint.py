"""The self-contained inference checkpoint: a folder with `model.safetensors` and `config.json`.

Tensor names are parameter paths, so `base` is stored once. The config holds the model's shape and
the preprocessing spec of every modality; without them the numbers would not mean anything. The
folder appears whole or not at all. `calibration.json` and `golden.json`, which `lb-jax calibrate`
and `lb-jax doctor --write-golden` put beside them, and `seen.json`, which training does, change no
vector and are no part of the model.
"""

import collections
import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from lb_jax.core import errors, paths

WEIGHTS, CONFIG, FORMAT = "model.safetensors", "config.json", "lb_jax-1"
CALIBRATION = "calibration.json"  # beside the weights, where one was fitted
GOLDEN = "golden.json"  # beside the weights: what they gave where it was right
CARD = "README.md"  # beside the weights: what the model knows
VOCABULARY = "vocab.txt"  # beside the weights of a model that writes: its WordPiece
WORDS = "words.txt"  # beside the weights of a model with a bag of words: those it knows
SEEN = "seen.json"  # beside the weights: rows they were trained on, see `corpora.seen`
RUN = {"steps", "trainable"}  # in the config of a work directory, which has no model's
ORBAX = "params"  # folder that stands for the weights where Orbax wrote them
# Names of types in a safetensors file.
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}


def save_model(folder: Path, params: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Writes parameters and config into `folder`.

    A checkpoint that is there is replaced only once the new one is complete.

    Raises:
      CheckpointError: when the disk does not take it; what was there stays as it was.
    """
    with replacing(folder) as partial:
        write_model(partial, params, config)


def write_model(folder: Path, params: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Writes parameters and config beside what a folder holds, such as one of `replacing`."""
    flat = paths.flatten(params)
    leaves = ((path, [leaf]) for path, leaf in flat.items())
    write_safetensors(folder / WEIGHTS, leaves, len(flat), {"format": FORMAT})
    write_config(folder, config)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes the config of an inference checkpoint."""
    write_json(Path(folder) / CONFIG, {"format": FORMAT, **config})


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new empty folder that takes the place of `folder` when the block ends well.

    Raises:
      CheckpointError: when the disk does not take it, or `folder` is a file; what was there stays
        as it was.
    """
    folder = Path(folder).resolve()  # what a link points to; "." has no name
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    if folder.exists() and not folder.is_dir():
        raise errors.CheckpointError(f"{folder}: is a file; give a folder to write.")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a killed process that had the same number
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
            folder.rename(old)
            try:
                partial.rename(folder)
            except OSError:
                old.rename(folder)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            partial.rename(folder)
    except OSError as error:
        raise errors.CheckpointError(
            f"{folder}: cannot be written ({error.strerror or error}); what was there is as it "
            "was. Make room or choose another place."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_safetensors(
    path: Path,
    leaves: Iterable[tuple[str, Iterable[Any]]],
    at_most: int,
    metadata: Mapping[str, str],
) -> None:
    """Writes arrays as they come: two may be on their way to the file while the next is made.

    Args:
      path: the file.
      leaves: (name, the array's pieces along its leading axis, or the array alone).
      at_most: how many there can be; the header, which comes first, is left room for them.
      metadata: strings for the header.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    room = 8 * ((1024 + 256 * at_most) // 8)
    with Path(path).open("wb") as file, futures.ThreadPoolExecutor(1) as writer:
        file.seek(8 + room)
        pending, end = collections.deque(), 0
        for name, pieces in leaves:
            start, rows = end, 0
            for piece in pieces:
                array = np.asarray(piece, order="C")  # ascontiguousarray turns a scalar into [1]
                pending.append(writer.submit(file.write, array.reshape(-1).view(np.uint8).data))
                if len(pending) > 2:
                    pending.popleft().result()
                end += array.nbytes
                rows += len(array) if array.ndim else 0
                header[name] = {  # of all pieces once the last has come
                    "dtype": DTYPES[array.dtype.name],
                    "shape": (rows, *array.shape[1:]) if array.ndim else (),
                    "data_offsets": [start, end],
                }
        for one in pending:
            one.result()
        text = json.dumps(header, separators=(",", ":")).encode()
        if len(text) > room:
            raise ValueError(f"{len(header)} names need {len(text)} bytes, {room} were left.")
        file.seek(0)
        file.write(len(text.ljust(room)).to_bytes(8, "little") + text.ljust(room))


def copy(source: Path, folder: Path) -> None:
    """Copies an inference checkpoint; one that is there is replaced once the copy is complete.

    Its calibration, golden vectors, card, list of rows and vocabulary go with it.
    """
    known = (CALIBRATION, GOLDEN, CARD, SEEN, VOCABULARY, WORDS)
    beside = [name for name in known if (Path(source) / name).is_file()]
    with replacing(folder) as partial:
        for name in (CONFIG, WEIGHTS, *beside):
            shutil.copyfile(Path(source) / name, partial / name)


def is_complete(folder: Path) -> bool:
    """Whether both files of an inference checkpoint are there, the weights at their full length."""
    if not all((Path(folder) / name).is_file() for name in (CONFIG, WEIGHTS)):
        return False
    try:
        with _opened_weights(folder):
            return True
    except errors.CheckpointError:
        return False


def within(path: str | Path) -> Path:
    """The checkpoint at a path, which may also be the work directory of a run that holds one."""
    folder = Path(path) / "checkpoint"
    return folder if (folder / CONFIG).is_file() else Path(path)


def require_finished(folder: Path) -> None:
    """Says of the work directory of a run that its checkpoint is not written yet.

    Raises:
      CheckpointError: where a folder is one.
    """
    path = Path(folder) / CONFIG
    content = read_json(path) if path.is_file() else None
    if isinstance(content, dict) and content.keys() >= RUN:
        raise errors.CheckpointError(
            f"{folder}: the work directory of a run that has written no checkpoint yet; finish it "
            f"with `lb-jax train`, its settings and --workdir={folder}."
        )


def load_config(folder: Path) -> dict[str, Any]:
    """Reads the config of an inference checkpoint.

    Raises:
      CheckpointError: when the folder is not one, saying what it holds.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        found = (
            sorted(p.name for p in Path(folder).iterdir())[:5]
            if Path(folder).is_dir()
            else "no such folder"
        )
        raise errors.CheckpointError(
            f"{folder}: not a checkpoint: expected {CONFIG} and {WEIGHTS}, found {found}. "
            "Train one with `lb-jax train` or `lb-jax demo`."
        )
    config = read_json(path)
    found = config.get("format") if isinstance(config, dict) else type(config).__name__
    if found != FORMAT:
        raise errors.CheckpointError(
            f'{path}: expected "format": "{FORMAT}", found {found!r}; '
            "write it again with this version."
        )
    if "model" not in config:
        raise errors.CheckpointError(f'{path}: has no "model"; write the checkpoint again.')
    return config


def load_params(folder: Path, wanted: Callable[[str], bool] = lambda path: True) -> paths.Tree:
    """Reads the parameters whose path is wanted, as numpy arrays; the others are not touched.

    Raises:
      CheckpointError: when the weights are missing or damaged.
    """
    with _opened_weights(folder) as file:
        return paths.unflatten(
            {name: file.get_tensor(name) for name in filter(wanted, file.keys())}
        )


@contextlib.contextmanager
def _opened_weights(folder: Path) -> Iterator[Any]:
    path = Path(folder) / WEIGHTS
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except (OSError, safetensors.SafetensorError) as error:
        raise errors.CheckpointError(
            f"{path}: cannot be read ({error}); copy or write the checkpoint again."
        ) from error


def digest(tree: Mapping[str, Any]) -> str:
    """SHA-256 over paths, shapes, types and bytes of all leaves."""
    total = hashlib.sha256()
    for path, leaf in paths.flatten(tree).items():
        array = np.asarray(leaf, order="C")
        total.update(f"{path} {array.shape} {array.dtype}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that the file is either the old or the new one."""
    # of a name of its own: another process may write the same file
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
      CheckpointError: when the file is not JSON, with the line.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise errors.CheckpointError(
            f"{path}: not valid JSON in line {error.lineno} ({error.msg}); write it again."
        ) from error
    except UnicodeDecodeError as error:
        raise errors.CheckpointError(
            f"{path}: not UTF-8 text at byte {error.start}; write it again."
        ) from error
