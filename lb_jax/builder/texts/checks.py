"""What is wrong with an answer of a language model; empty where it can be used."""

import dataclasses
import re
from collections.abc import Callable, Sequence

from lb_jax.builder.filters import language
from lb_jax.builder.texts.cache import Answer
from lb_jax.core.words import counted

# What models begin with that think aloud before they answer.
THOUGHT = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL)
QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"), ("«", "»"))
APOSTROPHES = str.maketrans("’‘`", "'''")
CUT, WITHHELD = ("length", "max_tokens"), ("content_filter", "refusal")


@dataclasses.dataclass(frozen=True)
class Checks:
    """What an answer must be.

    Attributes:
      fewest_words, most_words: of it.
      most_characters: of it.
      refusals: phrases, in small letters, of answers that refuse or speak of themselves.
      spoken: languages it may be of; None for any.
    """

    fewest_words: int
    most_words: int
    most_characters: int
    refusals: tuple[str, ...]
    spoken: language.Language | None


def cleaned(text: str) -> str:
    """An answer without what models put around it: thoughts, space, quotation marks."""
    text = THOUGHT.sub("", text).strip()
    for left, right in QUOTES:
        inside = text[1:-1]
        is_quoted = len(text) > 1 and text.startswith(left) and text.endswith(right)
        if is_quoted and left not in inside and right not in inside:
            return inside.strip()
    return text


def problem(text: str, answer: Answer, checks: Checks) -> str:
    """What is wrong with an answer, in words that follow "it"; empty for nothing.

    Args:
      text: the answer, cleaned.
      answer: as it was given.
      checks: what it must be.
    """
    return next((told for one in CHECKS if (told := one(text, answer, checks))), "")


def _end(text: str, answer: Answer, checks: Checks) -> str:
    if answer.finish in WITHHELD:
        return "refuses"
    return "is cut off" if answer.finish in CUT else ""


def _refusal(text: str, answer: Answer, checks: Checks) -> str:
    plain = " ".join(text.translate(APOSTROPHES).lower().split())
    found = next((one for one in checks.refusals if _is_in(one, plain)), "")
    return f"refuses ({found!r})" if found else ""


def _is_in(phrase: str, text: str) -> bool:
    """Whether a text has a phrase, in whole words."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


def _length(text: str, answer: Answer, checks: Checks) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        return f"has {counted(len(lines), 'line')}, expected one"
    words = len(text.split())
    if not checks.fewest_words <= words <= checks.most_words:
        expected = f"{checks.fewest_words} to {checks.most_words}"
        return f"has {counted(words, 'word')}, expected {expected}"
    if len(text) > checks.most_characters:
        return f"has {len(text)} characters, expected at most {checks.most_characters}"
    return ""


def _language(text: str, answer: Answer, checks: Checks) -> str:
    if checks.spoken is None:
        return ""
    return language.judged(text, checks.spoken).reason


# In the order in which they are asked; the first that finds something counts.
CHECKS: Sequence[Callable[[str, Answer, Checks], str]] = (_end, _refusal, _length, _language)
