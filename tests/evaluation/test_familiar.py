"""Media like those that a calibration was fitted to are told from others by their vectors."""

import numpy as np
import pytest

from lb_jax.evaluation import familiar


def clusters(count, seed, centers):
    """Float32 [count, 16], unit: around some of eight axes."""
    rng = np.random.default_rng(seed)
    rows = np.eye(16)[rng.choice(centers, count)] + 0.1 * rng.standard_normal((count, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def usual():
    rows = clusters(400, 0, range(8))
    return familiar.fit({f"item{i}": row for i, row in enumerate(rows)})


@pytest.mark.parametrize("centers", [range(8), [3], [0, 5]])
@pytest.mark.parametrize("count", [12, 300])
def test_more_of_the_same_kind_is_like_it(usual, centers, count):
    outside = usual.outside(clusters(count, 1, centers))
    assert outside < 0.2 * count
    assert familiar.is_like(outside, count)


@pytest.mark.parametrize("count", [1, 2, 3, 200])
def test_other_kinds_are_not(usual, count):
    others = clusters(count, 2, range(8, 16))
    assert usual.outside(others) == count
    assert not familiar.is_like(count, count)


def test_a_mix_with_a_third_of_others_is_not(usual):
    mix = np.concatenate([clusters(60, 3, range(8)), clusters(40, 3, range(8, 16))])
    assert not familiar.is_like(usual.outside(mix), len(mix))


def test_a_share_of_the_held_out_half_is_outside():
    rows = clusters(400, 4, range(8))
    items = {f"item{i}": row for i, row in enumerate(rows)}
    usual = familiar.fit(items)
    assert usual.items + usual.held_out_items == 400
    held_out = np.stack([row for id_, row in items.items() if familiar.digest_of(id_)[0] & 1])
    assert usual.outside(held_out) / len(held_out) == pytest.approx(familiar.OUTSIDE, abs=0.01)
    reference = np.stack([row for id_, row in items.items() if not familiar.digest_of(id_)[0] & 1])
    assert usual.outside(reference) == 0


# rows -> the fewest outside that are more than chance makes of a narrow part of what is known
LEAST = {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 10: 6, 20: 10, 100: 40, 300: 114, 1000: 366}


@pytest.mark.parametrize(("rows", "least"), LEAST.items())
def test_a_share_is_held_against_one_class_as_surely_as_it_is_known(rows, least):
    assert [familiar.is_like(least - 1, rows), familiar.is_like(least, rows)] == [True, False]


def test_nothing_is_like_it():
    assert familiar.is_like(0, 0)


def test_too_few_items_say_nothing():
    rows = clusters(20, 5, range(8))
    assert familiar.fit({f"item{i}": row for i, row in enumerate(rows)}) is None


def test_what_is_unlike_is_named_with_its_count():
    told = familiar.told({"audio": (70, 70), "depth": (3, 30), "image": (84, 90)})
    assert told.startswith("70 of 70 audio, 84 of 90 image vectors are unlike")
    assert familiar.told({"depth": (3, 30)}) is None
    assert familiar.told({"image": (1, 1)}).startswith("the image is unlike")
    assert familiar.told({"audio": (1, 1), "image": (1, 1)}).startswith(
        "the audio and the image are"
    )
    assert familiar.told({}) is None
