"""A store keeps whether a calibration fits what it holds; else nothing is probable."""

import json
import types

import lancedb
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation import calibrations, familiar
from lb_jax.evaluation.metrics import calibration
from lb_jax.search import fits, query
from lb_jax.search.store import Filter, Store
from tests.search import stores
from tests.search.stores import MAKER, WIDTH

AXIS = np.eye(WIDTH, dtype=np.float32)[0]
NAMES = ("audio", "image")


def around(count, place, seed=0):
    """Float32 [count, WIDTH], unit: near an axis."""
    near = 5 * np.eye(WIDTH, dtype=np.float32)[place] + stores.unit(count, seed)
    return near / np.linalg.norm(near, axis=1, keepdims=True)


def asker(place=0):
    """A model that was calibrated on vectors near an axis."""
    rows = {f"item{i}": row for i, row in enumerate(around(200, place, 7))}
    pair = calibrations.Pair(calibration.Calibration(9.0, -3.0, 99), 40, 41, 0.02, 0.9)
    found = calibrations.Calibrations(
        MAKER.digest,
        {},
        {calibrations.key(name, "text"): pair for name in NAMES},
        dict.fromkeys(NAMES, familiar.fit(rows)),
    )
    return types.SimpleNamespace(
        digest=MAKER.digest, source=MAKER.source, modalities=NAMES, calibration=found
    )


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "media.index")


def filled(uri, **places):
    """A store of 30 vectors for each modality, near an axis."""
    store = Store.create(uri, MAKER)
    for name, place in places.items():
        for i, vector in enumerate(around(30, place)):
            store.add(stores.rows([vector], f"/{name}{i}", name))
    return store


def test_what_fits_is_kept_and_told(uri):
    assert fits.keep(filled(uri, audio=0, image=0), asker()) is None
    told = json.loads(Store.open(uri).fit)
    assert set(told["modalities"]) == {"audio", "image"}
    assert (told["rows"], told["modalities"]["image"][1]) == (60, 30)
    found = query.find(Store.open(uri), asker(), AXIS)
    assert all(one.probability is not None and one.withheld is None for one in found)
    assert fits.line(told, MAKER.source).startswith("probabilities: the calibration fits ")


def test_half_that_does_not_fit_withholds_all(uri):
    told = fits.keep(filled(uri, audio=0, image=5), asker())
    assert told.startswith("30 of 30 image vectors are unlike")
    assert f"lb-jax calibrate --model {MAKER.source}" in told
    found = query.find(Store.open(uri), asker(), AXIS)
    assert {(one.probability, one.withheld) for one in found} == {(None, told)}
    assert fits.line(json.loads(Store.open(uri).fit), MAKER.source) == f"no probabilities: {told}"


def test_less_that_does_not_fit_withholds_itself(uri):
    store = filled(uri, audio=0, image=5)
    store.add(stores.rows(around(30, 0, 1), "/more.wav", "audio"))
    assert "30 of 30 image" in fits.keep(store, asker())
    found = query.find(Store.open(uri), asker(), AXIS, 40)
    assert {(one.modality, one.probability is None) for one in found} == {
        ("audio", False),
        ("image", True),
    }
    assert all((one.withheld is None) == (one.modality == "audio") for one in found)


def test_store_of_before_is_looked_at_when_it_is_searched(uri):
    store = filled(uri, image=5)
    lancedb.connect(uri).open_table("models").drop_columns(["fit"])
    opened = Store.open(uri)
    assert opened.fit == ""
    (found,) = query.find(opened, asker(), AXIS, 1)
    assert found.probability is None
    assert "image" in found.withheld
    assert Store.open(uri).fit == ""  # a search changes nothing
    fits.keep(store, asker())
    assert json.loads(Store.open(uri).fit)["modalities"]["image"] == [30, 30]


def test_it_is_looked_at_again_with_another_calibration_and_when_it_has_grown(uri):
    store = filled(uri, image=5)
    assert fits.keep(store, asker()) is not None
    assert fits.withheld(Store.open(uri), asker(5)) == {}
    many = [stores.rows([vector], f"/new{i}", "image") for i, vector in enumerate(around(90, 0, 1))]
    store.add([row for rows in many for row in rows])
    assert fits.withheld(Store.open(uri), asker()) == {}


def test_nothing_is_kept_and_withheld_without_a_calibration(uri):
    store, none = filled(uri, image=5), stores.FakeModel(MAKER.source, 1)
    assert (fits.keep(store, none), fits.withheld(store, none)) == (None, {})
    before = asker()
    before.calibration.usual.clear()  # as a file of before there was `usual`
    assert fits.withheld(store, before) == {}
    assert query.find(store, before, AXIS, 1)[0].probability is not None


def test_a_damaged_calibration_stops_searches_and_not_building(uri):
    class Damaged:
        @property
        def calibration(self):
            raise errors.CheckpointError("calibration.json: not valid JSON")

    store = filled(uri, image=0)
    assert fits.keep(store, Damaged()) is None
    with pytest.raises(errors.CheckpointError):
        fits.withheld(store, Damaged())


def test_a_file_that_asks_is_held_against_what_was_fitted_to(uri):
    store, model = filled(uri, audio=0, image=0), asker()
    pair = next(iter(model.calibration.pairs.values()))
    model.calibration.pairs["audio,image"] = pair
    known, foreign = around(1, 0, 3)[0], around(1, 5, 3)[0]
    for vector, asked, found in (
        (known, "audio", True),  # images by a sound
        (foreign, "audio", False),
        (foreign, "text", True),  # nothing is known of words
        (foreign, None, False),  # a mix has no curve at all
    ):
        told = query.find(store, model, vector, 4, Filter(modalities=("image",)), asked=asked)
        assert {one.probability is not None for one in told} == {found}, (asked, found)
        why = {one.withheld for one in told}
        if asked == "audio" and not found:
            assert len(why) == 1
            assert why.pop().startswith("the audio is unlike those that the calibration was fitted")
        else:
            assert why == {None}


def test_nothing_is_said_of_files_without_a_calibration():
    none = stores.FakeModel(MAKER.source, 1)
    assert fits.unlike(none, {"image": around(1, 5)}) is None


def test_blocks_share_the_places(uri):
    store = filled(uri, audio=5, image=0)
    found = query.find(store, asker(), AXIS, 5)
    assert [one.modality for one in found] == ["image"] * 3 + ["audio"] * 2  # the nearest first
    assert fits.is_grouped(found)
    for block in (found[:3], found[3:]):
        assert not fits.is_grouped(block)
        assert [one.cosine for one in block] == sorted((one.cosine for one in block), reverse=True)
    few = query.find(store, asker(), AXIS, 40)
    assert len([one for one in few if one.modality == "image"]) == 20
    assert query.find(store, asker(), AXIS, 1)[0].modality == "image"
