"""BLEU-1 to BLEU-4 (Papineni et al. 2002) of sentences, and of a corpus by its summed counts.

A sentence without a run of four right words would score 0, so tiny numbers stand above and below
the fraction, as in the figures of captioning (VALOR spec 5.5); of a corpus they change nothing that
is printed. The length that a sentence is compared with is that of the reference nearest to it, of
two as near the shorter one.
"""

import collections
from collections.abc import Sequence

import numpy as np

from lb_jax.evaluation.metrics import ngrams

ABOVE, BELOW = 1e-15, 1e-9  # added to what is right, and to what was said
TALLIED = 2 * ngrams.LONGEST + 2
_RIGHT, _SAID = slice(0, ngrams.LONGEST), slice(ngrams.LONGEST, 2 * ngrams.LONGEST)


def tally(candidate: ngrams.Words, references: Sequence[ngrams.Words]) -> np.ndarray:
    """What BLEU is computed from, which adds up over sentences.

    Args:
      candidate: words.
      references: words of each, at least one.

    Returns:
      int64 `[10]`: right runs of one to four words, each counted at most as often as one reference
      has it; runs that were said; words said; words of the nearest reference.
    """
    most: ngrams.Counts = collections.Counter()
    for reference in references:
        most |= ngrams.counts(reference)
    return of_counts(ngrams.counts(candidate), len(candidate), most, [len(r) for r in references])


def of_counts(
    said: ngrams.Counts, length: int, most: ngrams.Counts, lengths: Sequence[int]
) -> np.ndarray:
    """As `tally`, of counts that were made before.

    Args:
      said: runs of the candidate.
      length: words of the candidate.
      most: run -> how often the reference that has it most often has it.
      lengths: words of each reference.
    """
    right = [0] * ngrams.LONGEST
    for run, count in said.items():
        right[len(run) - 1] += min(count, most.get(run, 0))
    runs = [max(0, length - n) for n in range(ngrams.LONGEST)]
    nearest = min(lengths, key=lambda one: (abs(one - length), one))
    return np.array([*right, *runs, length, nearest], np.int64)


def score(tallies: np.ndarray) -> np.ndarray:
    """BLEU of each tally; of a corpus give the sum of its tallies.

    Args:
      tallies: int `[..., 10]`, as `tally` gives them.

    Returns:
      float64 `[..., 4]`: BLEU-1 to BLEU-4, as fractions.
    """
    tallies = np.asarray(tallies, np.float64)
    share = (tallies[..., _RIGHT] + ABOVE) / (tallies[..., _SAID] + BELOW)
    mean = np.cumprod(share, axis=-1) ** (1 / np.arange(1, ngrams.LONGEST + 1))
    ratio = (tallies[..., -2] + ABOVE) / (tallies[..., -1] + BELOW)
    return mean * np.exp(np.minimum(0, 1 - 1 / ratio))[..., None]
