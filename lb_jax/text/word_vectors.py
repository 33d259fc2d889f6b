"""Word vectors of word2vec, as files: binary (`.bin`, as of Google News) or text (also GloVe's).

    3000000 300\\n</s> <300 float32>in <300 float32>...        binary
    3000000 300\\nin 0.07 0.02 ...\\nfor -0.01 ...              text, with or without the first line

The most frequent words come first. Entries that are no word as `words.words` gives them, phrases
and punctuation, are left out; of spellings with other letters the first counts.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lb_jax.core import errors
from lb_jax.text import words

EXPECTED = "vectors of word2vec, binary (.bin) or a word and its numbers a line"
_LONGEST = 1000  # bytes of an entry's name


def entries(path: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Word, and its vector, float32 [d], in the order of the file.

    Raises:
      errors.DataError: no such file, or damaged.
    """
    path, seen = Path(path), set()
    try:
        with path.open("rb") as file:
            for name, vector in (_binary if path.suffix == ".bin" else _lines)(path, file):
                word = name.lower()
                if word not in seen and words.words(name, "bare") == [word]:
                    seen.add(word)
                    yield word, vector
    except OSError as e:
        raise errors.DataError(path, f"cannot be read ({e.strerror}); expected {EXPECTED}") from e


def known(path: str | Path, most: int) -> words.Words:
    """The vocabulary of a file: its first words, `words.SPECIAL` before them."""
    found = []
    for word, _ in entries(path):
        if len(found) == most - len(words.SPECIAL):
            break
        found.append(word)
    return words.Words([*words.SPECIAL, *found], path)


def table(path: str | Path, vocabulary: words.Words, drawn: np.ndarray) -> tuple[np.ndarray, int]:
    """A table [v, d] with the vectors of a file, rows it has not as they were; how many it has.

    Args:
      path: the file.
      vocabulary: the word of each row.
      drawn: the table before.

    Raises:
      errors.DataError: damaged, of another length of vectors, or of none of the words.
    """
    rows = {word: row for row, word in enumerate(vocabulary.vocabulary)}
    found, count = drawn.copy(), 0
    for word, vector in entries(path):
        if word in rows:
            if len(vector) != drawn.shape[1]:
                raise errors.DataError(
                    path,
                    f"has vectors of {len(vector)} numbers, and the model's table {drawn.shape[1]};"
                    " give others, or another config.arch",
                )
            found[rows[word]] = vector
            count += 1
            if count == len(rows) - len(words.SPECIAL):
                break
    if not count:
        raise errors.DataError(path, f"has none of the {len(rows)} words; expected {EXPECTED}")
    return found, count


def _binary(path: Path, file) -> Iterator[tuple[str, np.ndarray]]:
    head = file.readline(_LONGEST).split()
    if len(head) != 2 or not all(one.isdigit() for one in head):
        raise errors.DataError(path, f"begins with no two numbers; expected {EXPECTED}")
    count, width = map(int, head)
    for number in range(count):
        name = bytearray()
        while (letter := file.read(1)) not in (b" ", b"") and len(name) < _LONGEST:
            name += letter
        numbers = file.read(4 * width)
        if letter != b" " or len(numbers) < 4 * width:
            raise errors.DataError(path, f"ends in entry {number} of {count}; fetch it again")
        yield name.decode("utf-8", "replace").strip(), np.frombuffer(numbers, "<f4")


def _lines(path: Path, file) -> Iterator[tuple[str, np.ndarray]]:
    for number, line in enumerate(file, 1):
        name, *numbers = line.decode("utf-8", "replace").rstrip().split(" ")
        if number == 1 and len(numbers) == 1:
            continue
        try:
            vector = np.array(numbers, np.float32)
        except ValueError:
            vector = np.zeros(0, np.float32)
        if not len(vector):
            raise errors.DataError(
                f"{path}: line {number}", f"is no word with numbers; expected {EXPECTED}"
            )
        yield name, vector
