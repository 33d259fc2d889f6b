"""What is usual among the media that a calibration was fitted to, and whether others are like it.

A curve from cosine to probability says nothing of media that the model was never shown: their
vectors lie where no vector lay when it was fitted. So half of the items are kept, the reference,
and of the other half how near its members come to it; a vector that comes less near than 95 % of
them is outside (nearest neighbours as a test of what is known: Sun et al. 2022, arXiv 2204.06507).
A collection of which more than `MOST_OUTSIDE` is outside is unlike what was fitted to; the numbers
behind that are in docs/search.md.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

AT_LEAST = 16  # items of a half, as for a curve
AT_MOST = 512  # items of a split
OUTSIDE, FAR = 0.05, 0.01  # share of the held-out half that comes less near, or much less
MOST_OUTSIDE = 0.3  # of a collection; one class of the demo alone has up to 0.33, photographs 0.9
STORED = np.dtype("<f2")


@dataclasses.dataclass(frozen=True)
class Usual:
    """The reference of one modality.

    Attributes:
      vectors: float16 `[items, e]`, as bytes.
      items: of the reference.
      held_out_items: whose cosines to it were looked at.
      near: cosine to the nearest of the reference, below which a vector is outside.
      far: that below which a single one is.
    """

    vectors: bytes
    items: int
    held_out_items: int
    near: float
    far: float

    def outside(self, vectors: np.ndarray) -> int:
        """How many of unit vectors `[n, e]` are outside; of a single one, whether it is far."""
        nearest = nearest_cosine(np.asarray(vectors), self._reference)
        return int(np.count_nonzero(nearest < (self.far if len(nearest) == 1 else self.near)))

    @property
    def _reference(self) -> np.ndarray:
        return np.frombuffer(self.vectors, STORED).reshape(self.items, -1)


def fit(items: Mapping[str, np.ndarray]) -> Usual | None:
    """What is usual among items; None for too few to say.

    Args:
      items: id -> unit vector `[e]`.
    """
    halves: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for id_ in sorted(items, key=digest_of):
        halves[digest_of(id_)[0] & 1].append(items[id_])
    if min(map(len, halves)) < AT_LEAST:
        return None
    reference, held_out = (np.stack(half) for half in halves)
    reference = reference.astype(STORED)
    near, far = np.quantile(nearest_cosine(held_out, reference), [OUTSIDE, FAR])
    return Usual(reference.tobytes(), len(reference), len(held_out), float(near), float(far))


def is_like(outside: int, rows: int) -> bool:
    """Whether so many of so many rows outside leave a collection like what was fitted to.

    One of two or three is no more than chance.
    """
    return outside <= max(MOST_OUTSIDE * rows, rows > 1)


def withheld(counts: Mapping[str, tuple[int, int]], names: Iterable[str]) -> tuple[str, ...]:
    """The modalities of which no probability is told.

    They are those that are unlike; or all where these are half of the collection or more, for media
    of another kind may lie near by chance, as depth maps do, whose surfaces are smooth everywhere.

    Args:
      counts: modality -> (rows outside, rows).
      names: all modalities.
    """
    unlike = [name for name, count in counts.items() if not is_like(*count)]
    foreign, total = (sum(counts[name][1] for name in some) for some in (unlike, counts))
    return tuple(names if unlike and 2 * foreign >= total else unlike)


def told(counts: Mapping[str, tuple[int, int]]) -> str | None:
    """Why a calibration does not hold for a collection, in words; None where it does.

    Args:
      counts: modality -> (rows outside, rows).
    """
    if all(is_like(*count) for count in counts.values()):
        return None
    unlike = [
        f"{outside} of {rows} {name}"
        for name, (outside, rows) in counts.items()
        if not is_like(outside, rows)
    ]
    return (
        f"{', '.join(unlike)} vectors are unlike those that the calibration was fitted to (at most "
        f"{100 * MOST_OUTSIDE:.0f} % may be)"
    )


def nearest_cosine(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosine of each vector `[n, e]` to the nearest of the reference `[m, e]`: float32 `[n]`."""
    return (vectors.astype(np.float32) @ reference.astype(np.float32).T).max(axis=1)


def digest_of(id_: str) -> bytes:
    """The hash that an item is drawn and put into a half by."""
    return hashlib.sha256(id_.encode()).digest()
