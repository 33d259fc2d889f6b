"""Forms of one term: other endings (Snowball's stems), other spellings, words written as one.

Spellings are compared word by word, and only words of the same first letters: `grey horse` and
`grey house` are two terms, `colour` and `color` are one word.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping

from lb_jax.core import errors

# Those of snowballstemmer by the language's two letters.
STEMMERS = {
    **{"ar": "arabic", "da": "danish", "de": "german", "en": "english", "es": "spanish"},
    **{"fi": "finnish", "fr": "french", "hu": "hungarian", "it": "italian", "nl": "dutch"},
    **{"no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian"},
    **{"sv": "swedish", "tr": "turkish"},
}
FIRST = 2  # letters that spellings of a word have in common
WORD = re.compile(r"\w+", re.UNICODE)


@dataclasses.dataclass(frozen=True)
class Term:
    """A term with all its forms.

    Attributes:
      term: the form that is most frequent.
      forms: the others, most frequent first.
      sources: source -> texts that have it in any form.
    """

    term: str
    forms: tuple[str, ...]
    sources: Mapping[str, int]

    @property
    def count(self) -> int:
        """Texts that have it."""
        return sum(self.sources.values())


def merge(counts: Mapping[str, Mapping[str, int]], similarity: float, language: str) -> list[Term]:
    """Puts forms of one term together.

    Args:
      counts: source -> form -> texts that have it.
      similarity: of two spellings of a word that are taken for one; 1 for equal ones.
      language: whose stems, two letters.

    Returns:
      Terms, most frequent first.

    Raises:
      ConfigError: there are no stems of the language.
    """
    by_form: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for source, forms in counts.items():
        for form, count in forms.items():
            by_form[form][source] += count
    order = sorted(by_form, key=lambda form: (-by_form[form].total(), form))
    groups = _groups(order, by_form, similarity, language)
    found = [_term(forms, by_form) for forms in groups]
    return sorted(found, key=lambda one: (-one.count, one.term))


def _term(forms: list[str], by_form: Mapping[str, collections.Counter[str]]) -> Term:
    total = sum((by_form[form] for form in forms), collections.Counter())
    return Term(forms[0], tuple(forms[1:]), dict(sorted(total.items())))


def _groups(
    order: list[str],
    by_form: Mapping[str, collections.Counter[str]],
    similarity: float,
    language: str,
) -> list[list[str]]:
    """Forms that belong together, each in the order that was given."""
    if language not in STEMMERS:
        raise errors.ConfigError(
            f"config.terms.language is {language!r}; there are stems of {', '.join(STEMMERS)}."
            f"{errors.nearest(language, STEMMERS)}"
        )
    import snowballstemmer

    stemmer = snowballstemmer.stemmer(STEMMERS[language])
    words = {form: WORD.findall(form.casefold()) for form in order}
    weights: collections.Counter[str] = collections.Counter()
    stems: dict[str, str] = {}
    for form in order:
        for word in words[form]:
            stems.setdefault(word, stemmer.stemWord(word))
            weights[stems[word]] += by_form[form].total()
    leaders = spellings(weights, similarity)
    groups: dict[int, list[str]] = {}
    known: dict[tuple[str, ...], int] = {}
    for number, form in enumerate(order):
        # by its words in any ending and spelling; and with all that parts words left out
        parts = tuple(leaders[stems[word]] for word in words[form])
        keys = [("words", *parts), ("joined", "".join(words[form]))] if parts else [("", form)]
        group = next((known[key] for key in keys if key in known), number)
        for key in keys:
            known.setdefault(key, group)
        groups.setdefault(group, []).append(form)
    return list(groups.values())


def spellings(weights: Mapping[str, int], similarity: float) -> dict[str, str]:
    """Word -> the most frequent spelling of it.

    Args:
      weights: word -> how often it is there.
      similarity: share of letters that two have in common in the same order, as
        `rapidfuzz.fuzz.ratio` counts it, from which on they are one.
    """
    import rapidfuzz

    leaders: dict[str, list[str]] = collections.defaultdict(list)
    found = {}
    for word in sorted(weights, key=lambda one: (-weights[one], one)):
        near = leaders[word[:FIRST]]
        best = None
        if similarity < 1 and not any(letter.isdigit() for letter in word):
            best = rapidfuzz.process.extractOne(
                word, near, scorer=rapidfuzz.fuzz.ratio, score_cutoff=100 * similarity
            )
        if best is None:
            near.append(word)
        found[word] = word if best is None else best[0]
    return found
