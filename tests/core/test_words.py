"""Numbers and their nouns."""

import pytest

from lb_jax.core import words


@pytest.mark.parametrize(
    ("count", "what", "told"),
    [
        (0, "file", "0 files"),
        (1, "file", "1 file"),
        (2, "bad file", "2 bad files"),
        (3, "class", "3 classes"),
        (1, "query", "1 query"),
        (2, "query", "2 queries"),
    ],
)
def test_a_number_has_its_noun(count, what, told):
    assert words.counted(count, what) == told
