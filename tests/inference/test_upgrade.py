"""An upgrade embeds every file again, goes on after a kill, and switches at the end."""

import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.inference import store as store_lib
from lb_jax.inference import upgrade
from lb_jax.inference.store import Maker, Store
from tests.inference.stores import FakeModel

OLD, NEW = FakeModel("models/old", 1), FakeModel("models/new", 2)


@pytest.fixture
def files(tmp_path):
    """12 of three modalities, each with a number in it."""
    found = [(f"{i:02}.{name}", name) for i in range(4) for name in ("video", "audio", "image")]
    for number, (name, _) in enumerate(found):
        (tmp_path / name).write_text(str(number))
    return [(str(tmp_path / name), modality) for name, modality in found]


@pytest.fixture
def uri(tmp_path, files):
    uri = str(tmp_path / "store")
    store = Store.create(uri, Maker.of(OLD, 5, 5))
    embed_all(OLD, store, files)
    return uri


@pytest.fixture
def model():
    return FakeModel("models/new", 2)


def embed_all(model, store, files):
    for modality in ("video", "audio", "image"):
        list(upgrade.embed_files(model, store, modality, [p for p, m in files if m == modality]))


def contents(store):
    """All rows without their model, in order."""
    rows = []
    for (_, modality), told in sorted(store.files().items()):
        rows += store.vectors(told.sha256, modality)
    return [
        (row.path, row.modality, row.start_s, row.end_s, row.sha256, row.vector.tobytes())
        for row in rows
    ]


@pytest.fixture
def fresh(tmp_path, files):
    """What the new model makes of the files without an upgrade."""
    store = Store.create(tmp_path / "fresh", Maker.of(NEW, 5, 5))
    embed_all(NEW, store, files)
    return contents(store)


def test_upgrade_equals_a_fresh_build(uri, model, files, fresh):
    told = []
    done = upgrade.run(uri, model, progress=lambda count, total: told.append((count, total)))
    store = Store.open(uri)
    assert store.maker == Maker.of(NEW, 5, 5)
    assert contents(store) == fresh
    assert (done.files, done.left_out) == (12, {})
    assert (done.before.source, done.after.source) == ("models/old", "models/new")
    assert told[-1] == (12, 12)
    assert [table.state for table in store_lib.tables(uri)] == ["current", "previous"]


def test_upgrade_goes_on_after_a_kill_and_old_vectors_answer(uri, model, fresh):
    before = contents(Store.open(uri))

    def killed(*given):
        for count, step in enumerate(upgrade.embed_files(*given)):
            yield step
            if count == 1:
                raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            upgrade.run(uri, model, embed=killed)
        assert contents(Store.open(uri)) == before
    assert len(model.asked) == 2 + 4 + 2  # two sounds; a batch of stills and two videos
    upgrade.run(uri, model)
    assert len(model.asked) == len(set(model.asked)) == 12  # none was embedded twice
    assert contents(Store.open(uri)) == fresh


def test_files_that_come_and_go_meanwhile_are_followed(uri, model, tmp_path):
    def busy(*given):
        yield from upgrade.embed_files(*given)
        store = Store.open(uri)
        if len(store.files()) == 12:
            path = str(tmp_path / "late.image")
            (tmp_path / "late.image").write_text("99")
            embed_all(OLD, store, [(path, "image")])
            store.remove([(str(tmp_path / "00.video"), "video")])

    upgrade.run(uri, model, embed=busy)
    names = {path.rsplit("/", 1)[1] for path, _ in Store.open(uri).files()}
    assert "late.image" in names
    assert len(names) == 12


def test_files_that_cannot_be_read_any_more_are_left_out(uri, model, tmp_path):
    (tmp_path / "00.image").unlink()
    (tmp_path / "01.video").write_text("damaged")
    (tmp_path / "02.image").write_text("damaged")
    done = upgrade.run(uri, model)
    assert {(path.rsplit("/", 1)[1], m) for path, m in done.left_out} == {
        ("00.image", "image"),
        ("01.video", "video"),
        ("02.image", "image"),
    }
    assert done.left_out[str(tmp_path / "01.video"), "video"] == "is damaged; leave it out."
    kept = Store.open(uri).files()
    assert len(kept) == done.files == 9
    wanted = np.concatenate([NEW.encode("image", np.array([[11.0]]))])
    (row,) = Store.open(uri).vectors(kept[str(tmp_path / "03.image"), "image"].sha256, "image")
    np.testing.assert_array_equal(row.vector, wanted[0])


def test_store_stays_when_no_file_is_left(uri, model, files):
    for path, _ in files:
        store_lib.Path(path).unlink()
    with pytest.raises(errors.DataError, match=r"no file .* could be embedded again.*models/old"):
        upgrade.run(uri, model)
    assert Store.open(uri).maker.source == "models/old"


def test_previous_vectors_are_dropped_when_asked(uri, model):
    upgrade.run(uri, model, drop_previous=True)
    assert [table.maker.source for table in store_lib.tables(uri)] == ["models/new"]


def test_half_done_upgrade_is_abandoned_when_asked(uri, model):
    third = dataclasses.replace(Maker.of(NEW, 5, 5), digest="3" * 64, source="models/third")
    Store.upgrade(uri, third)
    with pytest.raises(errors.DataError, match=r"models/third.* is half done.*--abandon"):
        upgrade.run(uri, model)
    upgrade.run(uri, model, abandon=True)
    assert Store.open(uri).maker.source == "models/new"


def test_model_without_a_modality_of_the_store_is_refused(uri, model):
    model.modalities = ("image", "video")
    with pytest.raises(errors.ConfigError, match="holds audio, which models/new lacks"):
        upgrade.run(uri, model)
