"""Rows that a store takes, and those that it does not."""

import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from tests.search import stores
from tests.search.stores import WIDTH


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"vector": np.full(WIDTH, np.nan, np.float32)}, "has length nan; a store takes unit"),
        ({"vector": np.ones(WIDTH, np.float32)}, "has length 4; a store takes unit"),
        ({"vector": np.ones(3, np.float32)}, r"shape \[3\]; the store takes width 16"),
        ({"path": "/a/\udce9.mp4"}, "not UTF-8"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_whole(store, row, message):
    good, bad = stores.rows(stores.unit(2))
    with pytest.raises(errors.DataError, match=message):
        store.add([good, dataclasses.replace(bad, **row)])
    assert len(store) == 0
