"""Answers: letter for letter, or in the form of training."""

import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import answers


def test_an_answer_is_right_letter_for_letter():
    assert answers.right(["dog", "Dog", "t shirt"], ["dog", "dog", "t-shirt"]).tolist() == [
        True,
        False,
        False,
    ]
    assert answers.right(["dog", "tshirt"], ["Dog", "t-shirt"], "clean").all()


def test_the_form_of_training_deletes_marks_and_puts_no_space():
    assert answers.clean("  It's a T-shirt,  yes! ") == "its a tshirt yes"


def test_references_that_no_answer_can_meet_are_counted():
    assert answers.unreachable(["dog", "t-shirt", "USA", "two  dogs"]) == 3


def test_the_commonest_answer_is_the_chance():
    assert answers.commonest(["dog", "dog", "cat", "Dog"]) == 0.5
    assert answers.commonest(["dog", "dog", "cat", "Dog"], "clean") == 0.75


def test_what_does_not_fit_is_refused():
    with pytest.raises(errors.DataError, match="1 for 2 questions"):
        answers.right(["a"], ["a", "b"])
    with pytest.raises(errors.ConfigError, match="'loose'; expected one of raw, clean"):
        answers.right(["a"], ["a"], "loose")
