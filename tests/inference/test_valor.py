"""A VALOR model at work: the same words whatever lies beside, and one line for what is wrong."""

import json
import warnings

import numpy as np
import pytest

import lb_jax
from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import layouts, suite
from lb_jax.evaluation.benchmarks.table import BENCHMARKS, Settings
from lb_jax.inference import api, valor
from lb_jax.media.clips import Clip
from lb_jax.text import wordpiece
from tests.evaluation import miniatures
from tests.inference import valor_models
from tests.media import media_files

QUESTIONS = ["what is seen", "a dog", "rain on a roof of the red car"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return valor_models.save(tmp_path_factory.mktemp("valor") / "model")


@pytest.fixture(scope="module")
def model(folder):
    return lb_jax.load(folder, batch_size=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A silent film, one with sound, a sound, a picture."""
    root = tmp_path_factory.mktemp("media")
    content = {
        "silent.mp4": media_files.clip(rough=True),
        "loud.mp4": media_files.clip(sound=True),
        "rain.wav": media_files.sound(media_files.noise(16000)),
        "scene.png": media_files.picture(media_files.scene()),
    }
    for name, one in content.items():
        (root / name).write_bytes(one)
    return {name: root / name for name in content}


def test_a_folder_with_a_valor_model_is_one(model, folder):
    assert isinstance(model, valor.ValorModel)
    assert model.modalities == ("audio", "video")
    assert model.groups == ("tva", "tv", "ta")
    assert "tva, tv, ta" in repr(model)
    assert model.specs["video"].frames == 2
    assert model.specs["audio"].target_frames == 32
    assert model.temperature == pytest.approx(0.07)
    assert lb_jax.load(folder).digest == model.digest


def test_captions_go_by_what_a_film_has(model, files):
    silent, loud = files["silent.mp4"], files["loud.mp4"]
    said = model.caption("video", [loud, silent, files["scene.png"]])
    assert said[0] == model.caption("tva", loud)[0]
    assert said[1] == model.caption("tv", [silent])[0]
    assert said[2] == model.caption("image", str(files["scene.png"]))[0]
    assert model.caption("audio", files["rain.wav"]) == model.caption("ta", [files["rain.wav"]])
    both = {"video": silent, "audio": files["rain.wav"]}
    assert len(model.caption("tva", both)) == 1
    assert model.caption("tva", Clip(loud)) == [said[0]]
    assert model.caption("video", loud, group="tv") == model.caption("tv", loud)


def test_one_item_gives_what_it_gives_among_others(model, files):
    every = [files["loud.mp4"], files["silent.mp4"], files["scene.png"]]
    together = model.caption("tv", every, beam=2, longest=7)
    assert len(set(together)) > 1
    assert together == [model.caption("tv", one, beam=2, longest=7)[0] for one in every]
    assert all(len(text.split()) <= 7 for text in together)
    answers = model.answer(every[0], QUESTIONS)
    assert answers == [model.answer([every[0]], one)[0] for one in QUESTIONS]
    assert model.answer(every[1:], QUESTIONS[:2], group="tv", beam=2, longest=4)


def test_scores_are_those_of_each_pair(model, files):
    films = [files["loud.mp4"], {"video": files["silent.mp4"], "audio": files["rain.wav"]}]
    films += films[:1]
    scores = model.score(QUESTIONS, films)
    assert (scores.shape, scores.dtype) == ((3, 3), np.float32)
    np.testing.assert_array_equal(scores[:, 0], scores[:, 2])
    assert np.unique(scores[:, :2]).size == 6
    for row, text in enumerate(QUESTIONS):
        np.testing.assert_allclose(model.score(text, films[1])[0, 0], scores[row, 1], atol=1e-6)


@pytest.mark.parametrize("fusion", [True, False])
def test_a_coarse_model_has_vectors(tmp_path, files, fusion):
    cfg = valor_models.changed(alignment="coarse", fusion=fusion, task_prompts=False)
    model = lb_jax.load(valor_models.save(tmp_path / "m", cfg), batch_size=2)
    loud = files["loud.mp4"]
    rows = {"text": model.embed("text", QUESTIONS), "tv": model.embed("video", loud)}
    rows["ta"] = model.embed("audio", [loud])
    assert rows["text"].shape == (3, 8)
    for group in ("tv", "ta"):
        found = model.score(QUESTIONS, loud, group=group)
        np.testing.assert_allclose(found, rows["text"] @ rows[group].T, atol=1e-6)
    both = model.score(QUESTIONS, loud)
    summed = rows["text"] @ (rows["tv"] + rows["ta"]).T
    assert np.allclose(both, summed, atol=1e-6) is not fusion


def test_the_suite_asks_it(model, tmp_path):
    miniatures.write("msrvtt_caption", tmp_path)
    miniatures.write("msrvtt_qa", tmp_path)
    rows = {name: BENCHMARKS[name] for name in ("msrvtt_caption", "msrvtt_qa")}
    found = suite.run(None, tmp_path, rows, Settings(), writer=model)
    assert set(found.benchmarks) == set(rows)
    for name in rows:
        split = layouts.LAYOUTS[name].read(tmp_path / name)
        for result in found.benchmarks[name].written.values():
            assert set(result.ids) <= set(split.ids)
            assert len(result.lines) >= len(result.ids) > 0


BAD = {
    "is a film without a sound track, and ta needs audio": lambda m, f: m.caption(
        "ta", [f["loud.mp4"], f["silent.mp4"]]
    ),
    "is a film without a sound track, and tva needs video and audio": lambda m, f: m.score(
        "a dog", f["silent.mp4"]
    ),
    "has audio, and tva needs video and audio or tv needs video": lambda m, f: m.caption(
        "video", f["rain.wav"]
    ),
    "question 1: is empty after cleaning": lambda m, f: m.answer(f["rain.wav"], ["a dog", " ?"]),
    "longest is 24, and the decoder has positions for 23": lambda m, f: m.answer(
        f["rain.wav"], "a dog", longest=24
    ),
    "unknown group 'tav'; give one of .* Did you mean 'tv'": lambda m, f: m.caption("tav", []),
    "beams is 65; give at most 64": lambda m, f: m.caption("ta", f["rain.wav"], beam=65),
    "length_penalty is nan; give a finite": lambda m, f: m.caption(
        "ta", f["rain.wav"], length_penalty=float("nan")
    ),
    "2 items and 3 questions": lambda m, f: m.answer([f["rain.wav"]] * 2, QUESTIONS),
    "'video' is none; give one of tva": lambda m, f: m.score("a", f["loud.mp4"], group="video"),
    "has no one vector": lambda m, f: m.embed("video", f["loud.mp4"]),
    "does not exist": lambda m, f: m.caption("video", f["rain.wav"].with_name("no.mp4")),
}


@pytest.mark.parametrize("message", BAD)
def test_a_mistake_is_one_line(model, files, message):
    with pytest.raises(errors.LbJaxError, match=message) as caught:
        BAD[message](model, files)
    assert "\n" not in str(caught.value)


def test_a_question_that_is_cut_says_so(model, files):
    with pytest.warns(errors.DataWarning, match="question 0: has 40 tokens, of which 19 are read"):
        model.answer(files["rain.wav"], "dog " * 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.answer(files["rain.wav"], "dog " * 19)


def test_a_model_without_sound_has_no_group_of_it(tmp_path, files):
    model = lb_jax.load(valor_models.save(tmp_path / "m", valor_models.changed(audio=None)))
    assert model.groups == ("tv",)
    assert model.choices("video") == ("tv",)
    with pytest.raises(errors.ConfigError, match="no 'ta'; it has tv"):
        model.caption("ta", files["rain.wav"])


def test_what_cannot_be_loaded_is_one_line(tmp_path, folder):
    cases = {
        "no vocab.txt": (valor_models.save(tmp_path / "a", vocabulary=None), {}),
        "pieces, and .* the model has": (
            valor_models.save(tmp_path / "b", vocabulary=[*valor_models.VOCABULARY, "more"]),
            {},
        ),
        "no option merge_lora; it has dtype, preset": (folder, {"merge_lora": True}),
        "frames is 3, and the model has embeddings for 2": (folder, {"frames": 3}),
        "no preset 'original'": (folder, {"preset": "original"}),
        "batch_size is 0": (folder, {"batch_size": 0}),
    }
    for message, (where, options) in cases.items():
        with pytest.raises(errors.LbJaxError, match=message) as caught:
            lb_jax.load(where, **options)
        assert "\n" not in str(caught.value)


def test_an_encoder_is_asked_for_and_a_writer_is_there(folder):
    with pytest.raises(errors.ConfigError, match="VALOR") as caught:
        api.load(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_system_and_without_options_are_one_line(tmp_path):
    from lb_jax.convert import torch_writer

    for name, message in (("vast", "no weights of VALOR"), ("bare", "no log/hps.json")):
        (tmp_path / name / "ckpt").mkdir(parents=True)
        file = tmp_path / name / "ckpt" / "model_step_5.pt"
        torch_writer.write(file, [("vision.a", np.zeros(3, np.float32))], {})
        if name == "vast":
            (tmp_path / name / "log").mkdir()
            (tmp_path / name / "log" / "hps.json").write_text(json.dumps({"beam": 3}))
        for where in (tmp_path / name, file):
            with pytest.raises(errors.CheckpointError, match=message):
                lb_jax.load(where)


def test_the_vocabulary_goes_with_converted_weights(tmp_path, folder):
    from lb_jax.convert import valor_folder

    for to in valor_folder.FORMATS:
        valor_folder.convert(folder, tmp_path / to, to)
        assert (tmp_path / to / wordpiece.FILE).read_text() == (folder / wordpiece.FILE).read_text()
    assert isinstance(lb_jax.load(tmp_path / "hf"), valor.ValorModel)
