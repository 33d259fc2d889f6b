"""ImageBind as `lb_jax.load` gives it: clips, temperatures, modalities, and no mix of families."""

import dataclasses
import math

import numpy as np
import pytest

import lb_jax
from lb_jax.convert import imagebind_files, weights, write
from lb_jax.core import errors, notices
from lb_jax.core.modalities import TEXT
from lb_jax.inference import api, golden, unit_vectors
from lb_jax.inference.embedder import Embedder
from lb_jax.media import clips as clips_lib
from lb_jax.media import specs
from lb_jax.media.clips import Clip, Views
from lb_jax.models.languagebind import input_shape
from lb_jax.search.maker import Maker
from tests.convert import imagebind_weights, small
from tests.media import media_files


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return imagebind_weights.write(tmp_path_factory.mktemp("imagebind") / "released")


@pytest.fixture(scope="module")
def model(released):
    return lb_jax.load(released, batch_size=2)


def items(model, name, *lead):
    rng = np.random.default_rng(1)
    if name == TEXT:
        ids = rng.integers(1, 50, (*lead, 8), np.int32)
        ids[:, -1] = 59
        return ids
    return rng.standard_normal((*lead, *input_shape(model.config, name)), np.float32)


def test_every_modality_embeds(model):
    assert model.family == "ImageBind"
    assert model.inputs == ("audio", "depth", "image", "imu", "thermal", "video", TEXT)
    for name in model.inputs:
        rows = model.encode(name, items(model, name, 3))
        assert rows.shape == (3, model.width)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["audio", "depth", "thermal", "video"])
def test_clips_of_an_item_are_the_mean_of_their_unit_vectors(model, name):
    x = items(model, name, 2, 3)
    each = np.stack([model.encode(name, one) for one in x])  # [2, 3, e]
    mean = each.mean(axis=1)
    found = model.encode(name, x)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1)[:, None], atol=1e-6)
    np.testing.assert_allclose(model.encode(name, x, unit=False), mean, atol=1e-6)
    scale = model.output_scale.get(name, 1.0)
    np.testing.assert_allclose(model.encode(name, x, scaled=True), scale * mean, rtol=1e-5)
    features = np.stack([model.features(name, one) for one in x]).mean(axis=1)
    np.testing.assert_allclose(model.features(name, x), features, atol=1e-5)


def test_stills_and_motion_have_no_clips(model):
    for name in ("image", "imu"):
        with pytest.raises(errors.ConfigError, match=rf"{name} takes floating point \[n, "):
            model.encode(name, items(model, name, 2, 3))


def test_arrays_of_another_form_are_refused(model):
    audio = items(model, "audio", 1)
    rows, columns, _ = input_shape(model.config, "image")
    for name, x in (
        ("audio", audio.transpose(0, 2, 1, 3)),
        ("audio", audio[:, :, :-4]),
        ("image", np.zeros((1, rows // 2, columns * 2, 3), np.float32)),
        ("depth", np.zeros((1, rows, columns, 3), np.float32)),
        ("video", np.zeros((1, 3, rows, columns, 3), np.float32)),
        ("imu", items(model, "imu", 1).transpose(0, 2, 1)),
    ):
        with pytest.raises(errors.ConfigError, match=f"{name} takes"):
            model.encode(name, x)


def test_outputs_have_temperatures_of_their_own(model):
    own = {
        name: min(math.exp(float(scale)), 100.0)
        for name, scale in weights.open_weights(model.source).part("logit_scale").items()
    }
    assert model.output_scale == pytest.approx(own)
    assert {"image", "video"}.isdisjoint(model.output_scale)
    a, b, text = (model.encode(n, items(model, n, 2)) for n in ("audio", "depth", TEXT))
    image = model.encode("image", items(model, "image", 2))
    for name, rows in (("audio", a), ("depth", b), ("image", image)):
        factor = own.get(name, 1.0) * own[TEXT]
        assert math.exp(model.logit_scale[name]) == pytest.approx(factor)
        expected = factor * (np.asarray(rows) @ np.asarray(text).T)
        np.testing.assert_allclose(model.logits(name, rows, text), expected, rtol=1e-4, atol=1e-4)
    expected = own["audio"] * own["depth"] * (np.asarray(a) @ np.asarray(b).T)
    np.testing.assert_allclose(model.logits("audio", a, b, "depth"), expected, rtol=1e-4, atol=1e-4)


def test_a_temperature_beyond_100_counts_as_100(tmp_path):
    found = dict(imagebind_weights.tensors())
    name = "modality_postprocessors.text.1.log_logit_scale"
    found[name] = np.full_like(found[name], 7)
    assert lb_jax.load(imagebind_weights.write(tmp_path, found)).output_scale[TEXT] == 100


def test_some_modalities_are_the_same_model(released, model):
    some = lb_jax.load(released, modalities=["depth", "imu"], batch_size=2)
    assert some.inputs == ("depth", "imu", TEXT)
    assert some.digest == model.digest
    x = items(model, "depth", 2)
    np.testing.assert_array_equal(some.encode("depth", x), model.encode("depth", x))
    with pytest.raises(errors.ConfigError, match="this model has no 'audio'; it has depth, imu"):
        some.encode("audio", items(model, "audio", 1))
    with pytest.raises(errors.ConfigError, match=r"choose some of them.*depth"):
        lb_jax.load(released, modalities=["dept"])
    with pytest.raises(errors.ConfigError, match="choose some of them"):
        lb_jax.load(released, modalities=[TEXT])


def test_a_clip_has_as_many_frames_as_its_patches(released):
    with pytest.raises(errors.ConfigError, match=r"frames=4: a clip of .* has 2 frames"):
        lb_jax.load(released, frames=4)


@pytest.mark.parametrize("to", ["safetensors", "orbax"])
def test_our_checkpoints_of_it_give_the_same_vectors(released, model, tmp_path, to):
    write.write(weights.open_weights(released), tmp_path / to, to)
    again = lb_jax.load(tmp_path / to, batch_size=2)
    assert (again.family, again.inputs) == (model.family, model.inputs)
    assert again.specs == model.specs
    for name in model.inputs:
        x = items(model, name, 2)
        np.testing.assert_array_equal(again.encode(name, x), model.encode(name, x))


def test_presets_are_the_family_s(released, model):
    assert model.specs["audio"].layout == "windows"
    reference = lb_jax.load(released, preset="reference")
    assert reference.specs["audio"].bounds == "published"
    assert reference.digest != model.digest


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A CLIP whose vectors are as long."""
    text = dataclasses.replace(small.WORDS, embed_dim=imagebind_weights.DIM)
    return lb_jax.load(small.clip_folder(tmp_path_factory.mktemp("clip") / "clip", text))


def test_vectors_of_two_families_do_not_compare(model, other):
    ours = model.encode(TEXT, items(model, TEXT, 2))
    theirs = other.encode(TEXT, items(model, TEXT, 2))
    assert ours.shape == theirs.shape
    both = "of {} and the model of {}"
    for one, told in (
        (model, ("LanguageBind", "ImageBind")),
        (other, ("ImageBind", "LanguageBind")),
    ):
        calls = (
            lambda: one.similarity(ours, theirs),  # noqa: B023
            lambda: one.similarity(theirs[:1], ours[1:]),  # noqa: B023
            lambda: one.logits("image", ours, theirs),  # noqa: B023
            lambda: one.fuse({"image": ours, TEXT: theirs}),  # noqa: B023
        )
        for call in calls:
            with pytest.raises(errors.ConfigError, match=both.format(*told)):
                call()
    assert model.similarity(np.asarray(ours), np.asarray(theirs)).shape == (2, 2)  # not known


def test_vectors_know_their_family(model):
    found = model.encode("depth", items(model, "depth", 2))
    assert isinstance(found, unit_vectors.Vectors)
    assert found[0].family == model.fuse({"depth": found}).family == "ImageBind"
    assert Maker.of(model, 2.0, 2.0).family == "ImageBind"


def test_scaled_vectors_are_imagebind_s_alone(other):
    with pytest.raises(errors.ConfigError, match="no temperature of their own"):
        other.encode(TEXT, np.array([[1, 2, 3]], np.int32), scaled=True)
    assert other.output_scale == {}


def test_open_weights_and_load_agree_on_what_it_is(released):
    assert isinstance(weights.open_weights(released), imagebind_files.ImageBindWeights)
    assert isinstance(lb_jax.load(released / "imagebind.pth"), api.Model)


@pytest.mark.parametrize("name", ["audio", "depth", "image", "imu", "thermal", "video"])
def test_files_of_every_modality_go_through(released, name):
    model = lb_jax.load(released, batch_size=4, depth_camera="kinect")
    item = golden.media(name)
    with notices.collected():
        one, both = model.embed(name, [item]), model.embed(name, [item, item])
        x = model.preprocess(name, [item])
    assert one.family == "ImageBind"
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(both, one[[0, 0]], atol=1e-6)
    np.testing.assert_allclose(model.encode(name, x), one, atol=1e-6)
    assert x.shape[1:] == specs.shape(model.specs[name])


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    """A model with CLIP's words."""
    folder = tmp_path_factory.mktemp("reading")
    return lb_jax.load(imagebind_weights.write(folder, cfg=imagebind_weights.READING))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("media") / "a.mp4"
    path.write_bytes(media_files.clip(40, sound=True))
    return path


def test_benchmarks_take_vectors_as_the_original_gives_them(reading, film, tmp_path):
    embedder = Embedder(reading, tmp_path)
    for name in ("video", "audio"):
        array = reading.preprocess(name, [film])
        expected = reading.encode(name, array, scaled=True)
        found = embedder.media(name, [Clip(film)]).rows[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    texts = embedder.texts(["a dog", "rain"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), reading.output_scale[TEXT], rtol=1e-5)


def test_the_views_of_a_benchmark_are_the_models_own(reading, film, tmp_path):
    embedder = Embedder(reading, tmp_path)
    own = embedder.media("video", [Clip(film)]).rows
    np.testing.assert_array_equal(embedder.media("video", [Clip(film)], Views()).rows, own)
    other = specs.STATISTICS["imagenet"]
    spec = dataclasses.replace(reading.specs["video"], **other)
    array = clips_lib.preprocess("video", Clip(film), spec)[None]
    found = embedder.media("video", [Clip(film)], Views(**other)).rows[:, 0]
    np.testing.assert_allclose(
        found, reading.encode("video", array, scaled=True), rtol=1e-5, atol=1e-5
    )


def test_batches_count_the_clips_of_items(reading, monkeypatch):
    size, spec = reading.batch_size, reading.specs["video"]
    clips = spec.clips * spec.crops
    assert reading.at_once("video") == size // clips
    assert reading.at_once("audio") == size // reading.specs["audio"].clips
    assert reading.at_once("image") == reading.at_once(TEXT) == size
    begun, encoded, most = [], [], []

    def read(*arguments):
        begun.append(1)
        most.append(len(begun) - len(encoded))
        return np.zeros(3)

    def encode(modality, array, **options):
        encoded.extend([1] * len(array))
        return np.zeros((len(array), reading.width), np.float32)

    monkeypatch.setattr(clips_lib, "preprocess", read)
    monkeypatch.setattr(reading, "encode", encode)
    Embedder(reading, None, threads=2).media("video", [Clip(str(i)) for i in range(100)])
    assert max(most) <= 2 * max(size // clips, 2) + 1
