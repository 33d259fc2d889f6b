"""Attributes, splits and paths of the demo corpus."""

import collections
import itertools

import numpy as np
import pytest

from lb_jax.demo import scene, silhouettes

ATTRIBUTES = tuple(scene.VALUES)


def of_split(plan, split):
    return [a for a in plan if a.split == split]


def test_schedule_is_a_prefix_of_a_longer_one():
    assert scene.schedule(3, 40) == scene.schedule(3, 100)[:40]
    assert scene.schedule(3, 40) != scene.schedule(4, 40)


@pytest.mark.parametrize("items", [20, 640])
def test_one_item_in_five_is_held_out(items):
    assert len(of_split(scene.schedule(0, items), "test")) == items // 5


def test_splits_share_no_combination_of_category_colour_and_motion():
    plan = scene.schedule(1, 4000)
    seen = {
        split: {(a.category, a.colour, a.motion) for a in of_split(plan, split)}
        for split in ("train", "test")
    }
    everything = set(
        itertools.product(*(scene.VALUES[n] for n in ("category", "colour", "motion")))
    )
    assert seen["test"] == {
        combination for combination in everything if scene.is_held_out(*combination)
    }
    assert seen["train"] == everything - seen["test"]


@pytest.mark.parametrize(
    "pair", [("category", "colour"), ("category", "motion"), ("colour", "motion")]
)
def test_training_shows_every_pair(pair):
    shown = collections.Counter(
        tuple(getattr(a, n) for n in pair) for a in of_split(scene.schedule(1, 1280), "train")
    )
    assert set(shown) == set(itertools.product(*(scene.VALUES[n] for n in pair)))
    assert max(shown.values()) < 2 * min(shown.values())


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_values_are_near_equally_frequent_in_each_split(split, name):
    plan = of_split(scene.schedule(2, 2560), split)  # the demo's size; a category's last round of
    counts = collections.Counter(getattr(a, name) for a in plan)  # looks is cut, up to 8 in all
    assert set(counts) == set(scene.VALUES[name])
    assert max(counts.values()) - min(counts.values()) <= 2 + 0.1 * len(plan) / len(counts)


@pytest.mark.parametrize(
    ("one", "other"),
    [p for p in itertools.combinations(ATTRIBUTES, 2) if p != ("category", "source")],
)
def test_attributes_are_independent(one, other):
    plan = scene.schedule(5, 4000)
    rows, columns = scene.VALUES[one], scene.VALUES[other]
    counts = np.zeros((len(rows), len(columns)))
    for a in plan:
        counts[rows.index(getattr(a, one)), columns.index(getattr(a, other))] += 1
    expected = len(plan) / counts.size
    z = (counts - expected) / np.sqrt(expected)
    assert np.abs(z).max() < 4


def test_a_source_belongs_to_its_category():
    assert all(a.source in scene.SOURCES[a.category] for a in scene.schedule(0, 200))


@pytest.mark.parametrize("motion", scene.VALUES["motion"])
def test_object_moves_straight_far_and_inside_the_picture(motion):
    rng = np.random.default_rng(0)
    for category in scene.VALUES["category"]:
        silhouette = silhouettes.draw_pose(category, rng)
        path = scene.draw_path(motion, silhouette.extent, rng)
        steps = np.diff(path, axis=0)
        np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-12)
        way = path[-1] - path[0]
        assert np.dot(way, scene.DIRECTIONS[motion]) >= 0.4
        assert np.count_nonzero(np.abs(way) > 1e-9) == 1
        half = np.array(silhouette.extent) / 2
        assert (path - half >= -1e-9).all()
        assert (path + half <= 1 + 1e-9).all()


def test_frames_of_a_clip_tell_the_axis_only():
    left = scene.draw_path("left", (0.4, 0.4), np.random.default_rng(9))
    right = scene.draw_path("right", (0.4, 0.4), np.random.default_rng(9))
    np.testing.assert_allclose(left[::-1], right, atol=1e-12)


def test_random_frame_is_placed_alike_for_every_motion():
    rng = np.random.default_rng(0)
    where = {
        motion: np.array(
            [scene.draw_path(motion, (0.45, 0.45), rng)[rng.integers(16)] for _ in range(3000)]
        )
        for motion in scene.DIRECTIONS
    }
    for one, other in itertools.combinations(where.values(), 2):
        np.testing.assert_allclose(one.mean(0), other.mean(0), atol=0.02)
        np.testing.assert_allclose(one.std(0), other.std(0), atol=0.02)
