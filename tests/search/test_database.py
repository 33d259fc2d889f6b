"""The tables of a store: which answers, which are kept, and places that hold none."""

import dataclasses
import multiprocessing
import os

import lancedb
import pytest

from lb_jax.core import errors
from lb_jax.search import database
from lb_jax.search.store import Store
from tests.search import stores
from tests.search.stores import MAKER, OTHER, TUM


def test_place_that_is_no_store_is_told_in_one_line(tmp_path, store, uri):
    (tmp_path / "file").write_text("x")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("x")
    for name, reason in (
        ("no", "there is no store of vectors here"),
        ("file", "is a file, not a store"),
        ("photos", "is no store of vectors"),
    ):
        with pytest.raises(errors.DataError, match=reason):
            Store.open(tmp_path / name)
    assert not (tmp_path / "no").exists()
    with pytest.raises(errors.DataError, match=r"photos: is no store.*it holds cat\.png"):
        Store.create(tmp_path / "photos", MAKER)
    with pytest.raises(errors.DataError, match=r"no vectors of model 123.*models/first"):
        Store.open(uri, "123")


@pytest.mark.parametrize("part", ["_versions", "data"])
@pytest.mark.parametrize("table", ["models", MAKER.name])
def test_damaged_store_is_told_in_one_line(store, uri, part, table):
    store.add(stores.rows(stores.unit(3)))
    for file in os.scandir(f"{uri}/{table}.lance/{part}"):
        with open(file.path, "wb"):
            pass
    with pytest.raises(errors.DataError) as told:
        Store.open(uri).search(stores.unit(1)[0], 1)
    assert uri in str(told.value)
    assert "\n" not in str(told.value)
    for word in (".rs", "/rustc", ".cargo", "LanceError", "index check"):
        assert word not in str(told.value)


def test_old_vectors_answer_until_the_switch_and_after(store, uri):
    vectors = stores.unit(3)
    store.add(stores.rows(vectors))
    new = Store.upgrade(uri, OTHER)
    new.add(stores.rows(stores.unit(2, 1), maker=OTHER))
    assert (len(Store.open(uri)), Store.open(uri).maker) == (3, MAKER)
    assert len(Store.upgrade(uri, OTHER)) == 2  # goes on
    third = dataclasses.replace(MAKER, digest="d" * 64, source="models/third")
    with pytest.raises(errors.DataError, match=r"an upgrade to models/second .* is half done"):
        Store.upgrade(uri, third)
    assert [(one.what[:30], one.is_serious) for one in store.check() if one.path is None] == [
        ("a table of models/second (cccc", False)
    ]
    new.make_current()
    assert (len(Store.open(uri)), Store.open(uri).maker) == (2, OTHER)
    assert len(Store.open(uri, MAKER.digest)) == 3
    assert store.search(vectors[0], 1)[0].cosine == pytest.approx(1)
    with pytest.raises(errors.DataError, match="nothing to upgrade"):
        Store.upgrade(uri, OTHER)
    Store.upgrade(uri, third).make_current()  # drops the table before the previous one
    states = [(table.maker.source, table.state) for table in database.tables(uri)]
    assert states == [("models/third", "current"), ("models/second", "previous")]
    with pytest.raises(errors.DataError, match="cannot be used"):
        store.search(vectors[0], 1)
    assert database.drop(uri, "previous") == [OTHER]
    assert sorted(os.listdir(uri)) == ["models.lance", f"{third.name}.lance"]


def _add(uri, name, start):
    start.wait()
    store = Store.create(uri, MAKER)
    for i, vector in enumerate(stores.unit(70)):
        store.add(stores.rows([vector, vector], f"/media/{name}{i:02}.mp4"))


def test_two_processes_add_to_a_store_that_neither_found(uri):
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    workers = [spawn.Process(target=_add, args=(uri, name, start)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = Store.open(uri)
    assert sorted(store.files()) == sorted(
        (f"/media/{name}{i:02}.mp4", "video") for name in "ab" for i in range(70)
    )
    assert len(store) == 280
    assert [table.state for table in database.tables(uri)] == ["current"]


def test_store_of_before_there_were_settings_goes_on(store, uri):
    lancedb.connect(uri).open_table(database.MODELS).drop_columns(["settings", "space", "family"])
    store.add(stores.rows(stores.unit(3)))
    old = Store.create(uri, MAKER)
    assert (old.maker, len(old)) == (MAKER, 3)
    since = dataclasses.replace(OTHER, source=MAKER.source)
    with pytest.raises(errors.DataError, match="prepared otherwise since an update"):
        Store.create(uri, since)
    made = dataclasses.replace(OTHER, settings=TUM, space="va")
    new = Store.upgrade(uri, made)
    new.add(stores.rows(stores.unit(2), maker=made))
    new.make_current()
    assert Store.open(uri).maker == made
    assert [table.maker for table in database.tables(uri)] == [made, MAKER]
