"""Films that are copies of one before, across the corpus, by perceptual hashes (ImageHash)."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

SEEN = (("hash", pa.binary()),)
FIGURES = (("copy_of", pa.string()), ("bits", pa.int32()))
HASH_SIDE = 8  # a hash has its square of bits
BLOCK = 1024  # films that are compared at once


@dataclasses.dataclass(frozen=True)
class Copies:
    """Thresholds.

    Attributes:
      most_bits: of a picture's 64, on average over the pictures, by which a copy may differ.
      pictures: that are compared, evenly spread.
    """

    most_bits: float = 6.0
    pictures: int = 4

    def __post_init__(self):
        require(
            0 <= self.most_bits < HASH_SIDE**2 / 2 and self.pictures > 0,
            f"config.copies: most_bits is {self.most_bits} and pictures {self.pictures}; expected "
            f"0 to {HASH_SIDE**2 // 2}, where pictures lie that have nothing in common, and 1 or "
            "more.",
        )


def wants(cfg: Copies) -> stage.Wants:
    """Some pictures."""
    return stage.Wants(frozenset({cfg.pictures}))


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Copies) -> list[stage.Verdict]:
    """The hash of each film."""
    return [stage.keep(hash=hashed(film.pictures(cfg.pictures))) for film in films]


def hashed(pictures: np.ndarray) -> bytes:
    """Perceptual hashes of pictures, uint8 [n, h, w, 3] -> 8 bytes of each."""
    import imagehash
    from PIL import Image

    bits = [imagehash.phash(Image.fromarray(one), HASH_SIDE).hash for one in pictures]
    return np.packbits(np.stack(bits).reshape(-1)).tobytes()


def compare(rows: pa.Table, cfg: Copies) -> list[stage.Verdict]:
    """Judges all films: a copy of one that stays, earlier in the source, is left out."""
    ids = rows[stage.ID].to_pylist()
    hashes = np.frombuffer(b"".join(rows["hash"].to_pylist()), np.uint64)
    hashes = hashes.reshape(len(ids), cfg.pictures)
    most, stays = cfg.most_bits * cfg.pictures, np.ones(len(ids), bool)
    nearest = np.zeros(len(ids), np.int64)
    bits = np.full(len(ids), HASH_SIDE**2 * cfg.pictures, np.int64)
    for begin in range(0, len(ids), BLOCK):
        block = slice(begin, min(begin + BLOCK, len(ids)))
        apart = _apart(hashes[block], hashes[: block.stop])
        for row in range(block.start, block.stop):
            before = np.where(stays[:row], apart[row - begin, :row], np.iinfo(np.int64).max)
            if row and before.min() < np.iinfo(np.int64).max:
                nearest[row], bits[row] = before.argmin(), before.min()
            stays[row] = bits[row] > most
    return [_judge(ids, row, nearest[row], bits[row], cfg, stays[row]) for row in range(len(ids))]


def _apart(some: np.ndarray, all_of: np.ndarray) -> np.ndarray:
    """Bits by which hashes differ: uint64 [m, k] and [n, k] -> int64 [m, n]."""
    found = np.zeros((len(some), len(all_of)), np.int64)
    for k in range(some.shape[1]):
        found += np.bitwise_count(some[:, None, k] ^ all_of[None, :, k])
    return found


def _judge(
    ids: Sequence[str], row: int, nearest: int, bits: int, cfg: Copies, stays: bool
) -> stage.Verdict:
    mean = bits / cfg.pictures
    if not stays:
        told = f"is a copy of {ids[nearest]} ({mean:.1f} of {HASH_SIDE**2} bits differ)"
        return stage.refuse(told, copy_of=ids[nearest], bits=int(bits))
    return stage.keep(copy_of="", bits=int(bits))
