"""Sentences to words: what the Java tokeniser of published figures gives for the same lines."""

import pytest

from lb_jax.evaluation.metrics import words

# Lines and what PTBTokenizer (CoreNLP 3.4.1, -lowerCase) makes of them, marks removed.
LINES = {
    "A man's dog isn't barking, and it's cold.": "a man 's dog is n't barking and it 's cold",
    "I'm sure they'll cannot go; we've gonna wanna play!": (
        "i 'm sure they 'll can not go we 've gon na wan na play"
    ),
    "A black-and-white cat (with a red/blue collar) sits -- alone.": (
        "a black-and-white cat -lrb- with a red/blue collar -rrb- sits alone"
    ),
    "\"Hello\" he said... 'yes' it is": "hello he said yes it is",
    "the dogs' bowl and rock 'n' roll": "the dogs bowl and rock 'n' roll",
    "At 10:30 Mr. Smith pays $5.50 for 50% of 3,000.": (
        "at 10:30 mr. smith pays $ 5.50 for 50 % of 3,000"
    ),
    "wow!!! what?? no way?!": "wow !!! what ?? no way ?!",
    "a man,a woman.and a dog": "a man a woman.and a dog",
    "U.S. flag, e.g. a t-shirt & 2 cats #1": "u.s. flag e.g. a t-shirt & 2 cats # 1",
    "café – em—dash “quoted” ‘single’ it’s": "café em dash quoted single it 's",
    "o'clock ma'am y'all we'd've": "o'clock ma'am y' all we 'd 've",
    "can't won't ain't lemme": "ca n't wo n't ai n't lem me",
    "a bus at 5:00pm": "a bus at 5:00 pm",
    "": "",
}


@pytest.mark.parametrize("line", LINES)
def test_words_are_those_of_published_figures(line):
    assert words.tokenise(line) == LINES[line].split()


def test_a_text_that_was_tokenised_is_left_alone():
    assert words.pretokenised("it 's  -lrb- OK") == ["it", "'s", "-lrb-", "OK"]
