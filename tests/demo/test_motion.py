"""What the demo's sensor reads: gravity, the way of the object, its turning, and no lookup."""

import numpy as np
import pytest

from lb_jax.demo import motion, scene
from lb_jax.media.sensors import motion_units

EXTENT = (0.3, 0.3)
LEAST_NOISE = 0.01  # m/s2: no two recordings are nearer


def sensed(kind, category="car", seed=0):
    rng = np.random.default_rng([seed, 0])
    path = scene.draw_path(kind, EXTENT, rng)
    return path, motion.sense(path, category, np.random.default_rng([seed, 1]))


def smooth(readings):
    """Means of a tenth of a second, [50, 6]: shaking and noise are averaged out."""
    return readings.reshape(50, 10, 6).mean(1)


@pytest.mark.parametrize("category", scene.SOURCES)
def test_every_category_has_a_gait_and_all_are_sensed(category):
    assert list(motion.GAITS) == list(scene.SOURCES)
    _, readings = sensed("left", category)
    assert readings.shape == (500, 6)
    assert motion_units.gravity_in(motion_units.strength(readings[:, :3], 100)) == "m/s2"
    seen = motion_units.rotation(readings[:, :3], readings[:, 3:], 100)
    assert seen is None or seen.unit == "rad/s"


def test_gravity_turns_as_the_gyroscope_says():
    still = np.tile([[0.5, 0.5]], (scene.FRAMES, 1))
    readings = motion.sense(still, "clock", np.random.default_rng(0))
    seen = motion_units.rotation(readings[:, :3], readings[:, 3:], 100)
    assert seen is not None
    assert seen.is_sure
    assert "turn gravity as rad/s do" in seen.why


def test_rates_are_those_of_the_rotations():
    seconds = np.linspace(0, 1, 20_001)
    angles = np.stack([np.sin(3 * seconds), 0.5 * np.cos(2 * seconds), seconds], axis=1)
    changes = np.gradient(angles, seconds, axis=0)
    turns = motion.rotations(angles)
    np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), np.tile(np.eye(3), (20_001, 1, 1)),
                               atol=1e-12)  # fmt: skip
    change = np.gradient(turns, seconds, axis=0)
    skew = np.einsum("nji,njk->nik", turns, change)  # R^T dR/dt is the rate as a matrix
    found = np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)
    np.testing.assert_allclose(motion.rates(angles, changes)[5:-5], found[5:-5], atol=1e-5)


@pytest.mark.parametrize(("kind", "axis", "sign"), [("up", 2, 1), ("down", 2, -1)])
def test_what_goes_up_is_first_pushed_up_and_then_held_back(kind, axis, sign):
    pushes = [smooth(sensed(kind, seed=seed)[1]) for seed in range(10)]
    for push in pushes:
        upright = sign * (push[:, axis] - np.median(push[:, axis]))
        assert upright[8:17].sum() > 3  # setting off, before 1.5 s
        assert upright[33:42].sum() < -3  # coming to rest, after 3.4 s
        assert abs(upright[20:32].mean()) < 0.5  # constant speed is not felt


def test_left_and_right_stay_apart_however_it_is_mounted():
    first = {
        kind: [smooth(sensed(kind, seed=seed)[1])[8:17, 0].mean() for seed in range(40)]
        for kind in ("left", "right")
    }
    rest = [smooth(sensed("left", seed=seed)[1])[:8, 0].mean() for seed in range(40)]
    left, right = (np.array(first[kind]) - rest for kind in ("left", "right"))
    assert (left < right).all()
    assert np.std(right) > 0.1  # by speed and mounting


def test_no_two_recordings_are_alike():
    found = [sensed("right", "bird", seed)[1] for seed in range(6)]
    for place, one in enumerate(found):
        for other in found[:place]:
            assert np.abs(one - other).mean() > LEAST_NOISE
    again = sensed("right", "bird", 0)[1]
    np.testing.assert_array_equal(again, found[0])


def test_the_way_in_the_recording_is_the_way_that_is_filmed():
    """Twice integrated in the room, noise, sway and gravity left out."""
    path, _ = sensed("right", seed=3)
    seconds = np.arange(500) / 100
    begins = motion._pulse(seconds, motion.FILM_S[0] - 0.4, 0.4)
    speed = np.cumsum(begins) / 100
    inside = (seconds >= motion.FILM_S[0]) & (seconds < motion.FILM_S[1])
    np.testing.assert_allclose(speed[inside], 1, atol=0.02)
    way = (path[-1] - path[0]) * motion.FRAME_M
    assert 2 < np.abs(way).max() < 4
