"""CLIP's rule written out in plain Python, and what the library makes of the same texts."""

import itertools
import re
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

from lb_jax.text import clip_bpe, tokenizer

SCRIPTS = [
    *[(0x20, 0x7F)] * 6,
    *[(0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00)],
    *[(0xE00, 0x1200), (0x2000, 0x2200), (0x3040, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3)],
    *[(0xFB00, 0xFB50), (0xFF00, 0xFFEF), (0x1D400, 0x1D800), (0x1F300, 0x1FAFF)],
]
WORDS = re.split(
    " ",
    "it's don't we'll I've 'S '' 'll n't U.S.A. e-mail x_y é naïve İstanbul ΟΔΟΣ straße ﬁne ¼ ² Ⅳ "
    "١٢ 1234 😀👍🏽 👩‍👩‍👧 â€™ Ã© &amp; &amp;amp; &nbsp; <|endoftext|> <|startoftext|> !'s "
    "a photo of the red car \t \n \r\n \u3000 \u2028 \x85 \x1b[0m \x00 \u200b \ufeff",
)


def random_texts(seed, count):
    rng = np.random.default_rng(seed)
    while count:
        words = []
        for _ in range(rng.integers(1, 12)):
            low, high = SCRIPTS[rng.integers(len(SCRIPTS))]
            letters = map(chr, rng.integers(low, high, rng.integers(1, 9)))
            words.append(rng.choice(WORDS) if rng.random() < 0.4 else "".join(letters))
            words.append(rng.choice(["", " ", "  ", "\t", "'"]))
        text = tokenizer.clean("".join(words))
        # Of characters that are younger than this Python only the library knows what they are.
        if text and all(unicodedata.category(one) != "Cn" for one in text):
            count -= 1
            yield text


def split(text):
    """Words of a text, by the kind of each character."""
    words, kinds = [], []
    while text:
        ending = re.match("'(?:s|t|re|ve|m|ll|d)", text)
        kind = "space" if text[0].isspace() else unicodedata.category(text[0])[0]
        if ending:
            word, kind = ending[0], "ending"
        else:
            word, kind = text[0], kind if kind in ("space", "L", "N") else "other"
        if kinds[-1:] == [kind] and kind in ("L", "other"):
            words[-1] += word
        elif ending and kinds[-1:] == ["other"]:  # the apostrophe belongs to the run before it
            words[-1] += "'"
            word = "'"
        else:
            words.append(word)
            kinds.append(kind)
        text = text[len(word) :]
    return [word for word, kind in zip(words, kinds, strict=True) if kind != "space"]


@pytest.fixture(scope="module")
def plainly():
    ranks = {pair: rank for rank, pair in enumerate(clip_bpe.merges())}
    tokens = {piece: token for token, piece in enumerate(clip_bpe.vocabulary())}
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [one for one in range(256) if one not in shown]
    letters = {byte: chr(byte) for byte in shown} | {b: chr(256 + i) for i, b in enumerate(moved)}

    def encode(text):
        found = []
        for word in split(text.lower()):
            pieces = [letters[byte] for byte in word.encode()]
            pieces[-1] += "</w>"
            while len(pieces) > 1:
                pairs = list(itertools.pairwise(pieces))
                best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
                if best not in ranks:
                    break
                place = pairs.index(best)
                pieces[place : place + 2] = ["".join(best)]
            found += [tokens[piece] for piece in pieces]
        return found

    return encode


def test_it_is_the_plain_rule_on_texts_of_many_scripts(plainly):
    for text in random_texts(0, 2000):
        assert clip_bpe.encode(text) == plainly(text), text


def test_vocabulary_is_that_of_the_paper():
    pieces = clip_bpe.vocabulary()
    assert len(set(pieces)) == len(pieces) == tokenizer.START
    assert [pieces[token] for token in (320, 1125, 539, 2368)] == [
        "a</w>",
        "photo</w>",
        "of</w>",
        "cat</w>",
    ]


def test_stretches_between_spaces_stand_alone(plainly):
    texts = ("It's a U.S. e-mail: 'tis 12'000 don'ts!'s", "x''ll ' s", "a" * 70 + " 's" * 70)
    for text in (*texts, " ".join(texts)):
        assert clip_bpe.encode(text) == plainly(text)


def test_a_process_forked_afterwards_prints_nothing():
    script = (
        "import os; from lb_jax.text import tokenizer; texts = ['a cat', 'é'] * 200\n"
        "tokenizer.tokenize(texts); child = os.fork(); tokenizer.tokenize(texts)\n"
        "child and os.waitpid(child, 0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
