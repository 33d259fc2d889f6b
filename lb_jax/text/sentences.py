"""Texts longer than the text tower takes, as windows of whole sentences.

A text that fits is one window, cut nowhere. A longer one is split behind `.`, `!`, `?`, `;` or the
full stops of other scripts, and at line breaks; as many sentences as fit follow each other in a
window. A sentence that does not fit by itself is split between words, a word that does not fit
between its tokens' characters. A window weighs as many tokens as it has, so that the mean over the
windows of a text gives every token the same weight.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from lb_jax.text import tokenizer

SPECIAL = 2  # start and end
ENDS = re.compile(r"(?<=[.!?;…])\s+|(?<=[。！？；])|\n+")


@dataclasses.dataclass(frozen=True)
class Split:
    """Windows of some texts.

    Attributes:
      tokens: int32 [w, context].
      text: int64 [w], rising: number of the text of each window; every text has at least one.
      weight: float32 [w], tokens of the window without start and end.
    """

    tokens: np.ndarray
    text: np.ndarray
    weight: np.ndarray


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
    lengths = tokenizer.lengths(texts, cleaning)
    windows = [
        [text] if length <= context - SPECIAL else split(text, context, cleaning)
        for text, length in zip(texts, lengths, strict=True)
    ]
    flat = [window for some in windows for window in some]
    return Split(
        tokenizer.tokenize(flat, context, cleaning),
        np.repeat(np.arange(len(texts)), [len(some) for some in windows]),
        np.array(tokenizer.lengths(flat, cleaning), np.float32),
    )


def split(text: str, context: int, cleaning: str = tokenizer.USUAL) -> list[str]:
    """Windows of whole sentences of at most `context` tokens, start and end included."""
    room = context - SPECIAL
    # punctuation ends sentences, and is taken out of them afterwards
    pieces = _pieces(tokenizer.clean(text), room, cleaning)
    windows, used = [], room + 1
    for piece, length in zip(pieces, tokenizer.lengths(pieces, cleaning), strict=True):
        if used + length > room:
            windows.append(piece)
            used = length
        else:
            windows[-1] += f" {piece}"
            used += length
    return windows


def _pieces(text: str, room: int, cleaning: str) -> list[str]:
    """Sentences that fit; longer ones as words, longer words as halves that fit."""
    fitting, waiting = [], [one.strip() for one in ENDS.split(text)][::-1]
    while waiting:
        piece = waiting.pop()
        if not tokenizer.clean(piece, cleaning):
            continue
        if tokenizer.lengths([piece], cleaning)[0] <= room:
            fitting.append(piece)
        elif len(words := piece.split()) > 1:
            waiting += words[::-1]
        else:
            waiting += [piece[len(piece) // 2 :], piece[: len(piece) // 2]]
    return fitting
