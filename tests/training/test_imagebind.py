"""ImageBind's runs: towers of several forms, bound to pictures or to texts."""

import dataclasses

import jax
import numpy as np
import pytest

import lb_jax
from lb_jax.convert.weights import open_weights
from lb_jax.core import errors, paths, shipped
from lb_jax.media.specs import ONE_CLIP
from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import binding, data, imagebind_published, recipe, trial
from lb_jax.training.config import ModalityRecipe, SourceConfig, as_config_dict, from_config_dict


def initial(cfg):
    model = LanguageBind(recipe.build(cfg)[0])
    return model, recipe.initial_params(cfg, model)


def test_result_is_a_model_with_its_anchors_and_its_own_preprocessing(imagebind_trained):
    model = lb_jax.load(imagebind_trained)
    assert model.family == "ImageBind"
    assert model.modalities == ("audio", "depth", "image", "imu", "video")
    assert model.specs["audio"].clips == 3  # of training one was drawn
    assert model.specs["video"].clip_s is None
    assert model.output_scale["imu"] == pytest.approx(1 / 0.07, rel=1e-5)


def test_only_the_towers_that_train_change(imagebind_run, imagebind_trained):
    _, before = initial(imagebind_run)
    weights = open_weights(imagebind_trained)
    for part in ("base", "text"):
        kept, found = paths.flatten(before[part]), paths.flatten(weights.part(part))
        assert kept.keys() == found.keys()
        assert all(np.array_equal(kept[path], found[path]) for path in kept)
    changed = paths.flatten(weights.part("towers/imu"))
    start = paths.flatten(before["towers"]["imu"])
    assert not np.array_equal(changed["patch_embed/kernel"], start["patch_embed/kernel"])
    assert "bias_k" in "".join(start)
    assert "image" not in before["towers"] or not paths.flatten(before["towers"]["image"])
    scales = weights.part("logit_scale")
    assert scales["imu"] == pytest.approx(float(before["logit_scale"]["imu"]))
    assert scales["depth"] != pytest.approx(float(before["logit_scale"]["depth"]), abs=1e-6)


@pytest.fixture
def from_clip(imagebind_run):
    return dataclasses.replace(imagebind_run, init_from=shipped.DEMO)


def test_a_start_from_a_clip_sees_stills_as_that_does(from_clip):
    """But for the epsilon of the norms; the other towers are drawn (ImageBind spec 2.2)."""
    model, params = initial(from_clip)
    weights = open_weights(shipped.DEMO, merge_lora=True)
    clip = LanguageBind(weights.config)
    stills = np.random.default_rng(0).normal(size=(3, 48, 48, 3)).astype(np.float32)
    parts = {"base": weights.part("base"), "towers": {"image": weights.part("towers/image")}}
    expected = np.asarray(clip.encode(parts, "image", stills))
    np.testing.assert_allclose(model.encode(params, "image", stills), expected, atol=1e-4)
    twice = np.repeat(stills[:, None], 2, axis=1)
    np.testing.assert_allclose(model.encode(params, "video", twice), expected, atol=1e-4)
    text = float(weights.part("logit_scale")["image"])
    assert params["logit_scale"]["text"] == pytest.approx(text)
    fresh = recipe.drawn_params(from_clip, model)
    drawn = paths.flatten(jax.device_get(fresh["towers"]["imu"]))
    for path, leaf in paths.flatten(params["towers"]["imu"]).items():
        np.testing.assert_allclose(leaf, drawn[path], atol=1e-6)


def test_a_start_from_a_trained_model_goes_on(imagebind_run, imagebind_trained):
    cfg = dataclasses.replace(imagebind_run, init_from=str(imagebind_trained))
    model, params = initial(cfg)
    weights = open_weights(imagebind_trained)
    for name in ("imu", "depth", "audio"):
        found = paths.flatten(model.tower(params, name))
        stored = paths.flatten(weights.part(f"towers/{name}"))
        assert all(np.array_equal(found[path], stored[path]) for path in stored)
    assert params["logit_scale"]["depth"] == weights.part("logit_scale")["depth"]
    stated = {"depth": dataclasses.replace(cfg.modalities["depth"], temperature=0.5)}
    cfg = dataclasses.replace(cfg, modalities={**cfg.modalities, **stated})
    assert initial(cfg)[1]["logit_scale"]["depth"] == pytest.approx(np.log(2))


def test_stills_and_clips_stay_one_tower(imagebind_run):
    """They train as one: all of it is the base, and there is nothing else of either."""
    modalities = {"image": ModalityRecipe(), "video": ModalityRecipe(preprocess=ONE_CLIP)}
    cfg = dataclasses.replace(imagebind_run, modalities=modalities, beside={})
    for one in (cfg, dataclasses.replace(cfg, init_from=shipped.DEMO)):
        model, params = initial(one)
        assert not paths.flatten(params["towers"])
        assert paths.flatten(params["base"]).keys() == paths.flatten(model.shapes("image")).keys()


def test_pairs_are_of_one_row_and_of_no_text(imagebind_run, corpus_dir):
    readers = data.loaders(imagebind_run, recipe.build(imagebind_run)[1])
    sample = readers["imu"](3)
    assert sample.media.shape == (2000, 6)
    assert sample.text.shape == (2, 48, 48, 3)
    again = data.loaders(imagebind_run, recipe.build(imagebind_run)[1])["imu"](3)
    np.testing.assert_array_equal(sample.media, again.media)
    np.testing.assert_array_equal(sample.text, again.text)
    assert not [*readers["imu"].texts()]
    assert [*readers["audio"].texts()]


def test_a_step_takes_one_clip_of_a_sound(imagebind_run):
    shapes = binding.batch_shapes(imagebind_run, recipe.build(imagebind_run)[0])
    assert shapes["audio"]["media"].shape == (8, 1, 32, 204, 1)
    assert shapes["imu"]["media"].shape == (8, 2000, 6)
    assert shapes["imu"]["text"].shape == (8, 2, 48, 48, 3)
    assert shapes["audio"]["text"].shape == (8, 32)


def test_text_is_held_only_where_something_is_bound_to_it(imagebind_run):
    pictures = {name: one for name, one in imagebind_run.modalities.items() if name != "audio"}
    params = {"text": {"x": np.zeros(1, np.float32)}, "base": {"y": np.zeros(1, np.float32)}}
    assert "text" in binding.held(params, imagebind_run)
    assert "text" not in binding.held(
        params, dataclasses.replace(imagebind_run, modalities=pictures)
    )


def changed(cfg, name, **fields):
    one = dataclasses.replace(cfg.modalities[name], **fields)
    return dataclasses.replace(cfg, modalities={**cfg.modalities, name: one})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cfg: changed(cfg, "imu", anchor="vidoe"), r"unknown 'vidoe'.*video"),
        (lambda cfg: changed(cfg, "imu", anchor="imu"), r"'imu' itself; bind it to another"),
        (lambda cfg: changed(cfg, "imu", temporal=True), r"temporal and tube_size"),
        (
            lambda cfg: dataclasses.replace(cfg, beside={"audio": {}}),
            r"config\.beside\.audio: it is trained itself",
        ),
        (lambda cfg: dataclasses.replace(cfg, arch="tiny"), r"imu.*imagebind_huge"),
    ],
    ids=["no modality", "itself", "LanguageBind's", "trained", "LanguageBind"],
)
def test_wrong_settings_are_told(imagebind_run, change, said):
    with pytest.raises(errors.ConfigError, match=said):
        recipe.build(change(imagebind_run))


def test_a_corpus_without_pairs_is_told(imagebind_run, corpus_dir, tmp_path):
    files = sorted((corpus_dir / "scenes_imu").glob("*.csv"))[:3]
    films = sorted(corpus_dir.glob("*skip15/*.mp4"))[:2]
    rows = [f"{one},,a thing" for one in files] + [f",{one},a thing" for one in films]
    (tmp_path / "my.csv").write_text("\n".join(["imu,video,caption", *rows]))
    cfg = dataclasses.replace(
        imagebind_run,
        modalities={"imu": imagebind_run.modalities["imu"]},
        data=dataclasses.replace(
            imagebind_run.data, sources={"main": SourceConfig(str(tmp_path / "my.csv"))}
        ),
    )
    with pytest.raises(
        errors.DataError, match=r"no row with imu and video.*3 with imu, 2 with vid"
    ):
        data.loaders(cfg, recipe.build(cfg)[1])


def test_trial_of_a_recipe_starts_from_what_comes_with_the_package():
    for row in ("imu,whole", "depth", "audio,text", "video"):
        small = trial.of(as_config_dict(imagebind_published.run(row, "configs/imagebind.py")))
        cfg = from_config_dict(small)
        assert (cfg.arch, cfg.init_from) == ("imagebind_tiny", shipped.DEMO)
        assert [one.drop_path for one in cfg.modalities.values()] == [0.0]
        trainable, _ = paths.partition(initial(cfg)[1], cfg.trainable)
        assert paths.flatten(trainable)
