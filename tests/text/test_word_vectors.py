"""Word vectors of word2vec, in both of its forms."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.text import word_vectors
from lb_jax.text.words import Words

VECTORS = {
    "</s>": (0.0, 0.0),
    "the": (1.0, 0.5),
    "Cat": (0.25, -1.0),
    "cat": (9.0, 9.0),
    "New_York": (5.0, 5.0),
    "sat": (-2.0, 3.0),
}


def write(folder, form):
    path = folder / f"vectors.{form}"
    if form == "bin":
        content = f"{len(VECTORS)} 2\n".encode()
        for word, vector in VECTORS.items():
            content += word.encode() + b" " + np.array(vector, "<f4").tobytes()
        path.write_bytes(content)
    else:
        head = [f"{len(VECTORS)} 2"] if form == "vec" else []  # GloVe's have none
        rows = [" ".join([word, *map(str, vector)]) for word, vector in VECTORS.items()]
        path.write_text("\n".join([*head, *rows, ""]))
    return path


@pytest.mark.parametrize("form", ["bin", "vec", "txt"])
def test_words_are_read_in_both_forms_the_first_spelling_counts(tmp_path, form):
    path = write(tmp_path, form)
    found = {word: tuple(map(float, vector)) for word, vector in word_vectors.entries(path)}
    assert found == {"the": (1.0, 0.5), "cat": (0.25, -1.0), "sat": (-2.0, 3.0)}
    assert word_vectors.known(path, 4).vocabulary == ("<pad>", "<unk>", "the", "cat")
    drawn = np.full((4, 2), 7, np.float32)
    table, count = word_vectors.table(path, Words(["<pad>", "<unk>", "sat", "dog"]), drawn)
    assert count == 1
    np.testing.assert_array_equal(table, [[7, 7], [7, 7], [-2, 3], [7, 7]])


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("form", "spoil", "told"),
    [
        ("bin", cut, "ends in entry 5 of 6; fetch it again"),
        ("bin", lambda path: path.write_bytes(b"PK\x03\x04" * 9), "begins with no two numbers"),
        ("vec", lambda path: path.write_text("6 2\nthe x y\n"), r"line 2.*is no word with numbers"),
        ("vec", lambda path: path.write_text("dog 1 2\n"), "has none of the 4 words"),
        ("txt", lambda path: path.write_text("the 1 2 3\n"), "vectors of 3 numbers, and .* 2"),
        ("txt", lambda path: path.unlink(), r"cannot be read \(No such file"),
    ],
)
def test_damaged_and_other_files_are_one_line(tmp_path, form, spoil, told):
    path = write(tmp_path, form)
    spoil(path)
    known = Words(["<pad>", "<unk>", "the", "sat"])
    with pytest.raises(errors.DataError, match=told):
        word_vectors.table(path, known, np.zeros((4, 2), np.float32))
