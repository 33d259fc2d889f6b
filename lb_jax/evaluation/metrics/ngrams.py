"""Runs of up to four words, or of token ids, and how often each stands in a sentence."""

import collections
from collections.abc import Hashable, Sequence

LONGEST = 4

Words = Sequence[Hashable]
Counts = collections.Counter[tuple[Hashable, ...]]


def counts(words: Words) -> Counts:
    """How often each run of one to `LONGEST` words occurs."""
    words = tuple(words)
    return collections.Counter(
        words[start : start + n]
        for n in range(1, LONGEST + 1)
        for start in range(len(words) - n + 1)
    )
