"""Augmentation of clips: hand-worked values, one draw for a clip, the statistics of many."""

import colorsys
import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import augmentation, specs, video

DMVR = augmentation.AUGMENTATIONS["dmvr"]
SPEC = specs.VideoSpec(
    frames=2, size=20, antialias=True, mean=(0.0,) * 3, std=(1.0,) * 3, augmentation="dmvr"
)
FRAMES = np.random.default_rng(0).random((2, 3, 4, 3), np.float32)


def _one(*rgb):
    return np.array(rgb, np.float32).reshape(1, 1, 1, 3)


@pytest.mark.parametrize(
    ("before", "colour", "after"),
    [
        ((0.2, 0.4, 0.6), {"brightness": 0.1}, (0.3, 0.5, 0.7)),
        ((0.95, 0.4, 0.02), {"brightness": 0.1}, (1.0, 0.5, 0.12)),
        ((0.05, 0.4, 0.6), {"brightness": -0.1}, (0.0, 0.3, 0.5)),
        # saturation 2/3 -> 1/3 at the value 0.6
        ((0.2, 0.4, 0.6), {"saturation": 0.5}, (0.4, 0.5, 0.6)),
        ((0.2, 0.4, 0.6), {"saturation": 9.0}, (0.0, 0.3, 0.6)),  # at most 1
        # a third of a turn: red to green
        ((0.9, 0.1, 0.1), {"hue": 1 / 3}, (0.1, 0.9, 0.1)),
        ((0.9, 0.1, 0.1), {"hue": -1 / 3}, (0.1, 0.1, 0.9)),
        ((0.5, 0.5, 0.5), {"hue": 0.2, "saturation": 1.4}, (0.5, 0.5, 0.5)),
    ],
)
def test_colours_by_hand(before, colour, after):
    found = augmentation.recolour(_one(*before), augmentation.Colour(**colour))
    np.testing.assert_allclose(found.ravel(), after, atol=2e-6)
    assert found.dtype == np.float32


def test_contrast_is_about_the_mean_of_each_channel_of_a_frame():
    frames = np.array([[[[0.2, 0.5, 0.1], [0.6, 0.5, 0.9]]], [[[0.0, 0.1, 0.3]] * 2]], np.float32)
    found = augmentation.recolour(frames, augmentation.Colour(contrast=0.5))
    np.testing.assert_allclose(found[0, 0], [[0.3, 0.5, 0.3], [0.5, 0.5, 0.7]], atol=1e-6)
    np.testing.assert_allclose(found[1], frames[1], atol=1e-6)


def test_hue_and_saturation_are_those_of_the_colour_wheel():
    found = augmentation.recolour(FRAMES, augmentation.Colour(saturation=1.3, hue=0.17))
    for rgb, changed in zip(FRAMES.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*rgb.tolist())
        expected = colorsys.hsv_to_rgb((h + 0.17) % 1, min(s * 1.3, 1), v)
        np.testing.assert_allclose(changed, expected, atol=3e-6)


def test_saturation_and_contrast_come_in_the_drawn_order():
    change = augmentation.Colour(saturation=0.6, contrast=1.4)
    first = dataclasses.replace(change, contrast_first=True)
    plain = augmentation.Colour()
    one = augmentation.recolour(FRAMES, dataclasses.replace(plain, saturation=0.6))
    expected = augmentation.recolour(one, dataclasses.replace(plain, contrast=1.4))
    np.testing.assert_allclose(augmentation.recolour(FRAMES, change), expected, atol=3e-6)
    assert np.abs(augmentation.recolour(FRAMES, first) - expected).max() > 1e-3
    np.testing.assert_allclose(augmentation.recolour(FRAMES, plain), FRAMES, atol=2e-6)


def test_draws_have_the_published_ranges_and_probabilities():
    rng = np.random.default_rng(0)
    drawn = [augmentation.draw(DMVR, 1000, 1500, 1000, rng) for _ in range(4000)]
    sides = np.array([one.sides for one in drawn]) / (1120, 1680)
    changed = (sides != 1).any(axis=1)
    assert abs(changed.mean() - 0.8) < 0.03
    heights, widths = sides[changed].T
    for low, found in ((1000 / 1120, heights), (0.8, widths)):  # no side below the square's
        assert low - 1e-9 <= found.min() < low + 0.01
        assert 1.19 < found.max() <= 1.2
    assert abs(widths.mean() - 1) < 0.01
    above = heights > 0.95  # independent of each other
    assert abs(np.corrcoef(heights[above], widths[above])[0, 1]) < 0.06
    colours = [one.colour for one in drawn if one.colour is not None]
    assert abs(len(colours) / len(drawn) - 0.8) < 0.03
    for name, low, high in (
        ("brightness", -32 / 255, 32 / 255),
        ("saturation", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("hue", -0.2, 0.2),
    ):
        values = np.array([getattr(one, name) for one in colours])
        edge = 0.01 * (high - low)
        assert low <= values.min() < low + edge, name
        assert high - edge < values.max() <= high, name
        assert abs(values.mean() - (low + high) / 2) < 3 * edge, name
    assert abs(np.mean([one.contrast_first for one in colours]) - 0.5) < 0.03


def test_a_clip_has_one_draw_and_the_seed_decides_it():
    still = np.random.default_rng(1).integers(0, 256, (1, 40, 50, 3), np.uint8)
    clip = np.repeat(still, 2, axis=0)
    found = [video.transform(clip, SPEC, np.random.default_rng(s)) for s in (*range(6), 0)]
    np.testing.assert_array_equal(found[0], found[-1])
    for one in found:
        np.testing.assert_array_equal(one[0], one[1])
        assert one.shape == (2, 20, 20, 3)
        assert 0 <= one.min() <= one.max() <= 1
        assert one.dtype == np.float32
    assert len({one.tobytes() for one in found}) == 6


def test_without_chance_it_is_the_crop_of_a_resized_picture(monkeypatch):
    """A slope of x keeps its slope; the square of a picture of 28 x 56 is 20 of its columns."""
    never = dataclasses.replace(DMVR, short=1.4, scale_p=0, colour_p=0)
    monkeypatch.setitem(augmentation.AUGMENTATIONS, "dmvr", never)
    slope = np.broadcast_to(np.arange(56, dtype=np.uint8)[:, None] * 4, (2, 28, 56, 3))
    rng = np.random.default_rng(5)
    down, right, _ = np.random.default_rng(5).random(3)
    found = video.transform(slope, SPEC, rng)
    left = int(right * (56 - 20 + 1))
    np.testing.assert_allclose(found[0, 0, :, 0], (left + np.arange(20)) * 4 / 255, atol=1e-6)
    assert 0 <= down < 1
    assert rng.random() == np.random.default_rng(5).random(13)[12]  # 3 and 9 draws


def test_evaluation_is_without_it():
    clip = np.random.default_rng(1).integers(0, 256, (2, 40, 50, 3), np.uint8)
    plain = dataclasses.replace(SPEC, augmentation="none")
    np.testing.assert_array_equal(video.transform(clip, SPEC), video.transform(clip, plain))


def test_colours_change_before_values_are_normalised(monkeypatch):
    always = dataclasses.replace(DMVR, colour_p=1)
    monkeypatch.setitem(augmentation.AUGMENTATIONS, "dmvr", always)
    clip = np.random.default_rng(1).integers(0, 256, (2, 40, 50, 3), np.uint8)
    normed = dataclasses.replace(SPEC, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    found = video.transform(clip, normed, np.random.default_rng(3))
    plain = video.transform(clip, SPEC, np.random.default_rng(3))
    np.testing.assert_allclose(found, (plain - normed.mean) / normed.std, atol=1e-5)


def test_settings_that_cannot_be():
    with pytest.raises(errors.ConfigError, match=r"augmentation is 'dmwr'.*'dmvr'"):
        specs.VideoSpec(augmentation="dmwr")
    with pytest.raises(errors.ConfigError, match="augmentation is 'dmvr' and shape 'stretch'"):
        specs.VideoSpec(augmentation="dmvr", shape="stretch", train_crop="centre")
