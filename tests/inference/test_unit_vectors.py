"""Cosines of vectors, and one vector made of several, as a loaded model gives them."""

import numpy as np
import pytest

from lb_jax.core import errors

TOLERANCE = 1e-6


def test_similarity_is_the_cosine_of_every_pair(model):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)
    a, b = model.embed("image", list(pictures)), model.embed("text", ["a cat", "a dog barking"])
    found = model.similarity(a, b)
    assert found.shape == (3, 2)
    expected = [[sum(x * y for x, y in zip(one, other, strict=True)) for other in b] for one in a]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    np.testing.assert_allclose(np.diag(model.similarity(a, a)), 1, atol=TOLERANCE)


X, Y, DIAGONAL = [[1.0, 0.0]], [[0.0, 1.0]], [[0.5**0.5, 0.5**0.5]]


@pytest.mark.parametrize(
    ("vectors", "weights", "expected"),
    [
        ({"video": X}, None, X),
        ({"video": X, "audio": Y}, None, DIAGONAL),
        ({"video": X, "audio": Y}, {"video": 3, "audio": 4}, [[0.6, 0.8]]),
        ({"video": X, "audio": Y}, {"video": 30, "audio": 40}, [[0.6, 0.8]]),
        ({"video": X, "audio": Y, "text": Y}, {"video": 1, "audio": 1, "text": 0}, DIAGONAL),
    ],
)
def test_fuse_is_the_unit_mean(model, vectors, weights, expected):
    vectors = {name: np.float32(rows) for name, rows in vectors.items()}
    np.testing.assert_allclose(model.fuse(vectors, weights), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("vectors", "weights", "message"),
    [
        ({}, None, "equally shaped"),
        ({"video": X, "audio": Y * 2}, None, r"equally shaped.*\(1, 2\).*\(2, 2\)"),
        ({"video": X, "audio": Y}, {"video": 1}, "name the same modalities"),
        ({"video": X, "audio": [[-1.0, 0.0]]}, None, "add up to zero"),
        ({"video": X, "audio": Y}, {"video": 0, "audio": 0}, "add up to zero"),
        ({"video": X, "audio": Y}, {"video": "2", "audio": 0}, "expected a finite number"),
        ({"video": X, "audio": Y}, {"video": np.nan, "audio": 0}, "expected a finite number"),
        ({"video": X, "audio": [[np.nan, 0.0]]}, None, "NaN or infinity"),
    ],
)
def test_fuse_refuses_what_has_no_mean(model, vectors, weights, message):
    vectors = {name: np.float32(rows) for name, rows in vectors.items()}
    with pytest.raises(errors.ConfigError, match=message):
        model.fuse(vectors, weights)


def test_vectors_of_other_shapes_are_refused(model):
    with pytest.raises(errors.ConfigError, match=r"got \[2, 3\] and \[2, 4\]"):
        model.similarity(np.ones((2, 3)), np.ones((2, 4)))
