"""A server on 127.0.0.1 for what fetches."""

import pytest

from tests.builder import loopback


@pytest.fixture
def server(monkeypatch):
    """A `loopback.Server`; no proxy stands between."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with loopback.serving() as one:
        yield one
