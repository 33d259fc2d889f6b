"""A store gives back what was put in, and finds what is nearest."""

import dataclasses
import shutil

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.search import stamps
from lb_jax.search.store import Store
from tests.search import stores
from tests.search.stores import MAKER, WIDTH


def test_rows_come_back_as_they_were_given(store, uri):
    video = stores.rows(stores.unit(3))
    still = stores.rows(stores.unit(1, 1), "/media/b.png", "image")
    store.add(video)
    store.add(still)
    again = Store.open(uri)
    assert again.maker == MAKER
    assert again.files() == {
        ("/media/a.mp4", "video"): stamps.FileStamp("hash of /media/a.mp4", 1, 2),
        ("/media/b.png", "image"): stamps.FileStamp("hash of /media/b.png", 1, 2),
    }
    for given, modality in ((video, "video"), (still, "image")):
        found = again.vectors(given[0].sha256, modality)
        assert len(found) == len(given)
        for one, other in zip(given, found, strict=True):
            np.testing.assert_array_equal(one.vector, other.vector)
            blank = dataclasses.replace(one, vector=None)
            assert blank == dataclasses.replace(other, vector=None)
    assert again.vectors("unknown", "video") == []


def test_vectors_are_those_of_one_file_of_equal_content(store):
    for path in ("/media/b.mp4", "/media/a.mp4"):
        same = [
            dataclasses.replace(row, sha256="same") for row in stores.rows(stores.unit(2), path)
        ]
        store.add(same[::-1])
    assert [(row.path, row.start_s) for row in store.vectors("same", "video")] == [
        ("/media/a.mp4", 0.0),
        ("/media/a.mp4", 5.0),
    ]


def test_hits_equal_numpy(store):
    vectors = stores.unit(500)
    for i in range(0, 500, 50):
        store.add(stores.rows(vectors[i : i + 50], f"/media/{i:03}.mp4"))
    for query in stores.unit(5, 9):
        hits = store.search(3 * query, 20)  # its length does not matter
        right = stores.nearest(vectors, query, 20)
        assert [(hit.path, hit.start_s) for hit in hits] == [
            (f"/media/{i // 50 * 50:03}.mp4", i % 50 * 5.0) for i in right
        ]
        cosines = [hit.cosine for hit in hits]
        np.testing.assert_allclose(cosines, vectors[right] @ query, atol=1e-6)


def test_equal_cosines_are_in_order_of_path_and_time(store):
    same = np.repeat(stores.unit(1), 3, axis=0)
    for name in "cadb":
        store.add(stores.rows(same, f"/media/{name}.mp4"))
    store.add(stores.rows(stores.unit(40, 5), "/media/other.mp4"))
    for k in (1, 2, 5, 12):
        hits = store.search(same[0], k)
        right = [(f"/media/{name}.mp4", 5.0 * i) for name in "abcd" for i in range(3)][:k]
        assert [(hit.path, hit.start_s) for hit in hits] == right


def test_search_of_little_gives_all_there_is(store):
    assert store.search(stores.unit(1)[0], 5) == []
    store.add(stores.rows(stores.unit(2)))
    assert len(store.search(stores.unit(1)[0], 5)) == 2


@pytest.mark.parametrize(
    "vector", [np.ones(3), np.zeros(WIDTH), np.full(WIDTH, np.nan), np.ones((1, WIDTH))]
)
def test_query_without_direction_or_of_another_width_is_refused(store, vector):
    with pytest.raises(errors.ConfigError, match="search takes one vector of width 16"):
        store.search(vector, 3)


def test_removed_files_are_found_no_more(store):
    store.add(stores.rows(stores.unit(3), "/it's.mp4"))
    store.add(stores.rows(stores.unit(3), "/it's.mp4", "audio"))
    store.add(stores.rows(stores.unit(3), "/b.mp4"))
    store.remove([("/it's.mp4", "video"), ("/b.mp4", "audio")])
    assert sorted(store.files()) == [("/b.mp4", "video"), ("/it's.mp4", "audio")]
    store.remove([])
    assert len(store) == 6


def test_store_can_be_copied_as_files(store, uri, tmp_path):
    store.add(stores.rows(stores.unit(3)))
    shutil.copytree(uri, tmp_path / "copy")
    assert len(Store.open(tmp_path / "copy")) == 3
