"""How good sampled captions are, for training by reward: CIDEr-D plus BLEU-4 of token ids.

The weights of runs of words come from all references once; the references of an item are made ready
when it is first asked for, and kept. A batch of 320 samples with five references each takes tens of
milliseconds on one core.
"""

import functools
from collections.abc import Sequence

import numpy as np

from lb_jax.core import errors
from lb_jax.evaluation.metrics import bleu, cider, ngrams

KEPT = 4096  # items whose references stay ready


class Rewards:
    """Scores sequences of ids against the references of their items.

    Args:
      references: of each item its references, each a sequence of ids without the first token and
        with the end token; all of the training set.
      end: id after which a sequence ends.
      ignored: ids that are no words, such as padding.
      count_end: whether the end token is a word, so that a text that never ends earns less.
      cider_weight, bleu_weight: of the two parts of the sum.

    Raises:
      DataError: an item without a reference.
    """

    def __init__(
        self,
        references: Sequence[Sequence[Sequence[int]]],
        *,
        end: int,
        ignored: Sequence[int] = (0,),
        count_end: bool = True,
        cider_weight: float = 1.0,
        bleu_weight: float = 1.0,
    ):
        self._end, self._ignored, self._count_end = end, frozenset(ignored), count_end
        self._weights = cider_weight, bleu_weight
        if empty := [i for i, one in enumerate(references) if not len(one)]:
            raise errors.DataError(
                "references", f"item {empty[0]} has none; leave it out, or add its captions"
            )
        self._references = [[self.words(one) for one in texts] for texts in references]
        self._frequencies = cider.Frequencies.of(
            [ngrams.counts(one) for one in texts] for texts in self._references
        )
        self._item = functools.lru_cache(KEPT)(self._ready)

    def words(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The ids that count: up to the end token, without what is ignored."""
        found = []
        for one in np.asarray(ids).tolist():
            if one == self._end:
                if self._count_end:
                    found.append(one)
                break
            if one not in self._ignored:
                found.append(one)
        return tuple(found)

    def __call__(self, items: Sequence[int], sampled: Sequence[Sequence[int]]) -> np.ndarray:
        """Rewards of sampled sequences.

        Args:
          items: int `[n]`, the item of each, a place in the references.
          sampled: int `[n, l]`, ids without the first token; what follows the end token is ignored.

        Returns:
          float64 `[n]`: CIDEr-D (0 to 10) and BLEU-4 (0 to 1), weighted and added.
        """
        ciders = np.zeros(len(sampled))
        tallies = np.zeros((len(sampled), bleu.TALLIED), np.int64)
        for row, (item, ids) in enumerate(zip(np.asarray(items).tolist(), sampled, strict=True)):
            said = self.words(ids)
            counts = ngrams.counts(said)
            compared, most, lengths = self._item(item)
            ciders[row] = compared.score(counts)
            tallies[row] = bleu.of_counts(counts, len(said), most, lengths)
        to_cider, to_bleu = self._weights
        return to_cider * ciders + to_bleu * bleu.score(tallies)[:, -1]

    def _ready(self, item: int) -> tuple[cider.References, ngrams.Counts, list[int]]:
        counted = [ngrams.counts(one) for one in self._references[item]]
        most = functools.reduce(lambda a, b: a | b, counted)
        lengths = [len(one) for one in self._references[item]]
        return cider.References(counted, self._frequencies), most, lengths
