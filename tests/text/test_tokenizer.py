import json

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.text import sentences, tokenizer
from lb_jax.text import spec as text_spec
from tests import goldens

GOLDEN = goldens.FOLDER / "tokenizer.json"


@pytest.mark.golden
def test_every_reference_text_is_tokenised_alike():
    if not GOLDEN.exists():
        pytest.skip(f"no reference numbers at {GOLDEN}; set LB_JAX_GOLDENS")
    reference = json.loads(GOLDEN.read_text())
    compared = 0
    for case in reference["cases"]:
        special = any(token in case["text"] for token in ("<|startoftext|>", "<|endoftext|>"))
        if not special and tokenizer.clean(case["text"]):
            ids = tokenizer.tokenize(case["text"], reference["context_length"])
            assert ids.tolist() == [case["ids"]], case["text"]
            compared += 1
    assert compared > 0


def test_one_text_is_a_batch_of_one():
    ids = tokenizer.tokenize("a photo of a cat")
    assert ids.dtype == np.int32
    assert ids.shape == (1, 77)
    assert ids[0, :8].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407, 0]


def test_a_long_text_keeps_its_end():
    ids = tokenizer.tokenize(["word " * 100, "a cat"], context=10)
    assert ids[0].tolist() == [49406, *[2653] * 8, 49407]
    assert tokenizer.count_truncated(["word " * 100, "a cat"], context=10) == 1


@pytest.mark.parametrize(("words", "truncated"), [(75, 0), (76, 1)])
def test_a_text_that_just_fits_is_not_counted(words, truncated):
    assert tokenizer.count_truncated("word " * words) == truncated


@pytest.mark.parametrize("text", ["a <|endoftext|> b", "<|startoftext|>"])
def test_special_tokens_in_a_text_are_ordinary(text):
    ids = tokenizer.tokenize(text)[0]
    assert (ids == tokenizer.START).sum() == 1
    assert (ids == tokenizer.END).sum() == 1


@pytest.mark.parametrize(
    ("raw", "same"),
    [("Tom &amp;amp; Jerry", "tom & jerry"), ("xâ€™y", "x'y"), ("  A\n\tb ", "a b")],
)
def test_texts_are_cleaned(raw, same):
    np.testing.assert_array_equal(tokenizer.tokenize(raw), tokenizer.tokenize(same))


@pytest.mark.parametrize("bad", ["", "  \n", "&nbsp;", None, 3, b"a cat", "a" * 200_000])
def test_a_bad_text_is_refused_with_its_position(bad):
    with pytest.raises(errors.DataError, match=r"^text 1: ") as caught:
        tokenizer.tokenize(["a cat", bad])
    assert len(str(caught.value)) < 200


def test_lone_surrogates_are_text():
    assert tokenizer.tokenize("a \ud800 b")[0, 0] == tokenizer.START


def test_too_small_a_context_is_refused():
    with pytest.raises(errors.ConfigError, match="context"):
        tokenizer.tokenize("a", context=2)


def test_the_table_row_gives_one_text():
    spec = text_spec.TextSpec(12)
    np.testing.assert_array_equal(
        tokenizer.transform(tokenizer.decode("a cat", spec), spec),
        tokenizer.tokenize("a cat", 12)[0],
    )


# Tokens of OpenCLIP 3.3, SimpleTokenizer(clean=...), which agrees on 20,000 drawn texts besides.
@pytest.mark.parametrize(
    ("text", "canonicalize", "whitespace"),
    [
        ("A dog, running!", [320, 1929, 2761], [288, 1929, 267, 2761, 256]),
        (
            'DON\'T  STOP_me -- "now" (2',
            [4632, 1691, 614, 692, 273],
            [35, 46, 301, 6, 307, 50, 51, 46, 303, 318, 614, 2432, 257, 692, 257, 263, 273],
        ),
        ("I'LL it's", [660, 902], [296, 6, 43, 299, 585, 568]),
        ("&lt;b&gt;Tom &amp;amp; J", [65, 2435, 329], [283, 321, 285, 51, 3932, 261, 297]),
        ("a_b__c", [320, 321, 322], [320, 318, 321, 3838, 322]),
    ],
)
def test_texts_are_cleaned_as_by_open_clip(text, canonicalize, whitespace):
    for cleaning, ids in (("canonicalize", canonicalize), ("whitespace", whitespace)):
        tokens = tokenizer.tokenize(text, 77, cleaning)[0]
        assert tokens[: len(ids) + 2].tolist() == [49406, *ids, 49407]
        spec = text_spec.TextSpec(clean=cleaning)
        assert tokenizer.decode(text, spec).tolist() == tokens.tolist()
        assert tokenizer.lengths([text], cleaning) == [len(ids)]


def test_text_of_nothing_but_punctuation_is_empty_once_it_is_canonical():
    assert tokenizer.lengths(["?!"]) == [1]
    with pytest.raises(errors.DataError, match=r"text 1.*is empty after cleaning"):
        tokenizer.tokenize(["a", "?!"], 77, "canonicalize")


def test_long_texts_are_split_at_their_punctuation_before_it_is_taken_out():
    found = sentences.tokenize(["A dog. " * 6 + "..."], 9, "canonicalize")
    assert found.tokens.tolist() == [[49406, *[320, 1929] * 3, 49407, 0]] * 2
    with pytest.raises(errors.ConfigError, match="clean is 'upper', expected one of lower, can"):
        tokenizer.tokenize("a", 77, "upper")
