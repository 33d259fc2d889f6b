"""MMV models like the others: spaces, vectors, what is read beside the weights, what is refused."""

import dataclasses
import pickle

import jax
import numpy as np
import pytest

import lb_jax
from lb_jax.convert import mmv_files
from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.inference import features, mmv, opening, unit_vectors
from lb_jax.inference.embedder import Embedder
from lb_jax.media import passes, specs
from lb_jax.media.clips import Clip
from lb_jax.models.mmv import Mmv
from lb_jax.text import words
from tests.inference import mmv_models
from tests.inference.mmv_models import CFG, save, without
from tests.media import media_files

CLIP, SOUND = media_files.clip(), media_files.sound(media_files.noise(8000))
ONE = {"devices": jax.local_devices()[:1], "batch_size": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("mmv") / "checkpoint")


@pytest.fixture(scope="module")
def released(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("mmv") / "released"
    mmv_files.convert(folder, out, "hf")
    return out


@pytest.fixture(scope="module")
def model(folder):
    return lb_jax.load(folder, **ONE)


def test_a_model_is_loaded_for_the_space_that_all_its_towers_share(model, folder):
    assert repr(model) == (
        f"MmvModel({str(folder)!r}: audio, video, text; space vat, width 6, float32)"
    )
    fine = lb_jax.load(folder, space="va", **ONE)
    assert (model.inputs, fine.inputs) == (("audio", "video", TEXT), ("audio", "video"))
    assert (fine.space, fine.width) == ("va", 10)
    assert len({model.digest, fine.digest, lb_jax.load(folder, space="va", **ONE).digest}) == 2
    assert lb_jax.load(folder.parent, **ONE).digest == model.digest  # a work directory
    assert lb_jax.load(without_text(folder.parent), **ONE).space == "va"


def without_text(parent):
    path = parent / "silent"
    return path if path.exists() else save(path, without("text"))


def test_vectors_are_those_of_the_networks_and_of_length_one(model, folder):
    params = mmv_files.open_mmv(folder).params()
    array = model.preprocess("video", [CLIP])
    assert array.shape == (1, 4, 16, 16, 3)
    given = {
        "video": array,
        "audio": model.preprocess("audio", [SOUND]),
        TEXT: model.preprocess(TEXT, ["the dog barks"]),
    }
    found = jax.jit(Mmv(CFG).run)(params, given)
    for name, x in given.items():
        for space in model.spaces(name):
            raw = np.asarray(found.embeddings[name][space])
            unit = raw / np.linalg.norm(raw)
            np.testing.assert_allclose(model.encode(name, x, space=space), unit, atol=1e-5)
        if name != TEXT:
            pooled = np.asarray(found.features[name].pooled)
            np.testing.assert_allclose(model.features(name, x), pooled, atol=1e-5)
            assert model.feature_width(name) == pooled.shape[1]
    np.testing.assert_allclose(
        model.encode("video", array, unit=False), found.embeddings["video"]["vat"], atol=1e-5
    )


def test_files_sounds_and_texts_compare_in_one_space(model):
    film, sound = model.embed("video", [CLIP, CLIP]), model.embed("audio", SOUND)
    text = model.embed(TEXT, ["a cat", "the red car"])
    assert film.dtype == np.float32
    assert (film.space, film[:1].space, sound.space) == ("vat",) * 3
    assert model.similarity(film, text).shape == (2, 2)
    lengths = np.linalg.norm(np.concatenate([film, sound, text]), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    fused = model.fuse({"video": film, TEXT: text})
    assert fused.shape == (2, 6)
    assert model.logits("video", film, text).shape == (2, 2)
    moments = model.embed_long(CLIP, 0.2, modality="video")
    assert moments.vectors.shape[1] == 6
    assert not moments.is_interpolated


def test_a_long_text_is_the_mean_of_its_windows(model):
    long, parts = "red car rain falls", ["red car rain", "falls"]
    one, two = model.embed(TEXT, parts)
    expected = 3 * one + two
    np.testing.assert_allclose(
        model.embed(TEXT, long)[0], expected / np.linalg.norm(expected), atol=1e-5
    )


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda m: m.embed(TEXT, "a cat", space="va"), "text has no vector in the space 'va'"),
        (lambda m: m.embed("video", CLIP, space="vt"), "no vector in the space 'vt'.*choose va or"),
        (lambda m: m.embed("image", b""), "this model has no 'image'; it has video, audio, text"),
        (lambda m: m.encode("audio", np.zeros((1, 3, 4, 1))), r"audio takes .*\[n, 20, 16, 1\]"),
        (lambda m: m.encode(TEXT, np.full((1, 2), 999)), "whole numbers .*up to 3. below"),
    ],
)
def test_what_a_graph_has_not_is_refused_in_one_line(model, call, reason):
    with pytest.raises(errors.ConfigError, match=reason) as told:
        call(model)
    assert "\n" not in str(told.value)


def test_vectors_of_two_spaces_do_not_compare(model, tmp_path):
    fine, coarse = model.embed("video", CLIP, space="va"), model.embed("video", CLIP)
    with pytest.raises(
        errors.ConfigError, match=r"10 numbers of 'va' and 6 numbers of 'vat'.*text lies in vat"
    ):
        model.similarity(fine, coarse)
    with pytest.raises(errors.ConfigError, match="10 numbers and 6 numbers"):
        model.similarity(np.asarray(fine), np.asarray(coarse))
    with pytest.raises(errors.ConfigError, match="takes"):
        model.similarity(fine[0], coarse)
    apart = save(tmp_path / "m", mmv_models.CFG.__class__(mmv_models.DISJOINT, **mmv_models.TOWERS))
    with pytest.raises(
        errors.ConfigError,
        match=r"none is shared .*video lies in va and vt; audio lies in va",
    ):
        lb_jax.load(apart)
    with pytest.raises(errors.ConfigError, match=r"no space 'tv'.*Did you mean"):
        lb_jax.load(apart, space="tv")
    other = lb_jax.load(apart, space="vt", **ONE)
    assert other.modalities == ("video",)
    sound = other.embed("audio", SOUND, space="va")
    film = other.embed("video", CLIP)
    for call in (
        lambda: other.similarity(sound, film),
        lambda: other.logits("video", sound, film),
        lambda: other.match_probability("video", film, sound, "audio"),
        lambda: other.fuse({"audio": sound, "video": film}),
        lambda: other.fuse({"audio": sound[0], "video": film[0]}),
    ):
        with pytest.raises(errors.ConfigError, match=r"6 numbers of 'v.' and 6 numbers of 'v.'"):
            call()


def test_probabilities_are_of_the_space_that_was_calibrated(model):
    film, sound = (model.embed(*one, space="va") for one in (("video", CLIP), ("audio", SOUND)))
    with pytest.raises(errors.ConfigError, match="a lies in 'va' and the curves are of 'vat'"):
        model.match_probability("video", film, sound, "audio")


def test_fused_vectors_know_their_space(model):
    fine, coarse = model.embed("video", CLIP, space="va"), model.embed("video", CLIP)
    fused = model.fuse({"video": coarse, "audio": model.embed("audio", SOUND)})
    assert fused.space == "vat"
    for known in ({}, {"audio": coarse}):
        assert model.fuse({"video": np.asarray(coarse), **known}).space is None
    with pytest.raises(errors.ConfigError, match=r"fuse: vectors of 10 .*'va' and 6 .*'vat'"):
        model.fuse({"video": fine, "audio": coarse})
    with pytest.raises(errors.ConfigError, match=r"fuse: .* 10 numbers and 6 .*spaces are va \(10"):
        model.fuse({"video": np.asarray(fine), "audio": np.asarray(coarse)})


@pytest.mark.parametrize(
    "join", [np.concatenate, np.stack, np.vstack, np.hstack, lambda two: np.append(*two, axis=0)]
)
def test_vectors_of_one_space_are_joined_and_of_two_are_not(join):
    a, b = (unit_vectors.Vectors.of(np.eye(2, 3), "MMV", space) for space in ("va", "vt"))
    joined = join([a, a[:2]])
    np.testing.assert_array_equal(joined, join([np.eye(2, 3)] * 2))
    assert joined.space == "va"
    assert getattr(join([a, np.eye(2, 3)]), "space", None) is None
    with pytest.raises(errors.ConfigError, match=r"numbers of 'va' and . numbers of 'vt'"):
        join([a, b])


def test_pictures_lie_where_videos_do(tmp_path):
    still = dataclasses.replace(mmv_models.TOWERS["video"], shift=0.0)
    found = lb_jax.load(save(tmp_path / "m", dataclasses.replace(CFG, image=still)), **ONE)
    assert found.inputs == ("audio", "image", "video", TEXT)
    picture = media_files.picture(media_files.scene())
    assert found.spaces("image") == found.spaces("video") == ("va", "vat")
    assert found.preprocess("image", picture).shape == (1, 16, 16, 3)
    assert found.similarity(found.embed("image", picture), found.embed(TEXT, "a cat")).shape == (
        1,
        1,
    )


def test_a_released_file_is_the_same_model(model, released):
    for source in (released, released / mmv_files.RELEASED):
        assert lb_jax.load(source, **ONE).digest == model.digest


def test_what_states_no_preprocessing_takes_the_preset(tmp_path):
    found = lb_jax.load(save(tmp_path / "m", preprocess={}), **ONE)
    assert found.specs == {name: specs.preset(name, "mmv") for name in ("video", "audio", TEXT)}
    with pytest.raises(errors.CheckpointError, match=r"no field 'frame'.*Did you mean 'frames'"):
        lb_jax.load(save(tmp_path / "n", preprocess={"video": {"frame": 3}}))


def test_texts_without_words_are_refused_and_films_are_not(folder, released, tmp_path):
    file = tmp_path / mmv_files.RELEASED
    file.write_bytes((released / mmv_files.RELEASED).read_bytes())
    (tmp_path / mmv_files.PREPROCESS).write_bytes((released / mmv_files.PREPROCESS).read_bytes())
    found = lb_jax.load(file, **ONE)
    assert found.inputs == ("audio", "video")
    assert found.embed("video", CLIP).shape == (1, 6)
    beside = str(tmp_path / words.FILE)
    with pytest.raises(errors.ConfigError, match=rf"no words\.txt.*put it there as {beside}"):
        found.embed(TEXT, "a cat")
    words.Words([*words.SPECIAL, "cat"]).write(tmp_path)
    with pytest.raises(
        errors.CheckpointError, match=f"3 words, and the table has {len(mmv_models.WORDS)} rows"
    ):
        lb_jax.load(file)


def test_clips_may_be_of_other_frames_and_sizes(model, folder):
    assert model.any_size == ("video",)
    assert model.encode("video", np.ones((1, 2, 24, 20, 3), np.float32)).shape == (1, 6)
    few = lb_jax.load(folder, frames=2, **ONE)
    assert (few.frames, few.trained_frames, model.frames) == (2, 4, None)
    assert few.preprocess("video", CLIP).shape == (1, 2, 16, 16, 3)
    assert few.digest != model.digest


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"preset": "reference"}, "preset is 'reference'"),
        ({"merge_lora": True}, "is an MMV model, which has no option merge_lora; it has dtype"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"space": "v"}, "no space 'v'"),
        ({"space": 3}, "no space 3: video lies in"),
        ({"space": ["va"]}, r"no space \['va'\]: video lies in"),
        ({"preset": 3}, "preset is 3"),
        ({"preset": ["mmv"]}, r"preset is \['mmv'\]"),
        ({"dtype": 3}, "dtype is 3"),
        ({"batch_size": "8"}, "batch_size is '8'"),
        ({"frames": "8"}, "'8'"),
    ],
)
def test_options_that_it_has_not_are_refused(folder, options, reason):
    with pytest.raises(errors.ConfigError, match=reason):
        lb_jax.load(folder, **options)


def test_a_silent_film_has_no_sound(model):
    silent = media_files.clip()
    with pytest.raises(errors.DataError, match="has no audio track"):
        model.embed("audio", silent)


class Harmless:
    """Something that a pickle may ask to be called."""

    def __reduce__(self):
        return len, ("abc",)


@pytest.mark.parametrize("kind", ["malicious", "truncated", "foreign"])
def test_files_that_are_no_released_weights_are_one_line(released, tmp_path, kind):
    whole = (released / mmv_files.RELEASED).read_bytes()
    content, reason = {
        "malicious": (pickle.dumps(Harmless(), 4), r"holds builtins\.len"),
        "truncated": (whole[: len(whole) // 2], "damaged or truncated"),
        "foreign": (pickle.dumps({"model": {}}, 4), "no weights of MMV: expected a dict of params"),
    }[kind]
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(errors.CheckpointError, match=reason) as told:
        lb_jax.load(tmp_path / "x.pkl")
    assert "\n" not in str(told.value)
    assert [one.name for one in tmp_path.iterdir()] == ["x.pkl"]


def test_a_model_without_a_decoder_does_not_write(folder):
    with pytest.raises(errors.ConfigError, match="an encoder, which gives vectors"):
        opening.load_writer(folder)
    assert isinstance(opening.load_encoder(folder), mmv.MmvModel)


def test_clips_and_texts_are_embedded_and_kept(model, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(CLIP)
    found = Embedder(model, tmp_path / "cache")
    media = found.media("video", [Clip(path)])
    of_film = passes.arrays(Clip(path), model.specs["video"], mmv.FILM)
    assert of_film.shape == (4, 4, 16, 16, 3)
    expected = model.encode("video", of_film, unit=False).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(media.rows[0], expected, atol=1e-6)
    assert found.texts(["a cat", "a dog"]).shape == (2, 6)
    assert features.Features(model, None).media("video", [Clip(path)]).rows.shape == (1, 1, 16)
