"""Texts that are longer than a text tower takes: cut by `tokenize`, whole by `split`."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.text import readers, sentences, tokenizer, words
from lb_jax.text.spec import TextSpec

KNOWN = words.Words([*words.SPECIAL, "cat", "dog", "runs", "sleeps"])
BAGS = readers.Bags(KNOWN, TextSpec(3, "bare", "words"))


def test_words_go_on_in_windows_that_weigh_their_words():
    found = BAGS.split(["cat dog", "dog runs cat sleeps", "cat x y z z z dog"])
    assert found.tokens.tolist() == [[2, 3, 0], [3, 4, 2], [5, 0, 0], [2, 1, 1], [3, 0, 0]]
    assert found.text.tolist() == [0, 1, 1, 2, 2]
    assert found.weight.tolist() == [2, 3, 1, 3, 1]
    assert found.special == 0
    np.testing.assert_array_equal(BAGS.tokenize(["dog runs cat sleeps"]), found.tokens[1:2])


def test_a_text_without_known_words_is_refused_by_its_place():
    with pytest.raises(errors.DataError, match="text 1: has no word that the model knows"):
        BAGS.split(["cat", "y z"])


def test_pieces_are_those_of_the_tokenizer_and_of_sentences():
    pieces, texts = readers.Pieces(TextSpec(5)), ["a cat. a dog runs", "a dog"]
    np.testing.assert_array_equal(pieces.tokenize(texts), tokenizer.tokenize(texts, 5))
    found, expected = pieces.split(texts), sentences.tokenize(texts, 5)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    assert found.special == sentences.SPECIAL


@pytest.mark.parametrize(
    ("reader", "longest"), [(BAGS, "cat dog runs"), (readers.Pieces(TextSpec(5)), "a dog runs")]
)
def test_a_text_is_cut_from_one_word_more_on(reader, longest):
    assert not reader.is_cut(longest)
    assert reader.is_cut(f"{longest} cat")
    with pytest.raises(errors.DataError):
        reader.is_cut("")
