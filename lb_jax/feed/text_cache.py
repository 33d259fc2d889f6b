"""Caption embeddings of a frozen text tower, computed once into a memory-mapped store.

index.json    what made them, their number and dimension
keys.npy      S16 [n], sorted: hash of each caption
vectors.npy   float32 [n, e]: its unit embedding
state.npy     uint8 [n]: see the constants below
"""

import fcntl
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from lb_jax.core import errors, logging
from lb_jax.text import tokenizer

INDEX, GROWING, LOCK = "index.json", "growing.json", "captions.lock"
ARRAYS = ("keys", "vectors", "state")
_COUNTS = ("captions", "dimensions", "generation")
# Of what the tokeniser makes of a text; a new value makes older stores stale.
TOKENIZER = "clip-bpe-1"
WAITING, WHOLE, CUT, UNUSABLE = range(4)  # not embedded yet, all of it, its beginning, no text

_CHUNK = 1 << 14  # captions that are looked up at a time

Identity = Mapping[str, str | int]
Texts = Callable[[], Iterable[str]]
Embed = Callable[[np.ndarray], np.ndarray]  # int32 [b, n] -> float32 [b, e]
Arrays = tuple[np.memmap, np.memmap, np.memmap]


class TextCache:
    """Caption -> (its embedding, float32 [e], whether it was cut), from a complete store.

    Args:
      folder: of the store.
      identity: what the vectors must have been made with; "text_length" is the tokens per caption.

    Raises:
      ConfigError: for a store that something else made.
    """

    def __init__(self, folder: Path, identity: Identity):
        self._arguments = Path(folder), dict(identity)
        told = _require(Path(folder), identity)
        self._keys, self._vectors, self._state = _arrays(Path(folder), told["generation"], "r")

    def __reduce__(self):
        return type(self), self._arguments

    def __call__(self, text: str) -> tuple[np.ndarray, bool]:
        """Looks a caption up.

        Raises:
          DataError: for a caption that cannot be tokenised.
          ConfigError: for one that was not there when the store was made.
        """
        folder, identity = self._arguments
        (place,), (known,) = _find(self._keys, np.array([key(text)]))
        if not known:
            raise errors.ConfigError(
                f"{folder} lacks the caption {text[:60]!r}: the corpus changed since the run "
                "started; start it again."
            )
        if self._state[place] == UNUSABLE:
            tokenizer.tokenize(text, identity["text_length"])  # raises what is wrong with it
        return np.array(self._vectors[place]), bool(self._state[place] == CUT)


def key(text: str) -> bytes:
    """Hash of a caption, 16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def make(
    folder: Path,
    identity: Identity,
    texts: Texts,
    embed: Embed,
    *,
    dim: int,
    batch_size: int,
) -> TextCache:
    """Opens a store after embedding the captions it lacks; an interrupted call goes on.

    Args:
      folder: of the store; made where it is missing.
      identity: see `TextCache`.
      texts: gives all captions, every time it is called.
      embed: int32 [batch_size, n] -> float32 [batch_size, dim].
      dim: of an embedding.
      batch_size: captions per call of `embed`.

    Raises:
      ConfigError: for a store that something else made, or a folder that holds something else.
    """
    folder = Path(folder)
    if folder.exists():
        names = {one.name for one in folder.iterdir()} if folder.is_dir() else {folder.name}
        if names and names.isdisjoint((LOCK, INDEX, GROWING)):
            raise _foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several runs that share a store one makes it
            _make(folder, identity, texts, embed, dim, batch_size)
            return TextCache(folder, identity)  # before another run puts a larger one in its place
    except OSError as error:
        raise errors.ConfigError(
            f"{folder}: captions cannot be kept there ({error.strerror or error}); make room or "
            "give another config.data.text_cache."
        ) from error


def _make(
    folder: Path, identity: Identity, texts: Texts, embed: Embed, dim: int, batch_size: int
) -> None:
    """Leaves a whole generation with all captions; the last whole one stays until then."""
    keys = [np.unique(found) for found, _ in _chunks(texts())]
    if not keys:
        raise errors.ConfigError("no caption to embed; see the corpus and the text kinds.")
    wanted, old = np.unique(np.concatenate(keys)), None
    if (folder / INDEX).is_file():
        old = _require(folder, identity)["generation"]
        held = _arrays(folder, old, "r")[0]
        if _find(held, wanted)[1].all():
            return
        wanted = np.union1d(held, wanted)
    generation = 0 if old is None else old + 1
    _prepare(folder, identity, wanted, dim, old, generation)
    _fill(_arrays(folder, generation, "r+"), texts, embed, identity["text_length"], batch_size)
    (folder / GROWING).replace(folder / INDEX)
    if old is not None:
        for name in ARRAYS:
            (folder / f"{name}-{old}.npy").unlink()


def _prepare(
    folder: Path,
    identity: Identity,
    wanted: np.ndarray,
    dim: int,
    old: int | None,
    generation: int,
) -> None:
    """Makes room for the wanted captions and takes over what is embedded already."""
    content = {**identity, "captions": len(wanted), "dimensions": dim, "generation": generation}
    keys, vectors, state = (folder / f"{name}-{generation}.npy" for name in ARRAYS)
    started = (folder / GROWING).is_file() and _told(folder / GROWING) == content
    if started and np.array_equal(np.load(keys), wanted):
        return
    (folder / GROWING).unlink(missing_ok=True)
    np.save(keys, wanted)
    new_vectors = np.lib.format.open_memmap(vectors, "w+", np.float32, (len(wanted), dim))
    new_state = np.lib.format.open_memmap(state, "w+", np.uint8, (len(wanted),))
    if old is not None:
        old_keys, old_vectors, old_state = _arrays(folder, old, "r")
        places, known = _find(old_keys, wanted)
        for i in range(0, len(wanted), _CHUNK):
            chosen = np.flatnonzero(known[i : i + _CHUNK]) + i
            new_vectors[chosen] = old_vectors[places[chosen]]
            new_state[chosen] = old_state[places[chosen]]
    new_vectors.flush()
    new_state.flush()
    (folder / GROWING).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _fill(arrays: Arrays, texts: Texts, embed: Embed, length: int, batch_size: int) -> None:
    """Embeds what waits."""
    keys, vectors, state = arrays
    done = int(np.count_nonzero(state))
    with logging.Progress("embed captions", len(keys), done=done, unit="caption") as progress:
        for found, chunk in _chunks(texts()):
            places, _ = _find(keys, found)
            places, first = np.unique(places, return_index=True)  # a chunk may repeat a caption
            waiting = [
                (place, chunk[i])
                for place, i in zip(places, first, strict=True)
                if state[place] == WAITING
            ]
            for i in range(0, len(waiting), batch_size):
                batch = waiting[i : i + batch_size]
                good = []
                for place, text in batch:
                    try:
                        ids = tokenizer.tokenize(text, length)[0]
                    except errors.DataError:  # said to whoever asks for it, as without a store
                        state[place] = UNUSABLE
                        continue
                    cut = CUT if tokenizer.count_truncated(text, length) else WHOLE
                    good.append((place, ids, cut))
                if good:
                    at, ids, cuts = zip(*good, strict=True)
                    padded = np.resize(
                        np.stack(ids), (batch_size, length)
                    )  # one shape, one program
                    vectors[list(at)] = embed(padded)[: len(good)]
                    vectors.flush()  # before its state says that it is there
                    state[list(at)] = cuts
                progress.advance(len(batch))
    state.flush()


def _chunks(texts: Iterable[str]) -> Iterator[tuple[np.ndarray, tuple[str, ...]]]:
    """(keys S16 [c], the captions)."""
    texts = iter(texts)
    while chunk := tuple(itertools.islice(texts, _CHUNK)):
        yield np.array([key(text) for text in chunk], "S16"), chunk


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(place of each wanted key, whether it is there)."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted


def _arrays(folder: Path, generation: int, mode: Literal["r", "r+"]) -> Arrays:
    """Keys, vectors and states, mapped into memory."""
    try:
        files = [folder / f"{name}-{generation}.npy" for name in ARRAYS]
        keys, vectors, state = (np.load(file, mmap_mode=mode) for file in files)
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    return keys, vectors, state


def _require(folder: Path, identity: Identity) -> dict[str, str | int]:
    """What a whole store says of itself, after comparing what made it."""
    if not (folder / INDEX).is_file():
        raise _foreign(folder)
    told = _told(folder / INDEX)
    differing = sorted(name for name in identity if told.get(name) != identity[name])
    if differing:
        raise errors.ConfigError(
            f"{folder} is stale: its captions were embedded with another {', '.join(differing)}; "
            "delete it or give another config.data.text_cache."
        )
    return told


def _told(index: Path) -> dict[str, str | int]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not all(type(content.get(n)) is int for n in _COUNTS):
            raise ValueError(f"{index.name} lacks {', '.join(_COUNTS)}")
    except ValueError as error:
        raise _damaged(index.parent, error) from error
    return content


def _foreign(folder: Path) -> errors.ConfigError:
    return errors.ConfigError(
        f"{folder} holds no caption embeddings; give an empty or new config.data.text_cache."
    )


def _damaged(folder: Path, error: Exception) -> errors.ConfigError:
    return errors.ConfigError(
        f"{folder}: its caption embeddings are damaged ({error}); delete the folder, and the run "
        "makes them again."
    )
