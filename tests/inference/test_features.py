"""What a tower knows before its projection: rows, cache and the frames a tower is shown."""

import dataclasses
import os

import jax
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.inference import embedder
from lb_jax.inference.features import Features
from lb_jax.media import clips as clips_lib
from lb_jax.media import passes, specs
from lb_jax.media.clips import Clip
from lb_jax.models.languagebind import LanguageBind
from tests.media import media_files

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    path.write_bytes(media_files.clip(40))
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    return path


def test_features_are_what_the_projection_takes(alone):
    draw = np.random.default_rng(0).standard_normal
    for modality in ("image", "audio"):
        array = draw((3, *specs.shape(alone.specs[modality]))).astype(np.float32)
        found = alone.features(modality, array)
        assert found.shape == (3, alone.feature_width(modality))
        params = jax.device_get(alone._tower(modality))
        kernel = LanguageBind(alone.config).tower(params, modality)["proj"]["kernel"]
        expected = alone.encode(modality, array, unit=False)
        np.testing.assert_allclose(found @ kernel, expected, atol=TOLERANCE)
    with pytest.raises(errors.ConfigError, match="no 'smell'"):
        alone.feature_width("smell")


def test_passes_are_embedded_once(alone, film, tmp_path, monkeypatch):
    one = Features(alone, tmp_path)
    given = passes.Passes(count=3, drawn=True, frames=4, fps=None)
    found = one.media("video", [Clip(film)], given)
    assert found.rows.shape == (1, 3, alone.feature_width("video"))
    array = passes.arrays(Clip(film), alone.specs["video"], given)
    np.testing.assert_allclose(found.rows[0], alone.features("video", array), atol=TOLERANCE)

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(passes, "arrays", refuse)
    again = Features(alone, tmp_path).media("video", [Clip(film)], given)
    np.testing.assert_array_equal(again.rows, found.rows)
    with pytest.raises(AssertionError, match="decoded again"):
        one.media("video", [Clip(film)], dataclasses.replace(given, seed=1))


def test_features_and_embeddings_share_no_vector(alone, film, tmp_path):
    clips = [Clip(film)]
    embedded = embedder.Embedder(alone, tmp_path).media("video", clips).rows
    features = Features(alone, tmp_path).media("video", clips).rows
    array = clips_lib.preprocess("video", clips[0], alone.specs["video"])[None]
    np.testing.assert_allclose(features[:, 0], alone.features("video", array), atol=TOLERANCE)
    again = embedder.Embedder(alone, tmp_path).media("video", clips).rows
    np.testing.assert_array_equal(again, embedded)
    with pytest.raises(errors.ConfigError, match="texts have embeddings only"):
        Features(alone, tmp_path).texts(["a cat"])


class AnySize:
    """A tower of any number of frames and any size, whose features are the shape it is shown."""

    modalities, batch_size, digest, dtype = ("video",), 4, "0" * 8, np.float32

    def __init__(self):
        self.specs = {"video": specs.VideoSpec(frames=2, size=16)}
        self.any_size = self.modalities

    def features(self, modality, array):
        return np.tile(np.float32(array.shape[1:4]), (len(array), 1))

    def feature_width(self, modality):
        return 3


def test_a_tower_of_any_size_is_shown_what_the_protocol_says(film, tmp_path):
    given = passes.Passes(count=2, frames=5, stride=1, short=28, crop=24)
    model = AnySize()
    found = Features(model, tmp_path).media("video", [Clip(film)], given)
    assert found.rows.tolist() == [[[5, 24, 24]] * 2]
    model.any_size = ()
    found = Features(model, None).media("video", [Clip(film)], given)
    assert found.rows.tolist() == [[[2, 16, 16]] * 2]
