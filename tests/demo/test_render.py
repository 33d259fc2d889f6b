"""Each camera shows its own attributes and nothing else."""

import numpy as np
import pytest

from lb_jax.demo import render, scene, silhouettes
from lb_jax.demo.silhouettes import SIDE


def shots(seed, category="house"):
    rng = np.random.default_rng(seed)
    silhouette = silhouettes.draw_pose(category, rng)
    return silhouettes.masks(silhouette, scene.draw_path("left", silhouette.extent, rng))


@pytest.mark.parametrize("category", scene.VALUES["category"])
def test_object_fills_the_promised_share_of_the_side(category):
    for seed in range(10):
        seen = shots(seed, category) > 0.5  # [t, y, x]
        longer = max(np.ptp(np.nonzero(seen[0])[axis]) + 1 for axis in (0, 1)) / SIDE
        assert 0.37 <= longer <= 0.58


def test_silhouettes_differ():
    """Any two categories, laid over each other at their best shift, differ in a third of area."""
    rng = np.random.default_rng(0)
    pictures = {}
    for category in scene.VALUES["category"]:
        silhouette = silhouettes.draw_pose(category, rng)
        pictures[category] = silhouettes.masks(silhouette, np.array([[0.5, 0.5]]))[0]
    for one in pictures:
        for other in pictures:
            if one == other:
                continue
            overlap = np.fft.ifft2(
                np.fft.fft2(pictures[one]) * np.conj(np.fft.fft2(pictures[other]))
            ).real.max()
            union = pictures[one].sum() + pictures[other].sum() - overlap
            assert overlap / union < 0.67, (one, other)


@pytest.mark.parametrize("colour", scene.VALUES["colour"])
def test_rgb_shows_the_colour(colour):
    masks = shots(1)
    picture = render.rgb(masks, colour, np.random.default_rng(2))
    assert picture.shape == (16, SIDE, SIDE, 3)
    assert picture.dtype == np.uint8
    seen = picture[masks == 1].mean(0)
    seen /= np.linalg.norm(seen)
    nearest = max(
        render.COLOURS_RGB,
        key=lambda c: seen @ render.COLOURS_RGB[c] / np.linalg.norm(render.COLOURS_RGB[c]),
    )
    assert nearest == colour


@pytest.mark.parametrize("distance", scene.VALUES["distance"])
def test_depth_is_in_millimetres(distance):
    masks = shots(3)
    low, high = render.DISTANCES_M[distance]
    for seed in range(5):
        picture = render.depth(masks, distance, np.random.default_rng(seed))
        assert picture.dtype == np.uint16
        assert (
            1000 * low - 150
            <= picture[masks == 1].min()
            <= picture[masks == 1].max()
            <= 1000 * high + 150
        )
        assert 8400 <= picture[masks == 0].min() <= picture[masks == 0].max() <= 10_100


def test_thermal_levels_are_absolute_and_apart():
    masks = shots(4)
    level = {}
    for temperature in scene.VALUES["temperature"]:
        pictures = [
            render.thermal(masks, temperature, np.random.default_rng(seed)) for seed in range(20)
        ]
        assert all((p[..., :1] == p).all() for p in pictures)
        level[temperature] = [p[masks == 1].mean() for p in pictures]
        ambient = [p[masks == 0].mean() for p in pictures]
        assert 80 < min(ambient) <= max(ambient) < 120
    assert max(level["cold"]) < 60 < 140 < min(level["warm"])
    assert max(level["warm"]) < 195 < 220 < min(level["hot"])
