"""What a loaded model gives: unit vectors that depend on the item alone."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from lb_jax.core import errors
from lb_jax.core.modalities import LANGUAGEBIND
from lb_jax.inference import api
from tests.media import media_files

RNG = np.random.default_rng(0)
PICTURES = [
    media_files.picture(RNG.integers(0, 256, (40 + 8 * i, 60, 3), np.uint8)) for i in range(3)
]
CLIPS = [media_files.clip(rotation=degrees) for degrees in (0, 90, 180)]
SOUNDS = [media_files.sound(media_files.noise(8000, seed)) for seed in range(3)]
DEPTHS = [
    media_files.picture(RNG.integers(500, 9000, (50, 60)).astype(np.uint16)) for _ in range(3)
]
TEXTS = ["a cat", "a dog barking", "rain on a tin roof, at night"]
ITEMS = {"image": PICTURES, "video": CLIPS, "audio": SOUNDS, "depth": DEPTHS, "text": TEXTS}

# Every comparison runs the same compiled batch, so nothing but the summation order could differ.
TOLERANCE = 1e-6


def test_model_names_what_it_holds(model):
    assert model.modalities == tuple(sorted(LANGUAGEBIND))
    assert set(model.logit_scale) == set(LANGUAGEBIND)
    assert set(model.specs) == {*LANGUAGEBIND, "text"}
    assert model.specs["video"].frames == 2
    assert model.specs["audio"].mel_bins == 32


def test_motion_is_refused_by_a_model_that_has_no_tower_of_it(model):
    with pytest.raises(errors.ConfigError, match=r"'imu'.*audio, depth, image, thermal"):
        model.embed("imu", (np.zeros((600, 6)), 100))


@pytest.mark.parametrize("modality", ITEMS)
def test_embeddings_are_unit_and_of_the_item_alone(model, modality):
    a, b, c = ITEMS[modality]
    together = model.embed(modality, [a, b, c])
    assert together.shape == (3, 64)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=TOLERANCE)
    assert np.abs(together[0] - together[1]).max() > 1e-3  # the items are told apart
    np.testing.assert_array_equal(model.embed(modality, [a, b, c]), together)
    np.testing.assert_allclose(model.embed(modality, [c, a]), together[[2, 0]], atol=TOLERANCE)
    np.testing.assert_allclose(model.embed(modality, b), together[1:2], atol=TOLERANCE)


def test_more_items_than_a_batch_equal_one_by_one(model):
    texts = [f"a picture of {n} birds" for n in range(api.BATCH_SIZE + 2)]
    many = model.embed("text", texts)
    for n in (0, api.BATCH_SIZE - 1, api.BATCH_SIZE, api.BATCH_SIZE + 1):
        np.testing.assert_allclose(many[n : n + 1], model.embed("text", texts[n]), atol=TOLERANCE)


@pytest.mark.parametrize("modality", ITEMS)
def test_many_devices_give_what_one_gives(model, alone, modality):
    assert model.batch_size == 8 * alone.batch_size == 8 * api.BATCH_SIZE
    array = model.preprocess(modality, ITEMS[modality])
    array = np.tile(array, (12, *[1] * (array.ndim - 1)))  # more than a device takes
    array[0] = array[1]
    found = model.encode(modality, array)
    np.testing.assert_allclose(found, alone.encode(modality, array), atol=TOLERANCE)
    np.testing.assert_allclose(found[3:6], found[-3:], atol=TOLERANCE)
    assert np.abs(found[0] - found[3]).max() > 1e-3


def test_more_items_than_all_devices_take_at_once(model, alone):
    texts = model.preprocess("text", [f"{n} birds" for n in range(model.batch_size + 3)])
    found = model.encode("text", texts)
    np.testing.assert_allclose(found, alone.encode("text", texts), atol=TOLERANCE)


@pytest.mark.parametrize("modality", ["depth", "text"])
def test_vectors_are_had_with_their_length(model, modality):
    array = model.preprocess(modality, ITEMS[modality])
    raw = model.encode(modality, array, unit=False)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert raw.dtype == np.float32
    assert np.abs(lengths - 1).min() > 0.01
    np.testing.assert_allclose(raw / lengths, model.encode(modality, array), atol=TOLERANCE)


def test_path_bytes_picture_and_array_give_the_same_vector(model, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(PICTURES[0])
    picture = Image.open(io.BytesIO(PICTURES[0]))
    forms = [path, str(path), PICTURES[0], picture, np.asarray(picture)]
    vectors = model.embed("image", forms)
    np.testing.assert_allclose(vectors, vectors[:1].repeat(len(forms), axis=0), atol=TOLERANCE)


def test_encode_takes_what_preprocess_gives(model):
    clips = model.preprocess("video", CLIPS)
    assert clips.shape == (3, 2, 48, 48, 3)
    np.testing.assert_array_equal(model.encode("video", clips), model.embed("video", CLIPS))


def test_no_items_give_no_rows(model):
    assert model.embed("image", []).shape == (0, 64)
    assert model.embed("text", []).shape == (0, 64)


def test_unknown_modality_names_the_nearest(model):
    with pytest.raises(errors.ConfigError, match=r"no 'vidoe'.*Did you mean 'video'"):
        model.embed("vidoe", CLIPS)


def test_an_empty_text_is_named_by_its_place_in_the_list(model):
    texts = ["a cat"] * (api.BATCH_SIZE + 3) + [" "]
    with pytest.raises(errors.DataError, match=rf"^text {api.BATCH_SIZE + 3}: is empty"):
        model.embed("text", texts)


def test_logits_count_each_modalitys_temperature_once(model):
    a, b = model.embed("image", PICTURES), model.embed("text", TEXTS[:2])
    cosine = model.similarity(a, b)
    for modality in ("video", "depth"):
        expected = np.exp(model.logit_scale[modality]) * cosine
        np.testing.assert_allclose(model.logits(modality, a, b), expected, rtol=1e-6)
    assert model.logit_scale["video"] != model.logit_scale["depth"]
    with pytest.raises(errors.ConfigError, match="temperatures belong to"):
        model.logits("text", np.ones((1, 3)), np.ones((1, 3)))


@pytest.mark.parametrize(
    ("modality", "array"),
    [
        ("depth", np.zeros((1, 48, 48, 3), np.uint8)),
        ("depth", np.zeros((1, 48, 40, 3), np.float32)),
        ("video", np.zeros((1, 48, 48, 3), np.float32)),
        ("text", np.zeros((1, 8), np.float32)),
        ("text", np.full((1, 8), 49408)),
        ("text", np.zeros((1, 78), np.int32)),
    ],
)
def test_array_that_preprocess_would_not_give_is_refused(model, modality, array):
    with pytest.raises(errors.ConfigError, match=f"encode: {modality} takes .*; got"):
        model.encode(modality, array)


def test_input_that_is_not_finite_is_refused(model):
    with pytest.raises(errors.CheckpointError, match="not finite"):
        model.encode("depth", np.full((1, 48, 48, 3), np.nan, np.float32))


def test_items_that_are_none_are_refused(model):
    with pytest.raises(errors.ConfigError, match="items are None"):
        model.embed("depth", None)


def test_batches_shrink_when_memory_runs_out(folder, monkeypatch):
    model = api.load(folder, batch_size=8)
    array = model.preprocess(
        "image", [media_files.picture(media_files.scene(48, 40 + i)) for i in range(11)]
    )
    expected, run, sizes = model.encode("image", array), model._programs["encode"], []

    def short_of_memory(params, modality, batch):
        sizes.append(batch.shape[0] // model._mesh.size)
        if sizes[-1] > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")
        return run(params, modality, batch)

    monkeypatch.setitem(model._programs, "encode", short_of_memory)
    with pytest.warns(UserWarning, match="does not hold"):
        found = model.encode("image", array)
    assert sizes[:3] == [8, 4, 2]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert model.batch_size == 2 * model._mesh.size
    none = np.zeros((64, 1))
    monkeypatch.setitem(model._programs, "encode", lambda *_: short_of_memory(None, None, none))
    with pytest.raises(jax.errors.JaxRuntimeError):
        model.encode("image", array)


def test_other_batch_sizes_give_the_same(model):
    array = model.preprocess("image", media_files.picture(media_files.scene()))
    size = model._mesh.size
    np.testing.assert_allclose(
        model.encode("image", array, batch_size=size), model.encode("image", array), atol=1e-5
    )
    with pytest.raises(errors.ConfigError, match="cannot be shared"):
        model.encode("image", array, batch_size=0)
