import json
import pickle

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import preprocess, specs
from lb_jax.text import wordpiece
from lb_jax.text.spec import TextSpec
from tests import goldens

GOLDEN = goldens.FOLDER / "valor" / "tokens.json"
WORDS = [
    *("a", "##s", "cat", "dog", "cafe", "the", "answer"),
    *("question", "is", "it", "?", "猫", "##ing", "bark"),
]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
TOKENS = wordpiece.WordPiece(PIECES)
SPEC = TextSpec(8, "bare", "wordpiece")


@pytest.mark.golden
def test_every_text_of_the_valor_reference_is_tokenised_alike():
    if not GOLDEN.exists():
        pytest.skip(f"no reference numbers at {GOLDEN}; set LB_JAX_GOLDENS")
    reference = json.loads(GOLDEN.read_text())
    tokens = wordpiece.WordPiece(reference["vocab"])
    spec = TextSpec(reference["max_txt_len"] + wordpiece.SPECIAL_TOKENS, "bare", "wordpiece")
    assert reference["cases"]
    for case in reference["cases"]:
        assert wordpiece.clean(case["text"]) == case["clean"]
        ids = tokens.tokenize(case["text"], spec, allow_empty=True)
        assert ids.tolist() == [case["ids"]], case["text"]


def test_a_vocabulary_of_texts_has_their_words_and_spells_others():
    vocabulary = wordpiece.vocabulary_of(["A red car.", "a blue car"])
    assert vocabulary[:5] == list(wordpiece.SPECIAL)
    assert vocabulary[-3:] == ["car", "blue", "red"]
    tokens = wordpiece.WordPiece(vocabulary)
    assert tokens.lengths(["a red car", "cars"]) == [3, 2]
    assert tokens.detokenize(tokens.tokenize(["Blue cars, 7"], SPEC)) == ["blue cars 7"]
    assert tokens.unknown not in tokens.tokenize(["zebra 42"], SPEC)
    assert wordpiece.vocabulary_of(["Café"])[-1] == "cafe"


def _pieces(text, spec=SPEC):
    return [PIECES[one] for one in TOKENS.tokenize(text, spec)[0]]


def test_a_text_is_cut_and_keeps_its_end():
    assert _pieces("cats bark") == ["[CLS]", "cat", "##s", "bark", "[SEP]", *["[PAD]"] * 3]
    assert _pieces("a cat " * 9)[-2:] == ["cat", "[SEP]"]
    assert TOKENS.lengths(["cats bark", "a cat " * 9]) == [3, 18]


def test_accents_go_and_ideographs_stand_alone():
    assert _pieces("Café a猫a")[1:6] == ["cafe", "a", "猫", "a", "[SEP]"]


def test_a_special_token_written_out_is_words():
    whole = TextSpec(8, "whitespace", "wordpiece")
    assert "[MASK]" not in _pieces("[MASK] cat", whole)
    assert _pieces("is it?", whole)[1:5] == ["is", "it", "?", "[SEP]"]


def test_tokens_become_words_again_up_to_the_first_end():
    ids = TOKENS.tokenize(["Cats, barking!", "it is a cat"], SPEC)
    assert TOKENS.detokenize(ids) == ["cats barking", "it is a cat"]
    end = TOKENS.end
    assert TOKENS.detokenize([[5, 7, end, 8, end], [8, 6], [end], []]) == ["a cat", "dogs", "", ""]
    with pytest.raises(errors.DataError, match="another vocabulary"):
        TOKENS.detokenize([[len(PIECES)]])


def test_prompts_are_tokens_of_the_vocabulary():
    assert set(wordpiece.PROMPTS) == {"text", "caption", "mlm_tva", "mlm_tv", "mlm_ta", "qa"}
    assert TOKENS.prompt("qa").tolist() == [PIECES.index(w) for w in ["answer", "the", "question"]]
    whole = TOKENS.prompt("caption")
    assert (whole[0], whole[-1]) == (TOKENS.begin, TOKENS.end)
    with pytest.raises(errors.ConfigError, match="Did you mean 'caption'"):
        TOKENS.prompt("captoin")


def test_the_prompt_of_a_question_stands_behind_its_begin():
    plain = TOKENS.question(["is it a cat?"], SPEC, prompted=False)
    asked = TOKENS.question(["is it a cat?"], SPEC, prompted=True)
    assert asked[0, 1:4].tolist() == TOKENS.prompt("qa").tolist()
    np.testing.assert_array_equal(np.delete(asked, [1, 2, 3], axis=1), plain)


def test_a_vocabulary_travels_in_a_folder_and_to_workers(tmp_path):
    TOKENS.write(tmp_path)
    for again in (
        wordpiece.WordPiece.read(tmp_path),
        wordpiece.WordPiece.read(tmp_path / wordpiece.FILE),
        pickle.loads(pickle.dumps(TOKENS)),
    ):
        assert again.vocabulary == TOKENS.vocabulary
        assert again.tokenize("dogs", SPEC).tolist() == TOKENS.tokenize("dogs", SPEC).tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read .* expected the vocabulary"),
        (b"[PAD]\n[UNK]\ncat\n", r"3 pieces and no \[CLS\], \[SEP\], \[MASK\]"),
        ("\n".join([*PIECES, "cat"]).encode(), "'cat' twice"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / wordpiece.FILE).write_bytes(content)
    with pytest.raises(errors.DataError, match=reason):
        wordpiece.WordPiece.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("?!", "text 1: is empty"), (3, "text 1: is of type int"), ("a" * 100_001, "100001 char")],
)
def test_a_text_that_says_nothing_is_refused_by_its_place(text, reason):
    with pytest.raises(errors.DataError, match=reason):
        TOKENS.tokenize(["a cat", text], SPEC)


def test_pieces_are_not_made_by_the_tokenizer_of_clip():
    for call in (
        lambda: preprocess.preprocess("text", "a cat", SPEC),
        lambda: preprocess.decode("text", "a cat", SPEC),
    ):
        with pytest.raises(errors.ConfigError, match="vocabulary comes with the weights"):
            call()


def test_the_spec_of_pieces_survives_json():
    assert specs.from_dict("text", specs.to_dict(SPEC)) == SPEC
    with pytest.raises(errors.ConfigError, match="clean is 'lower', expected one of bare"):
        TextSpec(tokens="wordpiece")
