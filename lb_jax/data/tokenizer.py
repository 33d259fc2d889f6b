"""CLIP byte-pair tokenisation with the text cleaning of training (LanguageBind spec 5.6)."""

import html
from collections.abc import Sequence

import ftfy
import numpy as np

from lb_jax.core import errors
from lb_jax.data import clip_bpe, specs

START = 49406
END = 49407
# No caption is near this.
MAX_CHARACTERS = 100_000


def tokenize(texts: str | Sequence[str], context: int = 77) -> np.ndarray:
    """Tokenises texts; a text that is too long is cut and keeps its end token.

    Special tokens written out in a text (`<|endoftext|>`) are ordinary characters.

    Args:
      texts: one text or several.
      context: tokens per text, start and end included.

    Returns:
      int32 [n, context]: 49406, the text, 49407, zeros.

    Raises:
      errors.DataError: an element is no string, empty after cleaning or absurdly long; names its
        position.
      errors.ConfigError: `context` is too small.
    """
    specs.TextSpec(context)
    out = np.zeros((1 if isinstance(texts, str) else len(texts), context), np.int32)
    for row, ids in zip(out, _encode(texts), strict=True):
        kept = [START, *ids[: context - 2], END]
        row[: len(kept)] = kept
    return out


def count_truncated(texts: str | Sequence[str], context: int = 77) -> int:
    """Returns how many texts `tokenize` would cut. Raises as it does."""
    specs.TextSpec(context)
    found = lengths([texts] if isinstance(texts, str) else texts)
    return sum(length > context - 2 for length in found)


def lengths(texts: Sequence[str]) -> list[int]:
    """Returns how many tokens each text has, without start and end. Raises as `tokenize` does."""
    return [len(ids) for ids in _encode(texts)]


def clean(text: str) -> str:
    """Repairs mis-decoded characters and HTML entities and strips the ends.

    Entities are decoded twice: titles are often escaped twice.
    """
    if text.isascii() and text.isprintable() and "&" not in text:
        return text.strip(" ")  # nothing to repair, and nine captions of ten are such
    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def decode(media: str, spec: specs.TextSpec) -> np.ndarray:
    """Tokenises one text, str -> int32 [context]; the text row of the modality table."""
    if not isinstance(media, str):
        raise _not_text(media, 0)
    return tokenize(media, spec.context)[0]


def transform(
    decoded: np.ndarray, spec: specs.TextSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Returns the tokens, int32 [context]; text has nothing to augment."""
    del spec, rng
    return decoded


def _encode(texts: str | Sequence[str]) -> list[list[int]]:
    """Returns the tokens of each text without start and end."""
    return [
        clip_bpe.encode(_checked(t, i))
        for i, t in enumerate([texts] if isinstance(texts, str) else texts)
    ]


def _checked(text: object, position: int) -> str:
    if not isinstance(text, str):
        raise _not_text(text, position)
    if len(text) > MAX_CHARACTERS:
        raise errors.DataError(
            f"text {position}",
            f"has {len(text)} characters, expected at most {MAX_CHARACTERS}; cut it",
        )
    cleaned = clean(text)
    if not cleaned:
        raise errors.DataError(
            f"text {position}",
            f"is empty after cleaning (found {text[:40]!r}); give it words or drop it",
        )
    return cleaned


def _not_text(found: object, position: int) -> errors.DataError:
    return errors.DataError(
        f"text {position}", f"is of type {type(found).__name__}, expected str; convert it first"
    )
