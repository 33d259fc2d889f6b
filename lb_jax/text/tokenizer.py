"""CLIP byte-pair tokenisation with the text cleaning of training (LanguageBind spec 5.6)."""

import html
import re
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
    return rows(_encode(texts, cleaning), context)


def rows(tokens: Sequence[Sequence[int]], context: int) -> np.ndarray:
    """Puts start and end around the tokens of each text, cut to fit, int32 [n, context]."""
    out = np.zeros((len(tokens), context), np.int32)
    for row, ids in zip(out, tokens, strict=True):
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
    if _is_plain(text):
        repaired = text.strip(" ")
    else:
        repaired = html.unescape(html.unescape(_fixed(text))).strip()
    return _finished(repaired, cleaning)


def checked(text: object, position: int = 0, cleaning: str = USUAL) -> str:
    """Cleans a text in the usual way, for `encode`.

    Raises:
      errors.DataError: as `tokenize`; also where nothing would be left by `cleaning`.
    """
    if not isinstance(text, str):
        raise _not_text(text, position)
    if len(text) > MAX_CHARACTERS:
        raise errors.DataError(
            f"text {position}",
            f"has {len(text)} characters, expected at most {MAX_CHARACTERS}; cut it",
        )
    cleaned = clean(text)
    if not _finished(cleaned, cleaning):
        raise errors.DataError(
            f"text {position}",
            f"is empty after cleaning (found {text[:40]!r}); give it words or drop it",
        )
    return cleaned


def encode(cleaned: str, cleaning: str = USUAL) -> list[int]:
    """Tokens of a text out of `checked`, or of whole words of it, without start and end."""
    return clip_bpe.encode(_finished(cleaned, cleaning), small=cleaning != "whitespace")


def may_fit(cleaned: str, room: int, cleaning: str = USUAL) -> bool:
    """Whether a text out of `checked` may have as few tokens as `room`, by its length alone."""
    finished = _finished(cleaned, cleaning)
    return len(finished) - sum(map(finished.count, " \n\t\r")) <= room * clip_bpe.LONGEST


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
    return [
        encode(checked(text, position, cleaning), cleaning)
        for position, text in enumerate([texts] if isinstance(texts, str) else texts)
    ]


def _finished(cleaned: str, cleaning: str) -> str:
    """What a cleaning does beside the usual to a text that is cleaned in the usual way."""
    if cleaning == "canonicalize":
        return " ".join(cleaned.translate(_NO_PUNCTUATION).split())
    return cleaned


def _is_plain(text: str) -> bool:
    """Whether there is nothing to repair; nine captions of ten are such."""
    return text.isascii() and text.isprintable() and "&" not in text


def _fixed(text: str) -> str:
    """What `ftfy.fix_text` makes of a text, without asking it about lines that are plain.

    It goes line by line, at a tenth of a millisecond each, and leaves entities alone from the first
    line on that has a `<`.
    """
    lines, is_markup = [], False
    for line in re.findall("[^\n]*\n|[^\n]+", text):
        is_markup = is_markup or "<" in line
        if not _is_plain(line[:-1] if line.endswith("\n") else line):
            line = ftfy.fix_text(line, unescape_html=False if is_markup else "auto")
        lines.append(line)
    return "".join(lines)


def _not_text(found: object, position: int) -> errors.DataError:
    return errors.DataError(
        f"text {position}", f"is of type {type(found).__name__}, expected str; convert it first"
    )
