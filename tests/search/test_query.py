"""A query is the stated sum of its parts; moments are ranked and merged by the stated rules."""

import json
import types

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import calibration
from lb_jax.search import moments, query
from lb_jax.search.rows import Hit
from lb_jax.search.store import Filter, Store
from tests.search import stores
from tests.search.stores import MAKER, WIDTH


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "media.index", MAKER)


def asker(**curves):
    """A model that has these calibrations: `image="2 -1"` is scale and bias with text."""
    found = {}
    for name, numbers in curves.items():
        scale, bias = map(float, numbers.split())
        curve = calibration.Calibration(scale, bias, 9)
        found[",".join(sorted((name, "text")))] = types.SimpleNamespace(curve=curve)
    return types.SimpleNamespace(
        digest=MAKER.digest,
        source=MAKER.source,
        modalities=("audio", "image", "video"),
        calibration=types.SimpleNamespace(pairs=found, usual={}),
    )


def hits(*rows):
    """Of (file, start, end, cosine)."""
    return [Hit(path, "video", start, end, "", cosine) for path, start, end, cosine in rows]


def ranges(found):
    return [(one.path, one.start_s, one.end_s, one.cosine) for one in found]


def test_query_is_the_sum_of_its_weighted_parts(model, media_files_of):
    files = media_files_of("image", "audio")
    parts = {name: model.embed(name, [item])[0] for name, item in files.items()}
    parts["text"] = model.embed("text", ["a cat"])[0]

    def right(**weights):
        total = sum(weight * parts[name] for name, weight in weights.items())
        return total / np.linalg.norm(total)

    def asked(text, names, weights=None):
        return query.query_vector(model, text, {name: files[name] for name in names}, weights)

    np.testing.assert_array_equal(asked("a cat", []), parts["text"])
    np.testing.assert_array_equal(asked(None, ["audio"]), parts["audio"])
    for found, weights in (
        (asked("a cat", ["image"]), {"text": 1, "image": 1}),
        (asked("a cat", ["image"], {"text": 0.3}), {"text": 0.3, "image": 1}),
        (asked(None, ["image", "audio"], {"audio": -0.5}), {"image": 1, "audio": -0.5}),
        (asked("a cat", ["image", "audio"]), {"text": 1, "image": 1, "audio": 1}),
    ):
        np.testing.assert_allclose(found, right(**weights), atol=1e-6)
        assert found.dtype == np.float32


@pytest.fixture
def media_files_of(tmp_path):
    from tests.media import media_files

    draw = np.random.default_rng(0)
    content = {
        "image": ("a.png", media_files.picture(draw.integers(0, 256, (40, 40, 3), np.uint8))),
        "audio": ("a.wav", media_files.sound(media_files.noise(16000))),
    }

    def written(*names):
        for name in names:
            (tmp_path / content[name][0]).write_bytes(content[name][1])
        return {name: tmp_path / content[name][0] for name in names}

    return written


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a text, a file or both"),
        ({"text": "a", "weights": {"txet": 1}}, r"'txet', which is no part.*Did you mean 'text'"),
        ({"text": "a", "weights": {"text": np.nan}}, "weight of text is nan"),
        ({"text": "a", "weights": {"text": 0}}, "add up to zero"),
        ({"files": {"vidoe": b""}}, "no 'vidoe'"),
    ],
)
def test_query_that_asks_nothing_is_refused(model, given, message):
    with pytest.raises(errors.ConfigError, match=message):
        query.query_vector(model, **given)


def test_neighbouring_windows_become_one_range():
    found = moments.merged(
        hits(
            ("a", 10, 15, 0.9),
            ("a", 15, 20, 0.8),  # touches: joins
            ("b", 0, 5, 0.7),
            ("a", 2.5, 7.5, 0.6),  # apart: its own
            ("a", 0, 5, 0.5),  # overlaps that
            ("b", 5.001, 10, 0.45),  # times of frames: touches
            ("c", 0, 5, 0.1),
        ),
        weakest=0.1,
    )
    assert ranges(found) == [
        ("a", 10, 20, 0.9),
        ("b", 0, 10, 0.7),
        ("a", 0, 7.5, 0.6),
        ("c", 0, 5, 0.1),
    ]


def test_window_far_below_its_neighbour_does_not_join():
    found = moments.merged(
        hits(
            ("a", 10, 15, 0.9),
            ("a", 20, 25, 0.8),
            ("a", 7.5, 12.5, 0.4),  # overlaps, below (0.9 + 0.1) / 2: left out
            ("a", 15, 20, 0.4),  # touches both: stands for itself
            ("b", 0, 5, 0.1),
        ),
        weakest=0.1,
    )
    assert ranges(found) == [
        ("a", 10, 15, 0.9),
        ("a", 20, 25, 0.8),
        ("a", 15, 20, 0.4),
        ("b", 0, 5, 0.1),
    ]


def test_window_between_two_ranges_makes_them_one():
    found = moments.merged(hits(("a", 0, 5, 0.9), ("a", 10, 15, 0.8), ("a", 5, 10, 0.7)), 0.1)
    assert ranges(found) == [("a", 0, 15, 0.9)]


def test_stills_stay_as_they_are():
    found = moments.merged(hits(("a", None, None, 0.9), ("b", None, None, 0.9)), 0.9)
    assert ranges(found) == [("a", None, None, 0.9), ("b", None, None, 0.9)]
    assert moments.merged([], 0.0) == []


def axis_rows(cosines, path, modality):
    """Rows with these cosines to the first axis."""
    vectors = np.zeros((len(cosines), WIDTH), np.float32)
    vectors[:, 0] = cosines
    vectors[:, 1] = np.sqrt(1 - vectors[:, 0] ** 2)
    return stores.rows(vectors, path, modality)


AXIS = np.eye(WIDTH, dtype=np.float32)[0]


def test_modalities_are_ranked_by_probability_where_all_have_it(store):
    store.add(axis_rows([0.5], "/a.png", "image"))
    store.add(axis_rows([0.2], "/b.wav", "audio"))
    curves = {"image": "10 -6", "audio": "20 -2"}  # 0.5 and 0.2 are sigmoid(-1) and sigmoid(2)
    found = query.find(store, asker(**curves), AXIS)
    assert [one.path for one in found] == ["/b.wav", "/a.png"]
    assert [one.probability for one in found] == pytest.approx([0.880797, 0.268941], abs=1e-5)
    assert [one.cosine for one in found] == pytest.approx([0.2, 0.5], abs=1e-6)
    for model, asked in (
        (asker(image="10 -6"), "text"),
        (asker(**curves), None),
        (asker(), "text"),
    ):
        found = query.find(store, model, AXIS, asked=asked)
        assert [one.path for one in found] == ["/a.png", "/b.wav"]
    assert [one.probability for one in found] == [None, None]
    none = stores.FakeModel(MAKER.source, 1)
    none.digest = MAKER.digest
    assert [one.path for one in query.find(store, none, AXIS, k=1)] == ["/a.png"]


def test_find_gives_as_many_moments_as_asked_for(store):
    long = np.linspace(0.9, 0.8, 200)
    store.add(axis_rows(long, "/long.mp4", "video"))
    for i in range(5):
        store.add(axis_rows([0.5 - i / 100], f"/{i}.mp4", "video"))
    found = query.find(store, asker(), AXIS, 4)
    assert [one.path for one in found] == ["/long.mp4", "/0.mp4", "/1.mp4", "/2.mp4"]
    assert (found[0].start_s, found[0].end_s) == (0.0, 1000.0)
    windows = query.find(store, asker(), AXIS, 4, merge=False)
    assert [one.start_s for one in windows] == [0.0, 5.0, 10.0, 15.0]
    only = query.find(store, asker(), AXIS, 4, Filter(modalities=("video",), under="/3.mp4"))
    assert ranges(only) == [("/3.mp4", 0.0, 5.0, pytest.approx(0.47))]


def test_moments_are_json(store):
    store.add(axis_rows([0.5], "/a.png", "image"))
    (found,) = query.find(store, asker(), AXIS)
    assert json.loads(json.dumps(found.as_json())) == {
        "path": "/a.png",
        "modality": "image",
        "start_s": None,
        "end_s": None,
        "cosine": 0.5,
        "probability": None,
        "withheld": None,
    }


def test_store_of_another_model_is_not_searched(store):
    other = asker()
    other.digest, other.source = "f" * 64, "models/new"
    with pytest.raises(errors.DataError, match=r"models/first \(aaaaaaaaaaaa\).*models/new"):
        query.find(store, other, AXIS)
