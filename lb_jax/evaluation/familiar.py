"""What is usual among the media that a calibration was fitted to, and whether others are like it.

A curve from cosine to probability says nothing of media that the model was never shown: their
vectors lie where no vector lay when it was fitted. So half of the items are kept, the reference,
and of the other half how near its members come to it; a vector that comes less near than 95 % of
them is outside (nearest neighbours as a test of what is known: Sun et al. 2022, arXiv 2204.06507).
A single one that is outside is unlike what was fitted to. A collection is where more of it is than
of one class, which is a narrow part of what was fitted to, and where so few were looked at that
this may be chance, it is not; the numbers behind that are in docs/search.md.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping

import numpy as np

AT_LEAST = 16  # items of a half, as for a curve
AT_MOST = 512  # items of a split
OUTSIDE = 0.05  # share of the held-out half that comes less near
ONE_CLASS = 0.35  # outside of the worst class of the demo; photographs have 0.9
SURE = 1.0  # standard deviations by which a share lies above that
STORED = np.dtype("<f2")


@dataclasses.dataclass(frozen=True)
class Usual:
    """The reference of one modality.

    Attributes:
      vectors: float16 `[items, e]`, as bytes.
      items: of the reference.
      held_out_items: whose cosines to it were looked at.
      near: cosine to the nearest of the reference, below which a vector is outside.
    """

    vectors: bytes
    items: int
    held_out_items: int
    near: float

    def outside(self, vectors: np.ndarray) -> int:
        """How many of unit vectors `[n, e]` are outside."""
        nearest = nearest_cosine(np.asarray(vectors), self._reference)
        return int(np.count_nonzero(nearest < self.near))

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
    near = np.quantile(nearest_cosine(held_out, reference), OUTSIDE)
    return Usual(reference.tobytes(), len(reference), len(held_out), float(near))


def is_like(outside: int, rows: int) -> bool:
    """Whether so many of so many rows outside leave a collection like what was fitted to.

    It is unlike where the lower end of the interval of the share (Wilson 1927, JASA 22, 209) lies
    above `ONE_CLASS`: from 1 of 1, 2 of 2 and of 3, 3 of 4, 6 of 10, 40 of 100, 361 of 1,000 on.
    """
    if not rows:
        return True
    share, spread = outside / rows, SURE**2 / rows
    width = math.sqrt(spread * share * (1 - share) + (spread / 2) ** 2)
    return (share + spread / 2 - width) / (1 + spread) <= ONE_CLASS


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
    unlike = {name: count for name, count in counts.items() if not is_like(*count)}
    if not unlike:
        return None
    if all(rows == 1 for _, rows in unlike.values()):
        what = f"the {' and the '.join(unlike)} {'is' if len(unlike) == 1 else 'are'}"
    else:
        of = (f"{outside} of {rows} {name}" for name, (outside, rows) in unlike.items())
        what = f"{', '.join(of)} vectors are"
    return f"{what} unlike those that the calibration was fitted to"


def nearest_cosine(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosine of each vector `[n, e]` to the nearest of the reference `[m, e]`: float32 `[n]`."""
    return (vectors.astype(np.float32) @ reference.astype(np.float32).T).max(axis=1)


def digest_of(id_: str) -> bytes:
    """The hash that an item is drawn and put into a half by."""
    return hashlib.sha256(id_.encode()).digest()
