"""Filters take names and times as they are."""

import pytest

from lb_jax.search.store import Filter
from tests.search import stores

NASTY = (
    "it's.mp4",
    'a "quote".mp4',
    "100%.mp4",
    "100x.mp4",
    "a_b.mp4",
    "axb.mp4",
    "back\\slash.mp4",
    "two\nlines.mp4",
    "日本 é.mp4",
    "'; DROP TABLE models; --.mp4",
)


@pytest.mark.parametrize("indexed", [False, True])
def test_filter_by_path_takes_names_as_they_are(store, indexed):
    for folder in ("/a%", "/ab", "/a_", "/a'"):
        for name in NASTY:
            store.add(stores.rows(stores.unit(1), f"{folder}/{name}"))
    if indexed:
        store.build_index(exact_rows=1)
    query = stores.unit(1)[0]
    for name in NASTY:
        found = store.search(query, 99, Filter(under=f"/a%/{name}"))
        assert [hit.path for hit in found] == [f"/a%/{name}"]
    for folder in ("/a%", "/ab", "/a_", "/a'"):
        found = store.search(query, 99, Filter(under=folder))
        assert [hit.path for hit in found] == sorted(f"{folder}/{name}" for name in NASTY)
    assert store.search(query, 99, Filter(under="/a")) == []
    assert len(store.search(query, 99, Filter(under="/"))) == 4 * len(NASTY)


def test_filter_by_modality_and_time(store):
    store.add(stores.rows(stores.unit(4), "/a.mp4"))
    store.add(stores.rows(stores.unit(4), "/a.mp4", "audio"))
    store.add(stores.rows(stores.unit(1), "/a.png", "image"))

    def found(**where):
        hits = store.search(stores.unit(1)[0], 99, Filter(**where))
        return sorted({hit.modality for hit in hits}), sorted({hit.start_s or 0.0 for hit in hits})

    assert found(modalities=("image", "audio")) == (["audio", "image"], [0, 5, 10, 15])
    timed = ["audio", "video"]
    assert found(after_s=5.0) == (timed, [5, 10, 15])  # a window that ends there is before it
    assert found(before_s=10.0) == (timed, [0, 5])
    assert found(after_s=6.0, before_s=11.0) == (timed, [5, 10])
    assert found(modalities=("video",), after_s=14.0, under="/a.mp4") == (["video"], [10, 15])
