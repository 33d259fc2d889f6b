"""A store gives back what was put in, finds what is nearest, and says what is wrong."""

import dataclasses
import multiprocessing
import os
import shutil

import lancedb
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import settings
from lb_jax.search import store as store_lib
from lb_jax.search.store import Filter, Store
from tests.search import stores
from tests.search.stores import MAKER, OTHER, WIDTH

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


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "media.index")


@pytest.fixture
def store(uri):
    return Store.create(uri, MAKER)


def nearest(vectors, query, k):
    return np.argsort(-(vectors @ query), kind="stable")[:k]


def test_rows_come_back_as_they_were_given(store, uri):
    video = stores.rows(stores.unit(3))
    still = stores.rows(stores.unit(1, 1), "/media/b.png", "image")
    store.add(video)
    store.add(still)
    again = Store.open(uri)
    assert again.maker == MAKER
    assert again.files() == {
        ("/media/a.mp4", "video"): store_lib.FileStamp("hash of /media/a.mp4", 1, 2),
        ("/media/b.png", "image"): store_lib.FileStamp("hash of /media/b.png", 1, 2),
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
        right = nearest(vectors, query, 20)
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
        expected = nearest(vectors, query, 10)
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
    monkeypatch.setattr(store_lib, "EXACT_NUMBERS", 10 * WIDTH)
    monkeypatch.setattr(store_lib, "PROBES", 1)
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
    monkeypatch.setattr(store_lib, "KEEP", store_lib.datetime.timedelta(0))
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


def test_removed_files_are_found_no_more(store):
    store.add(stores.rows(stores.unit(3), "/it's.mp4"))
    store.add(stores.rows(stores.unit(3), "/it's.mp4", "audio"))
    store.add(stores.rows(stores.unit(3), "/b.mp4"))
    store.remove([("/it's.mp4", "video"), ("/b.mp4", "audio")])
    assert sorted(store.files()) == [("/b.mp4", "video"), ("/it's.mp4", "audio")]
    store.remove([])
    assert len(store) == 6


def test_vectors_of_another_model_are_refused(store, uri):
    with pytest.raises(errors.DataError, match="models/first") as refused:
        Store.create(uri, OTHER)
    told = str(refused.value)
    for part in (uri, "aaaaaaaaaaaa", "models/second", "cccccccccccc", "lb-jax index upgrade"):
        assert part in told
    with pytest.raises(errors.DataError, match="aaaaaaaaaaaa"):
        store.add(stores.rows(stores.unit(1), maker=OTHER))
    with pytest.raises(errors.DataError, match=r"window 5 s, not 2\.5; .* -o, or --window 5\.$"):
        Store.create(uri, dataclasses.replace(MAKER, window_s=2.5))
    frames = dataclasses.replace(OTHER, source=MAKER.source, frames=4)
    remedy = r"or go over to it with `lb-jax index upgrade \S+ --model models/first --frames 4`"
    with pytest.raises(errors.DataError, match=f"frames: as trained, not 4; .*{remedy}"):
        Store.create(uri, frames)
    both = dataclasses.replace(frames, stride_s=1.0)
    with pytest.raises(errors.DataError, match=r"as trained, not 4, stride 5 s, not 1; .*--stride"):
        Store.create(uri, both)
    assert "4 frames" in str(frames)
    assert len(Store.create(uri, dataclasses.replace(MAKER, source="models/copy"))) == 0


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


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            "lance error: LanceError(IO): Generic N/A error: Wrapped error: Not found: Wrapped "
            "error: Not found: /s/a.lance, /rustc/2d/core/src/result.rs:1896:29, /rustc/x.rs:1:2",
            "Not found: /s/a.lance",
        ),
        ("External error: it broke at /usr/.cargo/x/y.rs:4\nBacktrace:\n 0: foo", "it broke"),
        ("LanceError(IO): " + "long " * 99, ("long " * 32).strip() + "…"),
    ],
)
def test_reason_of_lancedb_is_one_sentence(told, reason):
    assert store_lib._sentence(told) == reason


def test_full_disk_is_told(uri):
    told = "disk is full; make room and run the same command"
    with pytest.raises(errors.DataError, match=told), store_lib._told(uri):
        raise RuntimeError("lance error: IO: No space left on device (os error 28), /x/a.rs:1")


def test_check_finds_what_is_wrong(store, uri, tmp_path):
    def file(name):
        path = tmp_path / name
        path.write_text(name)
        row = stores.rows(stores.unit(1), str(path))[0]
        return dataclasses.replace(row, **dataclasses.asdict(store_lib.stamp(path)))

    names = ("gone", "changed", "touched", "sound", "twice")
    files = {name: file(name) for name in names}
    store.add(list(files.values()))
    store.add([files["twice"]])
    (tmp_path / "gone").unlink()
    (tmp_path / "changed").write_text("longer than before")
    os.utime(tmp_path / "touched", (1, 1))
    raw = lancedb.connect(uri).open_table(MAKER.name)
    for name, change in (
        ("sound", {"vector": (2 * stores.unit(1)[0]).tolist(), "start_s": 50.0}),
        ("sound", {"vector": [float("inf")] * WIDTH, "start_s": 55.0}),
        ("sound", {"model": "e" * 64, "start_s": 60.0}),
    ):
        raw.add([dataclasses.asdict(files[name]) | change])
    found = {(one.path and os.path.basename(one.path), one.what[:24]) for one in store.check()}
    assert found == {
        ("gone", "video file is gone (No s"),
        ("changed", "video file has changed s"),
        ("twice", "1 windows are there more"),
        ("sound", "2 vectors are not finite"),
        (None, "1 rows are of model eeee"),
    }
    assert all(one.is_serious for one in store.check())
    (gone,) = (one.what for one in store.check() if "gone" in one.what)
    assert gone.endswith(
        f"`lb-jax index build FOLDER -o {uri} --model models/first --prune` removes it"
    )
    assert store.repeated() == {(str(tmp_path / "twice"), "video")}


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
    assert [(one.what[:30], one.is_serious) for one in store._check_tables()] == [
        ("a table of models/second (cccc", False)
    ]
    new.make_current()
    assert (len(Store.open(uri)), Store.open(uri).maker) == (2, OTHER)
    assert len(Store.open(uri, MAKER.digest)) == 3
    assert store.search(vectors[0], 1)[0].cosine == pytest.approx(1)
    with pytest.raises(errors.DataError, match="nothing to upgrade"):
        Store.upgrade(uri, OTHER)
    Store.upgrade(uri, third).make_current()  # drops the table before the previous one
    states = [(table.maker.source, table.state) for table in store_lib.tables(uri)]
    assert states == [("models/third", "current"), ("models/second", "previous")]
    with pytest.raises(errors.DataError, match="cannot be used"):
        store.search(vectors[0], 1)
    assert store_lib.drop(uri, "previous") == [OTHER]
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
    assert [table.state for table in store_lib.tables(uri)] == ["current"]


def test_store_can_be_copied_as_files(store, uri, tmp_path):
    store.add(stores.rows(stores.unit(3)))
    shutil.copytree(uri, tmp_path / "copy")
    assert len(Store.open(tmp_path / "copy")) == 3


TUM = settings.to_json(settings.Settings("tum"))


def test_another_unit_of_depth_is_refused_by_name(store, uri):
    other = dataclasses.replace(OTHER, source=MAKER.source, settings=TUM, preprocessing="d" * 16)
    with pytest.raises(errors.DataError) as refused:
        Store.create(uri, other)
    for part in (
        "made with the settings of the model, not depth unit tum; they are not mixed",
        "-o, leave out --depth-unit tum, or go over",
        f"`lb-jax index upgrade {uri} --model models/first --depth-unit tum`",
    ):
        assert part in str(refused.value)


def test_settings_are_kept_with_the_vectors(uri):
    Store.create(uri, dataclasses.replace(MAKER, settings=TUM))
    opened = Store.open(uri)
    assert opened.maker.reading.depth_unit == "tum"
    assert opened.maker.options == "--model models/first --depth-unit tum"
    assert opened.info()["models"][0]["settings"] == {"depth_unit": "tum"}
    other = dataclasses.replace(OTHER, source=MAKER.source)
    with pytest.raises(errors.DataError, match="made with depth unit tum, not those of the model"):
        Store.create(uri, other)


def test_store_of_before_there_were_settings_goes_on(store, uri):
    lancedb.connect(uri).open_table(store_lib.MODELS).drop_columns(["settings"])
    store.add(stores.rows(stores.unit(3)))
    old = Store.create(uri, MAKER)
    assert (old.maker, len(old)) == (MAKER, 3)
    since = dataclasses.replace(OTHER, source=MAKER.source)
    with pytest.raises(errors.DataError, match="prepared otherwise since an update"):
        Store.create(uri, since)
    made = dataclasses.replace(OTHER, settings=TUM)
    new = Store.upgrade(uri, made)
    new.add(stores.rows(stores.unit(2), maker=made))
    new.make_current()
    assert Store.open(uri).maker == made
    assert [table.maker for table in store_lib.tables(uri)] == [made, MAKER]
