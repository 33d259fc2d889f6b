"""Phrases of captions that are worth searching for: YAKE's keywords, counted in all captions.

YAKE (Campos et al., 2020) ranks phrases by figures of the text alone: how often and in how many
sentences a word is there, beside how many others. One caption is too short for such figures, so
that it is asked about some hundred at once, a sentence each. What it names is then counted in every
caption, once in each.
"""

import collections
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
        most = max(1, round(self._share * sum(map(len, texts))))
        self._yake.config["top"] = most
        document = ". ".join(" ".join(words) for words in texts if words)
        for phrase, _ in self._yake.extract_keywords(document):
            words = tuple(WORD.findall(phrase.casefold()))
            if self._is_worth(words):
                yield words

    def _is_worth(self, words: tuple[str, ...]) -> bool:
        """Whether a phrase begins and ends with a word that says something."""
        if not words or all(word.isdigit() for word in words):
            return False
        stop = self._yake.stopword_set
        return words[0] not in stop and words[-1] not in stop


def _yake(**settings: Any) -> Any:
    import yake

    return yake.KeywordExtractor(**settings)
