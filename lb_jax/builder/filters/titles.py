"""Titles that are nearly those of an item before, by MinHash (datasketch)."""

import dataclasses
import re

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("like", pa.string()), ("similarity", pa.float32()))
PERMUTATIONS, SEED = 128, 1


@dataclasses.dataclass(frozen=True)
class Titles:
    """Thresholds.

    Attributes:
      similarity: share of their pieces that two titles have in common (Jaccard), from which on the
        later one is left out.
      letters: of a piece; pieces overlap.
    """

    similarity: float = 0.9
    letters: int = 4

    def __post_init__(self):
        require(
            0 < self.similarity <= 1,
            f"config.titles: similarity is {self.similarity}, expected above 0 and at most 1.",
        )
        require(self.letters > 0, f"config.titles: letters is {self.letters}, expected 1 or more.")


def compare(rows: pa.Table, cfg: Titles) -> list[stage.Verdict]:
    """Judges all titles, those of the source's first items first."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=cfg.similarity, num_perm=PERMUTATIONS)
    kept: dict[str, set[str]] = {}
    verdicts = []
    for item, title in zip(rows[stage.ID].to_pylist(), rows["title"].to_pylist(), strict=True):
        pieces = _pieces(title or "", cfg.letters)
        sketch = MinHash(num_perm=PERMUTATIONS, seed=SEED)
        sketch.update_batch([piece.encode() for piece in sorted(pieces)])
        # The index says which may be near; the pieces themselves say how near.
        near = {one: _jaccard(pieces, kept[one]) for one in map(str, index.query(sketch))}
        best = max(near, key=lambda one: (near[one], one), default=None)
        if best is not None and near[best] >= cfg.similarity:
            told = f"has nearly the title of {best} ({near[best]:.2f})"
            verdicts.append(stage.refuse(told, like=best, similarity=near[best]))
            continue
        index.insert(item, sketch)
        kept[item] = pieces
        verdicts.append(stage.keep(like="", similarity=near.get(best, 0.0) if best else 0.0))
    return verdicts


def _pieces(title: str, letters: int) -> set[str]:
    text = " ".join(re.findall(r"\w+", title.casefold()))
    return {text[i : i + letters] for i in range(max(1, len(text) - letters + 1))}


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)
