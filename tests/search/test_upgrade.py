"""An upgrade embeds every file again, goes on after a kill, and switches at the end."""

import dataclasses

import pytest

from lb_jax.core import errors
from lb_jax.search import bulk, database, upgrade
from lb_jax.search import rows as rows_lib
from lb_jax.search.maker import Maker
from lb_jax.search.store import Store
from tests.inference import fake

OLD, NEW = fake.Fake(source="models/old"), fake.Fake(source="models/new")
OPTIONS = {"workers": 1, "shown": False}


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Six files of all kinds, one of them in two modalities."""
    return fake.write(tmp_path_factory.mktemp("media"), 5)


@pytest.fixture
def uri(tmp_path, media):
    uri = str(tmp_path / "store")
    bulk.run([media], OLD, uri, window_s=1.0, **OPTIONS)
    return uri


def contents(store):
    """All rows without their model, in order."""
    rows = []
    for (_, modality), told in sorted(store.files().items()):
        rows += store.vectors(told.sha256, modality)
    return [
        (row.path, row.modality, row.start_s, row.end_s, row.sha256, row.vector.tobytes())
        for row in rows
    ]


def test_upgrade_equals_a_fresh_build_after_a_kill(uri, media, tmp_path, monkeypatch):
    bulk.run([media], NEW, tmp_path / "fresh", window_s=1.0, **OPTIONS)
    fresh, before = contents(Store.open(tmp_path / "fresh")), contents(Store.open(uri))
    model, add, added = fake.Fake(source="models/new", batch_size=1), Store.add, []

    def killed(store, rows):
        if added:
            raise KeyboardInterrupt
        add(store, rows)
        added.extend(rows)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            upgrade.run(uri, model, commit_rows=1, **OPTIONS)
    assert contents(Store.open(uri)) == before  # they answer
    done = upgrade.run(uri, NEW, **OPTIONS)
    store = Store.open(uri)
    assert store.maker == Maker.of(NEW, 1.0, 1.0)
    assert contents(store) == fresh
    assert (done.files, done.left_out) == (len(store.files()), {})
    assert (done.before.source, done.after.source) == ("models/old", "models/new")
    assert [table.state for table in database.tables(uri)] == ["current", "previous"]
    assert contents(Store.open(uri, OLD.digest)) == before  # for who has the model before


def test_files_that_come_and_go_meanwhile_are_followed(uri, media, tmp_path, monkeypatch):
    update, calls = bulk.update, []
    (tmp_path / "late.png").write_bytes(fake.colour(seed=99))
    gone = next(one for one in Store.open(uri).files() if one[1] == "audio")

    def busy(*given, **settings):
        calls.append(given)
        summary = update(*given, **settings)
        if len(calls) == 1:
            Store.open(uri).remove([gone])
            bulk.run([tmp_path / "late.png"], OLD, uri, window_s=1.0, **OPTIONS)
        return summary

    monkeypatch.setattr(bulk, "update", busy)
    upgrade.run(uri, NEW, drop_previous=True, **OPTIONS)
    files = Store.open(uri).files()
    assert (rows_lib.path_of(tmp_path / "late.png"), "image") in files
    assert gone not in files
    assert [table.maker.source for table in database.tables(uri)] == ["models/new"]


def test_files_that_cannot_be_read_any_more_are_left_out(tmp_path):
    uri, media = str(tmp_path / "store"), tmp_path / "media"
    media.mkdir()
    for name in ("a", "b", "c"):
        (media / f"{name}.png").write_bytes(fake.colour(seed=ord(name)))
    bulk.run([media], OLD, uri, **OPTIONS)
    (media / "a.png").unlink()
    (media / "b.png").write_bytes(b"damaged")
    done = upgrade.run(uri, NEW, **OPTIONS)
    assert sorted(path[-5:] for path, _ in done.left_out) == ["a.png", "b.png"]
    assert "does not exist" in done.left_out[str(media / "a.png"), "image"]
    assert len(Store.open(uri).files()) == done.files == 1
    (media / "c.png").unlink()
    with pytest.raises(errors.DataError, match=r"no file .* could be embedded again.*models/new"):
        upgrade.run(uri, OLD, **OPTIONS)
    assert Store.open(uri).maker.source == "models/new"


def test_half_done_upgrade_is_abandoned_when_asked(tmp_path):
    uri = str(tmp_path / "store")
    Store.create(uri, Maker.of(OLD, 1.0, 1.0))
    third = dataclasses.replace(Maker.of(NEW, 1.0, 1.0), digest="3" * 64, source="models/third")
    Store.upgrade(uri, third)
    with pytest.raises(errors.DataError, match=r"models/third.* is half done.*--abandon"):
        upgrade.run(uri, NEW, **OPTIONS)
    upgrade.run(uri, NEW, abandon=True, **OPTIONS)
    assert Store.open(uri).maker.source == "models/new"


def test_model_without_a_modality_of_the_store_is_refused(uri):
    model = fake.Fake(source="models/new")
    model.modalities = ("image", "video")
    with pytest.raises(errors.ConfigError, match=r"holds audio, .*which models/new lacks"):
        upgrade.run(uri, model, **OPTIONS)
