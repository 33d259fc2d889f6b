"""Phrases of captions that are worth searching for: YAKE's keywords, counted in all captions.

YAKE (Campos et al., 2020) ranks phrases by figures of the text alone: how often and in how many
sentences a word is there, beside how many others. One caption is too short for such figures, so
that it is asked about some hundred at once, a sentence each. Of what it names, phrases with a stop
word in them are left out ("man is riding", which it ranks first), and the others are counted in
every caption, once in each.
"""

import collections
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

WORD = re.compile(r"\w+(?:-\w+)*")
TEXTS = 400  # captions that are one document
WINDOW = 1  # words beside a word that count as its company


def keywords(
    texts: Sequence[str], *, longest_words: int, share: float, language: str
) -> collections.Counter[str]:
    """Phrases of captions -> captions that have them.

    Args:
      texts: the captions.
      longest_words: of a phrase.
      share: of the words of a document, how many phrases are kept at most.
      language: of the captions, two letters.
    """
    extractor = _Extractor(longest_words, share, language)
    tokens = [tuple(WORD.findall(text.casefold())) for text in texts]
    known = {
        phrase
        for start in range(0, len(tokens), TEXTS)
        for phrase in extractor.phrases(tokens[start : start + TEXTS])
    }
    counts: collections.Counter[str] = collections.Counter()
    for words in tokens:
        counts.update({" ".join(one) for one in parts(words, longest_words) if one in known})
    return counts


def parts(words: Sequence[str], most: int) -> Iterator[tuple[str, ...]]:
    """All stretches of at most so many words."""
    for length in range(1, most + 1):
        for start in range(len(words) - length + 1):
            yield tuple(words[start : start + length])


class _Extractor:
    """YAKE for a language."""

    def __init__(self, longest_words: int, share: float, language: str):
        self._yake = _yake(lan=language, n=longest_words, dedup_lim=1.0, window_size=WINDOW)
        self._share = share

    def phrases(self, texts: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
        """The best of some captions."""
        size = sum(map(len, texts))
        self._yake.config["top"] = size * self._yake.config["n"]  # all; the best of them below
        document = ". ".join(" ".join(words) for words in texts if words)
        named = (
            tuple(WORD.findall(phrase.casefold()))
            for phrase, _ in self._yake.extract_keywords(document)
        )
        worth = (words for words in named if self._is_worth(words))
        return itertools.islice(worth, max(1, round(self._share * size)))

    def _is_worth(self, words: tuple[str, ...]) -> bool:
        """Whether every word of a phrase says something, and one is no number."""
        stop = self._yake.stopword_set
        return (
            bool(words)
            and not all(word.isdigit() for word in words)
            and not any(word in stop for word in words)
        )


def _yake(**settings: Any) -> Any:
    import yake

    return yake.KeywordExtractor(**settings)
