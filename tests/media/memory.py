"""A source of the tests: rows given in full."""

import random
from collections.abc import Iterable, Sequence

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import record
from lb_jax.corpora.rows import Row


class Memory:
    """Rows of a list; an error in it is raised when its row is asked for."""

    def __init__(self, rows: Sequence[Row | errors.DataError], where: str = "memory"):
        self.where, self._rows = where, tuple(rows)
        held = [row for row in self._rows if isinstance(row, Row)]
        self.modalities = tuple(m for m in MODALITIES if any(m in row.media for row in held))
        self.text_kinds = tuple(
            kind for kind in record.TEXT_NAMES if any(kind in row.texts for row in held)
        )

    def __len__(self) -> int:
        return len(self._rows)

    def require(self, kinds: Iterable[str]) -> None:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Row:
        if isinstance(self._rows[index], errors.DataError):
            raise self._rows[index]
        return self._rows[index]


FRAMES = tuple(bytes([k + 1, 0]) for k in range(8))
# Several modalities and kinds, a clip as stills, zeros at the end of a file, and nothing at all.
ROWS = (
    Row("plain", {"caption": "a cat"}, {"image": (b"picture\0\0",)}),
    Row(
        "é",
        {"raw": "Tïtle", "mplug": ("a", "b"), "ofa": tuple(f" frame {k}" for k in range(8))},
        {"depth": FRAMES, "thermal": FRAMES},
    ),
    Row("stills", {"ofa_3": "third"}, {"video": ((b"0", b"1\0"), b"whole"), "audio": (b"wav",)}),
    Row("bare", {}, {}),
)


def numbered(count: int, size: int = 1000) -> list[Row]:
    """Rows that differ, each with an image of `size` bytes that no compression makes smaller."""
    return [
        Row(f"item{i}", {"caption": f"number {i}"}, {"image": (random.Random(i).randbytes(size),)})
        for i in range(count)
    ]
