"""Long texts as windows of whole sentences."""

import html

import ftfy
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.text import clip_bpe, sentences, tokenizer


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


@pytest.mark.parametrize("text", ["語", "a\n", "é ", "語。", "_😀"])
def test_work_grows_with_the_length_alone(text, monkeypatch):
    work = []
    for module, name in ((clip_bpe, "encode"), (ftfy, "fix_text")):
        monkeypatch.setattr(module, name, counting(getattr(module, name), work))
    done = []
    for count in (2_000, 16_000):
        work.clear()
        sentences.tokenize([text * count], 77)
        done.append(sum(work))
    assert done[1] <= 8.5 * done[0]
    assert done[1] <= 12 * 16_000 * len(text)


def counting(function, work):
    def counted(text, **how):
        work.append(len(text))
        return function(text, **how)

    return counted


def test_a_character_of_more_tokens_than_a_window_is_cut():
    found = sentences.tokenize(["語語"], 3)
    assert found.tokens.shape == (2, 3)
    assert found.weight.tolist() == [1, 1]
    assert sentences.split("語語", 3) == ["語", "語"]


def test_the_longest_piece_is_known():
    pieces = (piece.removesuffix("</w>") for piece in clip_bpe.vocabulary())
    assert max(map(len, pieces)) == clip_bpe.LONGEST


def test_lines_that_need_no_repair_are_cleaned_as_all_are():
    lines = ["plain", "schÃ¶n", "", "&eacute; &EACUTE;", "“q”", "a <b> &EACUTE;", "&EACUTE;", "x\r"]
    for start in range(len(lines)):
        text = "\n".join(lines[start:] + lines[:start])
        whole = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        assert tokenizer.clean(text) == whole


def test_an_error_names_the_text():
    with pytest.raises(errors.DataError, match="text 1"):
        sentences.tokenize(["a", "  "], 77)
