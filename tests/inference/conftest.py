"""One model for all tests of the folder, and its twins on disk."""

import jax
import pytest

from lb_jax.inference import api
from tests.inference import tiny


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture(scope="session")
def model(folder):
    return api.load(folder)


@pytest.fixture(scope="session")
def alone(folder):
    """The same model on a single device."""
    return api.load(folder, devices=jax.local_devices()[:1])


@pytest.fixture
def load(model):
    """`api.load` for checkpoints of the same shape, which shares what is compiled already."""

    def loaded(source):
        twin = api.load(source)
        assert twin.config == model.config
        twin._encode = model._encode
        return twin

    return loaded
