"""The index finds what is near, and a table stays small through many commits."""

import datetime
import os

import lancedb
import numpy as np
import pytest

from lb_jax.search import vectors as vectors_lib
from lb_jax.search.store import Filter
from tests.search import stores
from tests.search.stores import MAKER, WIDTH


def test_index_finds_what_is_near_and_rows_that_came_later(store):
    centres, draw = stores.unit(40, 1), np.random.default_rng(2)
    vectors = centres[draw.integers(0, 40, 4000)] + 0.2 * stores.unit(4000, 3)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.add(stores.rows(vectors[:3500], "/media/a.mp4"))
    told = store.build_index(exact_rows=1000)
    assert (told["rows"], told["rows_outside"]) == (3500, 0)
    store.add(stores.rows(vectors[3500:], "/media/b.mp4"))
    assert store.info()["index"]["rows_outside"] == 500
    found = right = 0
    for query in vectors[::200]:
        hits = store.search(query, 10)
        expected = stores.nearest(vectors, query, 10)
        names = {(hit.path, hit.start_s) for hit in hits}
        right += len(expected)
        for i in expected:
            first, path = (0, "/media/a.mp4") if i < 3500 else (3500, "/media/b.mp4")
            found += (path, 5.0 * (i - first)) in names
    assert found / right >= 0.95
    assert [hit.cosine for hit in store.search(vectors[0], 10, exact=True)] == pytest.approx(
        sorted(vectors @ vectors[0])[:-11:-1], abs=1e-6
    )
    assert store.build_index(exact_rows=1000)["rows_outside"] == 0


def test_index_with_a_filter_finds_all_that_passes(store, monkeypatch):
    monkeypatch.setattr(vectors_lib, "EXACT_NUMBERS", 10 * WIDTH)
    monkeypatch.setattr(vectors_lib, "PROBES", 1)
    store.add(stores.rows(stores.unit(3000), "/media/a.mp4"))
    store.add(stores.rows(stores.unit(40, 7), "/media/b.mp4"))
    store.build_index(exact_rows=1000)
    hits = store.search(stores.unit(1)[0], 40, Filter(under="/media/b.mp4"))
    assert sorted(hit.start_s for hit in hits) == [5.0 * i for i in range(40)]


def test_small_store_gets_no_index(store):
    store.add(stores.rows(stores.unit(9)))
    assert store.build_index()["kind"] == "exact"


@pytest.mark.filterwarnings("ignore:optimize")  # of versions that others may read: nobody does
def test_many_small_adds_leave_few_files_in_their_order(store, uri, monkeypatch):
    # not a millisecond: the version before the last merge may be that young
    monkeypatch.setattr(vectors_lib, "KEEP", datetime.timedelta(0))
    vectors = stores.unit(150)
    for i, row in enumerate(stores.rows(vectors)):
        store.add([row])
        if i == 75:
            store.remove([("/media/a.mp4", "audio")])  # of no rows
    store.build_index()
    assert [row.start_s for row in store.vectors("hash of /media/a.mp4", "video")] == [
        5.0 * i for i in range(150)
    ]
    starts = lancedb.connect(uri).open_table(MAKER.name).to_arrow()["start_s"].to_pylist()
    assert starts == [5.0 * i for i in range(150)]
    assert sum(len(names) for *_, names in os.walk(uri)) < 30
