"""Captions of a store are those of the model, through kills, copies and files that changed."""

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from unittest import mock

import pytest

from lb_jax.core import errors
from lb_jax.inference import valor
from lb_jax.media import items
from lb_jax.media.clips import Clip
from lb_jax.search import bulk, captioning
from lb_jax.search.captions import Captions
from lb_jax.search.store import Store
from tests.inference import fake, valor_models
from tests.media import media_files
from tests.search import runs

QUIET = {"shown": False, "workers": 1}


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    folder = valor_models.save(tmp_path_factory.mktemp("valor") / "writer")
    return valor.load(folder, batch_size=2)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A film with sound, a silent one, a sound, a picture and a depth map."""
    folder = tmp_path_factory.mktemp("media")
    content = {
        "loud.mp4": media_files.clip(40, sound=True),
        "silent.mp4": media_files.clip(20, rough=True),
        "rain.wav": media_files.sound(media_files.noise(32000)),
        "scene.png": media_files.picture(media_files.scene()),
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    fake.write(folder / "more", 2)  # a picture and depth
    return folder


@pytest.fixture
def store(media, tmp_path):
    bulk.run([media], fake.Fake(), tmp_path / "store", window_s=1.0, **QUIET)
    return Store.open(tmp_path / "store")


def written(store):
    """(file name, modality, start) -> caption."""
    texts = store.captions().of({one.sha256 for one in store.windows()})
    return {
        (Path(one.path).name, one.modality, one.start_s): texts[key]
        for one in store.windows()
        if (key := (one.sha256, one.modality, one.start_s)) in texts
    }


def test_each_window_has_the_caption_of_the_model(store, writer, media):
    done = captioning.fill(store, writer, **QUIET)
    found = written(store)
    assert (done.written, done.there, done.reasons) == (len(found), 0, {})
    assert {one.modality for one in store.windows()} == {"audio", "depth", "image", "video"}
    expected = {}
    for one in store.windows():
        if one.modality != "depth":
            item = Path(one.path)
            if one.start_s is not None:
                item = Clip(item, one.start_s, one.end_s)
            name = Path(one.path).name, one.modality, one.start_s
            is_past = one.modality == "video" and one.start_s > 0  # its sound has ended by then
            (expected[name],) = writer.caption("tv" if is_past else one.modality, item)
    assert found == expected
    assert len([key for key in found if key[:2] == ("loud.mp4", "video")]) > 1
    again = captioning.fill(store, writer, **QUIET)
    assert (again.written, again.there) == (0, len(found))
    assert "0 captions" in again.told()


def test_a_run_that_was_stopped_goes_on(store, writer, monkeypatch):
    add, added = Captions.add, []

    def killed(captions, rows, who):
        if added:
            raise KeyboardInterrupt
        add(captions, rows, who)
        added.extend(rows)

    with monkeypatch.context() as patched:
        patched.setattr(Captions, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            captioning.fill(store, writer, commit_rows=1, **QUIET)
    assert 0 < len(written(store)) == len(added)
    done = captioning.fill(store, writer, **QUIET)
    assert done.there == len(added)
    assert done.written + done.there == len(written(store))


def test_another_captioner_is_refused_or_writes_all_anew(store, writer, tmp_path):
    captioning.fill(store, writer, **QUIET)
    count = len(written(store))
    other = valor.load(valor_models.save(tmp_path / "other", seed=1), batch_size=2)
    with pytest.raises(errors.DataError, match=r"holds captions of .*writer .*not of .*other"):
        captioning.fill(store, other, **QUIET)
    done = captioning.fill(store, other, anew=True, **QUIET)
    assert done.written == count
    assert store.captions().captioner.source == other.source
    assert captioning.fill(store, other, anew=True, **QUIET).there == count


def test_what_changed_or_went_has_no_caption_and_says_so(tmp_path, writer):
    media = tmp_path / "media"
    media.mkdir()
    for name in "abc":
        (media / f"{name}.png").write_bytes(fake.colour(seed=ord(name)))
    run = {"model": fake.Fake(), "uri": tmp_path / "store", **QUIET}
    bulk.run([media], **run)
    store = Store.open(tmp_path / "store")
    (media / "b.png").unlink()
    (media / "c.png").write_bytes(b"changed")
    done = captioning.fill(store, writer, **QUIET)
    assert done.written == 1
    assert sorted(Path(path).name for path in done.reasons) == ["b.png", "c.png"]
    assert all("has changed since it was embedded" in why for why in done.reasons.values())
    assert "2 files without" in done.told()
    (media / "a.png").write_bytes(fake.colour(seed=99))
    (media / "c.png").write_bytes(fake.colour(seed=98))
    bulk.run([media], prune=True, **run)
    done = captioning.fill(store, writer, **QUIET)
    assert (done.written, len(store.captions())) == (2, 2)  # none of what is gone


def test_a_process_that_dies_costs_what_it_was_at(store, writer, monkeypatch):
    monkeypatch.setattr(captioning, "decode", deadly)
    done = captioning.fill(store, writer, **QUIET)
    assert {Path(path).name for path in done.reasons} == {"scene.png"}
    assert "the process that decoded it for a caption ended" in next(iter(done.reasons.values()))
    assert ("loud.mp4", "video", 0.0) in written(store)


def faulty(portion):
    """Hits an error that nobody foresaw at each picture."""
    if portion.windows[0].modality != "image":
        return DECODE(portion)
    with mock.patch.object(items, "preprocess", side_effect=AttributeError("no_such_thing")):
        return DECODE(portion)


def once(portion):
    """The same at one picture."""
    is_it = portion.windows[0].path.endswith("scene.png")
    return (faulty if is_it else DECODE)(portion)


def test_faults_of_ours_at_the_first_files_stop_a_run_and_keep_their_traceback(
    tmp_path, writer, monkeypatch
):
    media, uri = tmp_path / "media", tmp_path / "store"
    media.mkdir()
    (media / "0.wav").write_bytes(media_files.sound(media_files.noise(16000)))
    for number in range(1, 6):
        (media / f"{number}.png").write_bytes(fake.colour(seed=number))
    bulk.run([media], fake.Fake(), uri, window_s=1.0, **QUIET)
    store = Store.open(uri)
    with monkeypatch.context() as patched:
        patched.setattr(captioning, "decode", faulty)
        with pytest.raises(errors.InternalError, match="on the first 3 image files") as caught:
            captioning.fill(store, writer, **QUIET)
        assert "no_such_thing" in str(caught.value.__cause__)
    listed = runs.listed(tmp_path / "store.captions.quarantine.jsonl")
    assert [Path(row["path"]).name for row in listed] == ["1.png", "2.png", "3.png"]
    assert all(row["traceback"].startswith("Traceback (most recent") for row in listed)
    done = captioning.fill(store, writer, **QUIET)  # once it is mended
    assert (done.written + done.there, done.faults) == (6, 0)
    assert not done.listed.exists()


def test_a_fault_of_ours_among_files_that_are_used_is_counted(store, writer, monkeypatch):
    monkeypatch.setattr(captioning, "decode", once)
    done = captioning.fill(store, writer, **QUIET)
    assert done.faults == 1
    assert "1 file without, 1 of them by faults of lb_jax" in done.told()
    (row,) = runs.listed(done.listed)
    assert row["path"].endswith("scene.png")
    assert row["traceback"].startswith("Traceback (most recent")


DECODE = captioning.decode


def deadly(portion):
    """Dies of a picture."""
    if portion.windows[0].path.endswith("scene.png"):
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return DECODE(portion)


def test_hosts_share_the_windows(store, writer):
    for number in range(3):
        captioning.fill(store, writer, share=(number, 3), **QUIET)
    count = len(written(store))
    assert captioning.fill(store, writer, **QUIET).there == count == len(store.captions())


def test_a_process_that_died_before_a_portion_came_costs_none():
    with captioning._Pool(1) as pool:
        with pytest.raises(BrokenProcessPool):
            pool._processes.submit(os._exit, 1).result()
        portion = captioning.Portion(windows=(), views=())
        assert isinstance(pool._submitted(portion).exception(), BrokenProcessPool)
