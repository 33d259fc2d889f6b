"""Scores of captions: the reference numbers of `valor`, by hand, and what is refused."""

import json
import random

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import bleu, captions, cider, ngrams, rewards, rouge, words
from tests.goldens import FOLDER

NAMES = {"CIDEr": "cider", "ROUGE-L": "rouge_l"} | {f"BLEU-{n}": f"bleu_{n}" for n in range(1, 5)}
REFERENCES = {"a": ["a dog barks", "the dog barks twice"], "b": ["rain falls"]}


@pytest.mark.golden
def test_valor_text_metrics_of_corpus_and_items():
    corpora = json.loads((FOLDER / "valor" / "text_metrics.json").read_text())
    assert corpora
    for name, corpus in corpora.items():
        found = captions.score(corpus["references"], corpus["candidates"], words.pretokenised)
        whole = {theirs: found.corpus[ours] for ours, theirs in NAMES.items()}
        assert whole == pytest.approx(corpus["scores"]["corpus"], abs=1e-9), name
        for id_, expected in corpus["scores"]["per_item"].items():
            one = {theirs: found.per_item[id_][ours] for ours, theirs in NAMES.items()}
            assert one == pytest.approx(expected, abs=1e-9), (name, id_)


def test_captions_that_are_their_references_score_highest():
    found = captions.score(REFERENCES, {"a": "A dog barks.", "b": "Rain falls"})
    assert found.corpus["BLEU-1"] == pytest.approx(1)
    assert found.corpus["ROUGE-L"] == 1
    assert list(found.corpus) == list(captions.NAMES)
    low, high = found.interval["CIDEr"]
    assert low <= found.corpus["CIDEr"] <= high


def test_bleu_of_a_corpus_is_of_summed_counts_and_the_nearest_length():
    a = bleu.tally(["the", "the", "the"], [["the", "cat", "sat"], ["the", "the"]])
    assert a.tolist() == [2, 1, 0, 0, 3, 2, 1, 0, 3, 3]
    b = bleu.tally(["rain"], [["rain"]])
    assert bleu.score(a + b)[0] == pytest.approx(3 / 4)
    shorter = bleu.tally(["a", "b", "c"], [["a", "b"], ["a", "b", "c", "d"]])
    assert shorter[-1] == 2  # of two as near


def test_rouge_takes_precision_and_recall_from_different_references():
    candidate = ["a", "b", "c", "d"]
    found = rouge.score(candidate, [["a", "b", "c", "d", "e", "f", "g", "h"], ["a"]])
    assert found == 1.0  # precision 1 of the first, recall 1 of the second
    assert rouge.score([], [["a"]]) == 0
    assert rouge.common_words(["a", "x", "b", "y", "c"], ["a", "b", "c"]) == 3


def test_cider_of_one_item_is_zero_and_unlike_lengths_cost():
    found = captions.score({"a": ["a dog barks"]}, {"a": "a dog barks"})
    assert found.corpus["CIDEr"] == 0
    many = {str(i): [f"w{i} x{i} y{i} z{i}"] for i in range(5)}
    same = captions.score(many, {id_: texts[0] for id_, texts in many.items()})
    assert same.corpus["CIDEr"] == pytest.approx(10)
    longer = captions.score(many, {id_: f"{texts[0]} {texts[0]}" for id_, texts in many.items()})
    # 3 pairs against 7; a run counts as often as the reference has it
    one = longer.per_item["0"]["CIDEr"]
    assert one < 10 * np.exp(-(4**2) / 72)


@pytest.mark.parametrize(
    ("references", "candidates", "message"),
    [
        ({}, {}, "references: are none"),
        ({"a": []}, {"a": "x"}, r"references: 1 item \(a\) without any"),
        ({"a": ["x"], "b": ["y"]}, {"a": "x"}, r"candidates: 1 item \(b\) of 2 without a caption"),
        ({"a": ["x"]}, {"a": "x", "b": "y"}, r"candidates: 1 item \(b\) without references"),
    ],
)
def test_items_on_one_side_only_are_refused_in_one_line(references, candidates, message):
    with pytest.raises(errors.DataError, match=message) as caught:
        captions.score(references, candidates)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("a", "x"), (None, "y")], "entry 2 has no id"),
        ([("a", "x"), ("", "y")], "entry 2 has the id ''"),
        ([("a", "x"), ("a", "y")], "entry 2 has the id a again"),
        ([("a", 3)], r"entry 1 \(a\) has 3 for a caption"),
    ],
)
def test_captions_without_an_id_twice_or_no_text_are_refused(pairs, message):
    with pytest.raises(errors.DataError, match=message):
        captions.by_id(pairs, "captions.json", several=False)


def test_references_of_an_item_may_be_several_and_ids_may_be_numbers():
    assert captions.by_id([(1, "x"), (2, "y"), (1, "z")], "r", several=True) == {
        "1": ["x", "z"],
        "2": ["y"],
    }


# Rewards


def sequences(count: int, seed: int) -> list[list[int]]:
    draw = random.Random(seed).randrange
    return [[draw(4, 30) for _ in range(draw(3, 12))] for _ in range(count)]


def test_rewards_are_the_metrics_of_the_ids():
    references = [sequences(3, i) for i in range(6)]
    sampled = [[*references[i][0][:-1], 7] for i in range(6)]
    reward = rewards.Rewards(references, end=2)
    padded = [[*one, 2, 0, 0, 9] for one in sampled]  # what follows the end is ignored
    truth = {str(i): [" ".join(map(str, [*r, 2])) for r in one] for i, one in enumerate(references)}
    said = {str(i): " ".join(map(str, [*one, 2])) for i, one in enumerate(sampled)}
    with_ends = rewards.Rewards([[[*r, 2] for r in one] for one in references], end=2)
    found = captions.score(truth, said, words.pretokenised).per_item
    expected = [found[str(i)]["CIDEr"] + found[str(i)]["BLEU-4"] for i in range(6)]
    np.testing.assert_allclose(with_ends(range(6), padded), expected, rtol=1e-12)
    assert reward.words([5, 0, 6, 2, 7]) == (5, 6, 2)


def test_a_reward_is_lower_for_a_text_that_never_ends_or_is_of_another_item():
    references = [[[*one, 2] for one in sequences(2, i)] for i in range(4)]
    reward = rewards.Rewards(references, end=2)
    whole, cut, other = reward(
        [0, 0, 0], [references[0][0], references[0][0][:-1], references[1][0]]
    )
    assert whole > cut > other


def test_frequencies_count_an_item_once():
    counted = [[ngrams.counts(["a", "b"])] * 3, [ngrams.counts(["a"])]]
    frequencies = cider.Frequencies.of(counted)
    assert (frequencies.items, frequencies.holding[("a",)], frequencies.holding[("a", "b")]) == (
        2,
        2,
        1,
    )
    assert frequencies.weight(("never",)) == pytest.approx(np.log(2))
