"""Texts longer than the text tower takes, as windows of whole sentences.

A text that fits is one window, cut nowhere. A longer one is split behind `.`, `!`, `?`, `;` or the
full stops of other scripts, and at line breaks; as many sentences as fit follow each other in a
window. A sentence that does not fit by itself is split between words, a word that does not fit
between its tokens' characters. A window weighs as many tokens as it has, so that the mean over the
windows of a text gives every token the same weight.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np

from lb_jax.text import spec as spec_lib
from lb_jax.text import tokenizer

SPECIAL = 2  # start and end
ENDS = re.compile(r"(?<=[.!?;…])\s+|(?<=[。！？；])|\n+")
Piece = tuple[str, list[int]]  # of a text, and its tokens without start and end


@dataclasses.dataclass(frozen=True)
class Split:
    """Windows of some texts.

    Attributes:
      tokens: int32 [w, context].
      text: int64 [w], rising: number of the text of each window; every text has at least one.
      weight: float32 [w], tokens of the window without start and end.
      special: tokens that each window has besides: start and end, if it has these.
    """

    tokens: np.ndarray
    text: np.ndarray
    weight: np.ndarray
    special: int = SPECIAL


def tokenize(texts: Sequence[str], context: int, cleaning: str = tokenizer.USUAL) -> Split:
    """Splits texts into windows and tokenises them.

    Args:
      texts: any number, of any length up to `tokenizer.MAX_CHARACTERS`.
      context: tokens per window, start and end included.
      cleaning: see `text.spec.TextSpec`.

    Raises:
      errors.DataError: as `tokenizer.tokenize`, naming the text by its place.
      errors.ConfigError: `context` is too small.
    """
    spec_lib.TextSpec(context, cleaning)
    room = context - SPECIAL
    windows = [
        [tokens for _, tokens in _windows(tokenizer.checked(text, place, cleaning), room, cleaning)]
        for place, text in enumerate(texts)
    ]
    flat = [tokens for some in windows for tokens in some]
    return Split(
        tokenizer.rows(flat, context),
        np.repeat(np.arange(len(texts)), [len(some) for some in windows]),
        np.array([len(tokens) for tokens in flat], np.float32),
    )


def split(text: str, context: int, cleaning: str = tokenizer.USUAL) -> list[str]:
    """Windows of whole sentences of at most `context` tokens, start and end included."""
    cleaned = tokenizer.checked(text, 0, cleaning)
    return [window for window, _ in _windows(cleaned, context - SPECIAL, cleaning)]


def _windows(text: str, room: int, cleaning: str) -> list[Piece]:
    """A cleaned text as one window, or sentence by sentence; every word is encoded once."""
    if tokenizer.may_fit(text, room, cleaning):
        tokens = tokenizer.encode(text, cleaning)
        if len(tokens) <= room:
            return [(text, tokens)]
    windows: list[Piece] = []
    # punctuation ends sentences, and is taken out of them afterwards
    for sentence in ENDS.split(text):
        parts = [part for word in sentence.split() for part in _parts(word, room, cleaning)]
        whole = _joined(parts)
        for part in [whole] if len(whole[1]) <= room else parts:
            if windows and len(windows[-1][1]) + len(part[1]) <= room:
                windows[-1] = _joined([windows[-1], part])
            elif part[1]:
                windows.append(part)
    return windows


def _parts(word: str, room: int, cleaning: str) -> Iterator[Piece]:
    """A word, or halves of it that fit; of a character that does not, what does."""
    waiting = [word]
    while waiting:
        piece = waiting.pop()
        if len(piece) == 1 or tokenizer.may_fit(piece, room, cleaning):
            tokens = tokenizer.encode(piece, cleaning)
            if len(piece) == 1 or len(tokens) <= room:
                yield piece, tokens[:room]
                continue
        waiting += [piece[len(piece) // 2 :], piece[: len(piece) // 2]]


def _joined(parts: Sequence[Piece]) -> Piece:
    words = " ".join(word for word, _ in parts if word)
    return words, [token for _, tokens in parts for token in tokens]
