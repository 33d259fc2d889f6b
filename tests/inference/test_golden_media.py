"""The media of `golden` are such as every preset can prepare, with nothing said about them."""

import warnings

import numpy as np
import pytest

from lb_jax.core.modalities import MODALITIES
from lb_jax.inference import golden
from lb_jax.media import preprocess, specs


class Prepares:
    """What of a model `golden.prepared` asks."""

    def __init__(self, preset):
        self.specs = {name: specs.preset(name, preset) for name in MODALITIES}

    def preprocess(self, modality, items):
        return preprocess.preprocess(modality, items, self.specs[modality])


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("preset", ["default", "imagebind", "imagebind_reference"])
def test_media_without_a_file_are_prepared_by_every_preset(preset, modality):
    model = Prepares(preset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = golden.prepared(model, modality)
    assert found.shape == (1, *specs.shape(model.specs[modality]))
    assert found.std() > 0
    assert np.isfinite(golden.sums(found)).all()


def test_the_motion_that_is_made_up_has_the_units_that_it_says():
    readings, rate_hz = golden.media("imu")
    found = preprocess.decode("imu", (readings, rate_hz), specs.ImuSpec())
    np.testing.assert_allclose(found[::4][:900], readings[:900], atol=1e-5)
