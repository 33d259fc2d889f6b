"""Texts to the words of a bag: what a word is, which id it has, what is cut, filled and refused."""

import pickle

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import preprocess, specs
from lb_jax.text import words
from lb_jax.text.spec import TextSpec

TEXTS = ["A dog barks.", "the dog runs, the cat sleeps", "a cat!"]
KNOWN = words.Words.build(TEXTS)
SPEC = TextSpec(4, "content", "words")


def test_a_vocabulary_counts_words_and_begins_with_the_special_ones():
    assert KNOWN.vocabulary == ("<pad>", "<unk>", "cat", "dog", "barks", "runs", "sleeps")
    assert words.Words.build(TEXTS, most=4).vocabulary == ("<pad>", "<unk>", "cat", "dog")
    assert "the" in words.Words.build(TEXTS, cleaning="bare").vocabulary
    with pytest.raises(errors.ConfigError, match="2 words; give at least 3"):
        words.Words.build(TEXTS, most=2)


@pytest.mark.parametrize(
    ("text", "ids", "cut"),
    [
        ("The DOG, barks?", [3, 4, 0, 0], False),
        ("a cat & an elephant", [2, 1, 0, 0], False),
        ("dog cat dog cat runs", [3, 2, 3, 2], True),
    ],
)
def test_words_are_cut_or_filled_up_and_unknown_ones_stay_in_the_bag(text, ids, cut):
    found, was_cut = KNOWN.encode(text, SPEC)
    assert found.dtype == np.int32
    assert (found.tolist(), was_cut) == (ids, cut)
    assert KNOWN.tokenize([text], SPEC).tolist() == [ids]


def test_a_text_of_stop_words_alone_keeps_them():
    assert words.words("it is what it was") == ["it", "is", "what", "it", "was"]
    assert words.words("it's a dog's life") == ["dogs", "life"]
    assert words.words("it is a dog", "bare") == ["it", "is", "a", "dog"]


def test_no_text_can_name_a_special_word():
    assert words.words("<pad> <unk>") == ["pad", "unk"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("?!", "text 1: has no word that the model knows"),
        ("an elephant", r"text 1: has no word that the model knows \(found 'an elephant'"),
        (3, "text 1: is of type int"),
        ("a" * 100_001, "100001 char"),
    ],
)
def test_a_text_that_says_nothing_is_refused_by_its_place(text, reason):
    with pytest.raises(errors.DataError, match=reason):
        KNOWN.tokenize(["a cat", text], SPEC)


def test_a_text_without_known_words_may_be_padding_alone():
    assert KNOWN.encode("an elephant", SPEC, allow_empty=True)[0].tolist() == [0, 0, 0, 0]


def test_a_vocabulary_travels_in_a_folder_and_to_workers(tmp_path):
    KNOWN.write(tmp_path)
    for again in (
        words.Words.read(tmp_path),
        words.Words.read(tmp_path / words.FILE),
        pickle.loads(pickle.dumps(KNOWN)),
    ):
        assert again.vocabulary == KNOWN.vocabulary
        assert (
            again.encode("dogs and a cat")[0].tolist() == KNOWN.encode("dogs and a cat")[0].tolist()
        )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read .* expected the vocabulary"),
        (b"cat\ndog\n", "2 words and no <pad>, <unk>"),
        (b"<pad>\n<unk>\ncat\ncat\n", "'cat' twice"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / words.FILE).write_bytes(content)
    with pytest.raises(errors.DataError, match=reason):
        words.Words.read(tmp_path)


def test_words_are_not_made_by_the_tokenizer_of_clip():
    for call in (
        lambda: preprocess.preprocess("text", "a cat", SPEC),
        lambda: preprocess.decode("text", "a cat", SPEC),
    ):
        with pytest.raises(errors.ConfigError, match=r"read its vocabulary by .*Words\.read"):
            call()


def test_the_spec_of_words_survives_json_and_is_that_of_the_preset():
    assert specs.from_dict("text", specs.to_dict(SPEC)) == SPEC
    assert specs.preset("text", "mmv") == words.USUAL
    with pytest.raises(errors.ConfigError, match="at least 1: one word"):
        TextSpec(0, "content", "words")
