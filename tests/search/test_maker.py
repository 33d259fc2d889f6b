"""Vectors of different makers are not mixed, and the reason is told."""

import dataclasses

import pytest

from lb_jax.core import errors
from lb_jax.inference import unit_vectors
from lb_jax.search import maker, query
from lb_jax.search.store import Store
from tests.search import stores
from tests.search.stores import MAKER, OTHER, TUM


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


def test_the_space_is_kept_with_the_vectors(uri):
    Store.create(uri, dataclasses.replace(MAKER, space="vat"))
    opened = Store.open(uri)
    assert opened.maker.loading["space"] == "vat"
    assert opened.maker.options == "--model models/first --space vat"
    assert opened.info()["models"][0]["space"] == "vat"
    other = dataclasses.replace(OTHER, source=MAKER.source, space="va")
    with pytest.raises(errors.DataError, match=r"made with space vat, not va.*or --space vat"):
        Store.create(uri, other)


def test_vectors_of_another_family_are_refused_by_name(store, uri):
    ours = dataclasses.replace(OTHER, family="ImageBind")
    with pytest.raises(errors.DataError) as refused:
        Store.create(uri, ours)
    for part in ("LanguageBind (models/first", "ImageBind (models/second", "two families"):
        assert part in str(refused.value)
    with pytest.raises(errors.DataError, match=r"vectors of MMV .* not of ImageBind"):
        raise errors.DataError(
            uri, maker.refusal(uri, dataclasses.replace(MAKER, space="va"), ours)
        )


def test_the_family_is_kept_with_the_vectors(uri):
    Store.create(uri, dataclasses.replace(MAKER, family="ImageBind"))
    opened = Store.open(uri)
    assert (opened.maker.family, opened.maker.kind) == ("ImageBind", "ImageBind")
    vector = unit_vectors.Vectors.of(stores.unit(1), "LanguageBind")[0]
    with pytest.raises(errors.ConfigError, match=r"of LanguageBind, and .* those of ImageBind"):
        opened.search(vector, 1)
    assert opened.search(unit_vectors.Vectors.of(stores.unit(1), "ImageBind")[0], 1) == []


def test_a_question_to_a_store_of_another_family_is_refused_by_name(uri):
    opened = Store.create(uri, dataclasses.replace(MAKER, family="ImageBind"))
    model = stores.FakeModel("models/other", 1)
    with pytest.raises(errors.DataError, match=r"vectors of ImageBind .* not of LanguageBind"):
        query.find(opened, model, stores.unit(1)[0])
