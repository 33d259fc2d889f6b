"""CIDEr-D (Vedantam et al. 2015) as captioning figures have it (VALOR spec 5.5).

Runs of one to four words are weighted by how few items' references hold them. The cosine with each
reference counts a run at most as often as the reference has it, times a penalty of the difference
in length, Gaussian with a deviation of 6. The lengths are numbers of pairs of words, not of words.
The mean over the references and over the four kinds of runs is multiplied by ten.

With one item every run is in every item's references, and CIDEr is 0.
"""

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lb_jax.evaluation.metrics import ngrams

SIGMA, SCALE = 6.0, 10.0


@dataclasses.dataclass(frozen=True)
class Frequencies:
    """In how many items' references each run of words occurs.

    Attributes:
      items: how many there are.
      holding: run -> the number of them whose references hold it.
    """

    items: int
    holding: Mapping[tuple, int]

    @classmethod
    def of(cls, corpus: Iterable[Sequence[ngrams.Counts]]) -> "Frequencies":
        """Counts the references of every item."""
        holding: collections.Counter[tuple] = collections.Counter()
        items = 0
        for references in corpus:
            items += 1
            holding.update(set().union(*references))
        return cls(items, dict(holding))

    def weight(self, run: tuple) -> float:
        """What one occurrence of a run weighs; a run that no reference holds weighs most."""
        return math.log(self.items) - math.log(max(1, self.holding.get(run, 0)))


class References:
    """The references of one item, ready to be compared with.

    Args:
      references: counts of the runs of each, at least one.
      frequencies: of the corpus.
    """

    def __init__(self, references: Sequence[ngrams.Counts], frequencies: Frequencies):
        self._frequencies = frequencies
        self._entries: dict[tuple, list[tuple[int, float]]] = {}  # run -> (reference, weight)
        norms = np.zeros((len(references), ngrams.LONGEST))
        for i, one in enumerate(references):
            for run, count in one.items():
                value = count * frequencies.weight(run)
                self._entries.setdefault(run, []).append((i, value))
                norms[i, len(run) - 1] += value**2
        self._norms = np.sqrt(norms)
        self._pairs = np.array([_pairs(one) for one in references])

    def score(self, candidate: ngrams.Counts) -> float:
        """CIDEr-D of one sentence, from 0 to 10."""
        dots = np.zeros_like(self._norms)
        norm = np.zeros(ngrams.LONGEST)
        for run, count in candidate.items():
            value = count * self._frequencies.weight(run)
            norm[len(run) - 1] += value**2
            for i, other in self._entries.get(run, ()):
                dots[i, len(run) - 1] += min(value, other) * other
        norms = self._norms * np.sqrt(norm)
        cosines = np.divide(dots, norms, out=dots, where=norms != 0)
        penalty = np.exp(-((_pairs(candidate) - self._pairs) ** 2) / (2 * SIGMA**2))
        return float(SCALE * (cosines.mean(1) * penalty).mean())


def _pairs(counts: ngrams.Counts) -> int:
    return sum(count for run, count in counts.items() if len(run) == 2)
