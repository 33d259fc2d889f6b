"""Answers in words against those of people (VALOR spec 5.3, 5.5).

An answer is right when it is the reference letter for letter. References are compared as they are
given; the answers of a model trained on texts in lower case without punctuation can only meet
references of that form, so `clean` can be applied to both, by name.
"""

import collections
import string
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lb_jax.core import errors

_DELETE = str.maketrans("", "", string.punctuation)


def clean(text: str) -> str:
    """Lower case, ASCII punctuation deleted, single spaces: the form of texts in training."""
    return " ".join(text.lower().translate(_DELETE).split())


def raw(text: str) -> str:
    """The text as it is."""
    return text


# how answers and references are written before they are compared
FORMS: Mapping[str, Callable[[str], str]] = {"raw": raw, "clean": clean}


def right(answers: Sequence[str], references: Sequence[str], form: str = "raw") -> np.ndarray:
    """Which answers are right, bool `[n]`.

    Args:
      answers: of the model.
      references: the right answer to each.
      form: one of `FORMS`, applied to both.

    Raises:
      ConfigError: for a form that there is not.
      DataError: not as many answers as references, or none.
    """
    if form not in FORMS:
        raise errors.ConfigError(
            f"form of answers is {form!r}; expected one of {', '.join(FORMS)}."
            f"{errors.nearest(form, FORMS)}"
        )
    if len(answers) != len(references) or not len(references):
        raise errors.DataError(
            "answers", f"{len(answers)} for {len(references)} questions; expected one for each"
        )
    write = FORMS[form]
    return np.array([write(a) == write(r) for a, r in zip(answers, references, strict=True)])


def unreachable(references: Sequence[str]) -> int:
    """How many references no answer in the form of training can meet letter for letter."""
    return sum(clean(one) != one for one in references)


def commonest(references: Sequence[str], form: str = "raw") -> float:
    """The accuracy of who always gives the commonest answer."""
    counts = collections.Counter(map(FORMS[form], references))
    return max(counts.values()) / len(references)
