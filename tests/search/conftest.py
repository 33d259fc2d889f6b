"""Stores that the tests of several files use."""

import pytest

from lb_jax.search.store import Store
from tests.inference import fake
from tests.search.stores import MAKER


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "media.index")


@pytest.fixture
def store(uri):
    return Store.create(uri, MAKER)


@pytest.fixture
def media(tmp_path):
    """Ten files of all kinds."""
    return fake.write(tmp_path / "media", 10)
