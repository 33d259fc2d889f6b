"""CLIP's byte-pair encoding of a cleaned text (Radford et al. 2021, section 2.4).

A text in small letters falls into words: runs of letters, single digits, runs of anything else, and
the endings `'s 't 're 've 'm 'll 'd`. The bytes of each word's UTF-8 are joined by the merges, and
the last piece of a word is a token of its own kind.
"""

import functools
import gzip
from importlib import resources

import tokenizers
from tokenizers import models, pre_tokenizers

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
# Where capitals stay, the endings are known in either case, as by Python's `regex` in OpenCLIP.
_ANY_CASE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
LONGEST = 32  # bytes of the longest piece of the vocabulary
_KEPT, _KEPT_CHARACTERS = 1 << 16, 32  # stretches whose tokens are kept, and their length


def encode(text: str, *, small: bool = True) -> list[int]:
    """Returns the tokens of a cleaned text, without start and end.

    Its letters are made small unless that is switched off.

    Special tokens written out in it are ordinary characters. The tokens of what stands between
    spaces are kept, as captions are the same words again and again. One text at a time: the
    library's own threads would print warnings in processes that are forked afterwards.
    """
    tokens: list[int] = []
    if not small:
        for stretch in text.split():
            tokens += encoder(small=False).encode(stretch, add_special_tokens=False).ids
        return tokens
    for stretch in text.lower().split():
        tokens += _kept(stretch) if len(stretch) <= _KEPT_CHARACTERS else _encode(stretch)
    return tokens


@functools.lru_cache(_KEPT)
def _kept(stretch: str) -> list[int]:
    return _encode(stretch)


def _encode(stretch: str) -> list[int]:
    return encoder(small=True).encode(stretch, add_special_tokens=False).ids


def merges() -> list[tuple[str, str]]:
    """Reads the 48,894 pairs that are joined, the best first, in OpenAI's letters for bytes."""
    packed = resources.files("lb_jax.text").joinpath("clip_merges.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    return [(first, second) for first, second in map(str.split, lines)]


def vocabulary() -> list[str]:
    """Returns the 49,406 pieces in the order of their tokens, without the special ones."""
    # Bytes in the order of OpenAI's table: printable ones first, the others moved beyond 255.
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [*map(chr, plain), *map(chr, range(256, 512 - len(plain)))]
    return [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges())]


@functools.cache
def encoder(*, small: bool) -> tokenizers.Tokenizer:
    """The encoding itself, of texts whose letters are small, or stay as they are.

    It makes none small, and knows no special tokens.
    """
    words = _WORDS if small else _ANY_CASE
    vocab = {piece: token for token, piece in enumerate(vocabulary())}
    made = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges(), end_of_word_suffix="</w>"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return made
