"""Pictures as frames of films: drawn by seed and number, as in evaluation where that is asked."""

import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.corpora.quarantine import BadSample
from lb_jax.feed import pictures
from lb_jax.media import image, specs
from tests.media import media_files

FILM = dataclasses.replace(specs.preset("video", "mmv"), size=24)
STILL = specs.still(FILM)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        pixels = rng.integers(0, 256, (30, 40, 3), np.uint8)
        (tmp_path / f"{i}.png").write_bytes(media_files.picture(pixels))
    (tmp_path / "broken.png").write_bytes(media_files.picture(pixels)[:200])
    return pictures.Files("photos", [str(one) for one in sorted(tmp_path.iterdir())])


def test_a_sample_is_a_function_of_seed_and_number(files):
    first, again, other = (pictures.Pictures(files, FILM, seed=seed) for seed in (1, 1, 2))
    samples = [loader(7).media for loader in (first, again, other)]
    assert samples[0].shape == (24, 24, 3)
    np.testing.assert_array_equal(samples[0], samples[1])
    assert np.abs(samples[0] - samples[2]).max() > 0.01
    assert np.abs(samples[0] - first(8).media).max() > 0.01
    assert all(0 <= first(n).media.min() <= first(n).media.max() <= 1 for n in range(10))


def test_what_cannot_be_used_is_named_and_another_comes(files):
    loader = pictures.Pictures(files, FILM, seed=0)
    found = [loader(n) for n in range(5)]  # of five pictures
    assert all(one.media is not None for one in found)
    (bad,) = {one for sample in found for one in sample.bad}
    assert isinstance(bad, BadSample)
    assert bad.path.endswith("broken.png")
    assert "damaged or cut off" in bad.reason


def test_in_evaluation_pictures_are_as_the_spec_says(files):
    shown, bad = pictures.shown(files, STILL)
    assert (shown.shape, len(bad)) == ((4, 24, 24, 3), 1)
    path = files[0].media["image"][0]
    np.testing.assert_array_equal(shown[0], image.transform(image.decode(path, STILL), STILL))
    alone = pictures.Files("photos", [path for path in files._paths if "broken" in path])
    with pytest.raises(errors.DataError, match="1 picture tried and none can be used; last: is"):
        pictures.shown(alone, STILL)


def test_pictures_have_no_captions(files):
    with pytest.raises(errors.DataError, match="no captions"):
        files.require(["mplug"])
