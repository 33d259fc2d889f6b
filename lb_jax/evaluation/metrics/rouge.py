"""ROUGE-L (Lin 2004): the longest common subsequence with the references.

The best precision and the best recall are taken over the references separately, and recall weighs
1.2 squared times as much (VALOR spec 5.5).
"""

from collections.abc import Sequence

from lb_jax.evaluation.metrics import ngrams

BETA = 1.2


def score(candidate: ngrams.Words, references: Sequence[ngrams.Words]) -> float:
    """ROUGE-L of one sentence, from 0 to 1.

    Args:
      candidate: words.
      references: words of each, at least one.
    """
    common = [common_words(candidate, one) for one in references]
    if not candidate or not any(common):
        return 0.0
    precision = max(common) / len(candidate)
    recall = max(n / len(one) for n, one in zip(common, references, strict=True) if one)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_words(a: ngrams.Words, b: ngrams.Words) -> int:
    """Length of the longest common subsequence."""
    best = [0] * (len(b) + 1)
    for one in a:
        before = 0  # best of the row above, a column to the left
        for j, other in enumerate(b, 1):
            above = best[j]
            best[j] = before + 1 if one == other else max(above, best[j - 1])
            before = above
    return best[-1]
