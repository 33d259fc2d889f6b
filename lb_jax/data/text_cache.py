"""Caption embeddings of a frozen text tower, computed once into a memory-mapped store.

index.json    what made them, their number and dimension
keys.npy      S16 [n], sorted: hash of each caption
vectors.npy   float32 [n, e]: its unit embedding
state.npy     uint8 [n]: see the constants below
"""

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from lb_jax.core import errors, logging
from lb_jax.data import tokenizer

INDEX = "index.json"
# Of what the tokeniser makes of a text; a new value makes older stores stale.
TOKENIZER = "clip-bpe-1"
WAITING, WHOLE, CUT, UNUSABLE = range(4)  # not embedded yet, all of it, its beginning, no text

_CHUNK = 1 << 14  # captions that are looked up at a time

Identity = Mapping[str, str | int]


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
        _require(Path(folder), identity)
        self._keys, self._vectors, self._state = _arrays(Path(folder), "r")

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
    texts: Callable[[], Iterable[str]],
    embed: Callable[[np.ndarray], np.ndarray],
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
    if folder.is_dir() and any(folder.iterdir()):
        _require(folder, identity)
    wanted = np.unique(np.concatenate([np.unique(keys) for keys, _ in _chunks(texts())]))
    if (folder / INDEX).is_file():
        held = np.load(folder / "keys.npy", mmap_mode="r")
        if _find(held, wanted)[1].all():
            return TextCache(folder, identity)
        wanted = np.union1d(held, wanted)
    growing = folder.with_name(f".{folder.name}.growing")
    _prepare(growing, folder, identity, wanted, dim)
    _fill(growing, texts, embed, identity["text_length"], batch_size)
    shutil.rmtree(folder, ignore_errors=True)
    growing.rename(folder)
    return TextCache(folder, identity)


def _prepare(growing: Path, folder: Path, identity: Identity, wanted: np.ndarray, dim: int) -> None:
    """Makes room for the wanted captions and takes over what is embedded already."""
    started = (growing / INDEX).is_file() and _told(growing) == dict(identity)
    if started and np.array_equal(np.load(growing / "keys.npy"), wanted):
        return
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    np.save(growing / "keys.npy", wanted)
    shape = len(wanted), dim
    vectors = np.lib.format.open_memmap(growing / "vectors.npy", "w+", np.float32, shape)
    state = np.lib.format.open_memmap(growing / "state.npy", "w+", np.uint8, shape[:1])
    if (folder / INDEX).is_file():
        keys, old_vectors, old_state = _arrays(folder, "r")
        places, known = _find(keys, wanted)
        for i in range(0, len(wanted), _CHUNK):
            chosen = np.flatnonzero(known[i : i + _CHUNK]) + i
            vectors[chosen], state[chosen] = old_vectors[places[chosen]], old_state[places[chosen]]
    vectors.flush()
    state.flush()
    content = {**identity, "captions": shape[0], "dimensions": dim}
    (growing / INDEX).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _fill(
    growing: Path,
    texts: Callable[[], Iterable[str]],
    embed: Callable[[np.ndarray], np.ndarray],
    length: int,
    batch_size: int,
) -> None:
    """Embeds what waits."""
    keys, vectors, state = _arrays(growing, "r+")
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


def _arrays(folder: Path, mode: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    names = ("keys", "vectors", "state")
    return tuple(np.load(folder / f"{name}.npy", mmap_mode=mode) for name in names)


def _require(folder: Path, identity: Identity) -> None:
    if not (folder / INDEX).is_file():
        raise errors.ConfigError(
            f"{folder} holds no caption embeddings; give an empty or new config.data.text_cache."
        )
    told = _told(folder)
    differing = sorted(name for name in identity if told.get(name) != identity[name])
    if differing:
        raise errors.ConfigError(
            f"{folder} is stale: its captions were embedded with another {', '.join(differing)}; "
            "delete it or give another config.data.text_cache."
        )


def _told(folder: Path) -> dict[str, str | int]:
    """What the store says made it."""
    content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return {name: one for name, one in content.items() if name not in ("captions", "dimensions")}
