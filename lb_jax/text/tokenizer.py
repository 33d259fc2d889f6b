"""CLIP byte-pair tokenisation with the text cleaning of training (LanguageBind spec 5.6)."""

import html
import string
from collections.abc import Sequence

import ftfy
import numpy as np

from lb_jax.core import errors
from lb_jax.text import clip_bpe
from lb_jax.text import spec as spec_lib

START = 49406
END = 49407
# No caption is near this.
MAX_CHARACTERS = 100_000
USUAL = spec_lib.TextSpec().clean
_NO_PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))


def tokenize(texts: str | Sequence[str], context: int = 77, cleaning: str = USUAL) -> np.ndarray:
    """Tokenises texts; a text that is too long is cut and keeps its end token.

    Special tokens written out in a text (`<|endoftext|>`) are ordinary characters.

    Args:
      texts: one text or several.
      context: tokens per text, start and end included.
      cleaning: what is done to the texts before, see `text.spec.TextSpec`.

    Returns:
      int32 [n, context]: 49406, the text, 49407, zeros.

    Raises:
      errors.DataError: an element is no string, empty after cleaning or absurdly long; names its
        position.
      errors.ConfigError: `context` is too small, or there is no such cleaning.
    """
    spec_lib.TextSpec(context, cleaning)
    out = np.zeros((1 if isinstance(texts, str) else len(texts), context), np.int32)
    for row, ids in zip(out, _encode(texts, cleaning), strict=True):
        kept = [START, *ids[: context - 2], END]
        row[: len(kept)] = kept
    return out


def count_truncated(texts: str | Sequence[str], context: int = 77, cleaning: str = USUAL) -> int:
    """Returns how many texts `tokenize` would cut. Raises as it does."""
    spec_lib.TextSpec(context, cleaning)
    found = lengths([texts] if isinstance(texts, str) else texts, cleaning)
    return sum(length > context - 2 for length in found)


def lengths(texts: Sequence[str], cleaning: str = USUAL) -> list[int]:
    """Returns how many tokens each text has, without start and end. Raises as `tokenize` does."""
    return [len(ids) for ids in _encode(texts, cleaning)]


def clean(text: str, cleaning: str = USUAL) -> str:
    """Repairs mis-decoded characters and HTML entities and strips the ends.

    Entities are decoded twice: titles are often escaped twice. "canonicalize" then puts a space for
    each `_` and takes ASCII's other punctuation out, as big_vision and OpenCLIP do.
    """
    if cleaning == "canonicalize":
        return " ".join(clean(text).translate(_NO_PUNCTUATION).split())
    if text.isascii() and text.isprintable() and "&" not in text:
        return text.strip(" ")  # nothing to repair, and nine captions of ten are such
    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def decode(media: str, spec: spec_lib.TextSpec) -> np.ndarray:
    """Tokenises one text, str -> int32 [context]; the text row of the modality table."""
    spec_lib.require_clip(spec)
    if not isinstance(media, str):
        raise _not_text(media, 0)
    return tokenize(media, spec.context, spec.clean)[0]


def transform(
    decoded: np.ndarray, spec: spec_lib.TextSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Returns the tokens, int32 [context]; text has nothing to augment."""
    del spec, rng
    return decoded


def _encode(texts: str | Sequence[str], cleaning: str) -> list[list[int]]:
    """Returns the tokens of each text without start and end."""
    small = cleaning != "whitespace"
    return [
        clip_bpe.encode(_checked(t, i, cleaning), small=small)
        for i, t in enumerate([texts] if isinstance(texts, str) else texts)
    ]


def _checked(text: object, position: int, cleaning: str) -> str:
    if not isinstance(text, str):
        raise _not_text(text, position)
    if len(text) > MAX_CHARACTERS:
        raise errors.DataError(
            f"text {position}",
            f"has {len(text)} characters, expected at most {MAX_CHARACTERS}; cut it",
        )
    cleaned = clean(text, cleaning)
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
