"""Long texts as windows of whole sentences."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.text import sentences, tokenizer


def test_a_text_that_fits_is_as_tokenised():
    texts = ["a cat", "word " * 75, "two. sentences! here?"]
    found = sentences.tokenize(texts, 77)
    np.testing.assert_array_equal(found.tokens, tokenizer.tokenize(texts))
    assert found.text.tolist() == [0, 1, 2]
    assert found.weight[1] == 75


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("one two. three four. five six.", ["one two. three four.", "five six."]),
        ("one two\nthree four\nfive six seven", ["one two three four", "five six seven"]),
        ("one two three four five six seven", ["one two three four five six", "seven"]),
        ("abcdefghijklmnopqrstuvwxyz", None),
        ("一二三。四五六。七八九。", None),
        ("wow!!! " * 9, None),
    ],
)
def test_windows_hold_whole_sentences_and_fit(text, windows):
    found = sentences.split(text, 8)
    assert windows is None or found == windows
    assert all(length <= 6 for length in tokenizer.lengths(found))
    assert "".join("".join(found).split()) == "".join(text.split())  # nothing is lost


def test_every_token_counts():
    text = "the cat sat on the mat! " * 30
    found = sentences.tokenize(["short", text], 20)
    assert set(found.text[1:]) == {1}
    assert found.weight[1:].sum() == tokenizer.lengths([text])[0]


def test_an_error_names_the_text():
    with pytest.raises(errors.DataError, match="text 1"):
        sentences.tokenize(["a", "  "], 77)
