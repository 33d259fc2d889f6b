"""Several sources in one model: equal arrays once, one text tower, only what is asked for read."""

import dataclasses

import jax
import numpy as np
import pytest

import lb_jax
from lb_jax.convert import weights, write
from lb_jax.core import checkpoint, errors, paths
from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import recipe
from tests.inference import tiny


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("sharing") / "ours")


@pytest.fixture(scope="module")
def folders(ours):
    """Modality -> a folder as the original writes it, with the base in each of the five."""
    out = ours.with_name("hf")
    write.write(weights.open_weights(ours), out, "hf")
    return {name: out / name for name in tiny.RUN.modalities}


def random_input(model, name):
    rng, tower = np.random.default_rng(1), model.config.towers[name]
    frames = (tower.frames,) if tower.frames > 1 else ()
    return rng.standard_normal((2, *frames, *tower.image_size, 3), np.float32)


def unique_bytes(model):
    arrays = {id(leaf): leaf for leaf in jax.tree.leaves(model._parameters.parts)}
    return sum(leaf.nbytes for leaf in arrays.values())


def test_five_published_folders_are_the_model_they_came_from(ours, folders):
    one, five = lb_jax.load(ours), lb_jax.load(folders)
    assert five.modalities == one.modalities
    assert five.logit_scale == one.logit_scale
    for name in one.modalities:
        x = random_input(one, name)
        np.testing.assert_array_equal(five.encode(name, x), one.encode(name, x))


def test_equal_arrays_are_kept_once(ours, folders):
    one, five = lb_jax.load(ours), lb_jax.load(folders)
    for model in (one, five):
        for part in ("base", "text", *(f"towers/{name}" for name in model.modalities)):
            model._parameters.part(part)
    assert unique_bytes(five) == unique_bytes(one)


def test_frozen_time_attention_shares_with_the_spatial_it_was_copied_from(ours, tmp_path):
    params = paths.flatten(checkpoint.load_params(ours))
    for path in list(params):
        if "/temporal_attn/" in path and not path.endswith(("lora_a", "lora_b")):
            inside = path.removeprefix("towers/video/").replace("temporal_attn", "attn")
            params[path] = params[f"base/{inside}"]
    stored = checkpoint.load_config(ours)
    checkpoint.save_model(tmp_path / "m", paths.unflatten(params), stored)
    model = lb_jax.load(tmp_path / "m")
    base, video = model._parameters.part("base"), model._parameters.part("towers/video")
    block = video["blocks"]["temporal_attn"]["q_proj"]
    assert block["kernel"] is base["blocks"]["attn"]["q_proj"]["kernel"]
    assert block["lora_a"] is not base["blocks"]["attn"]["q_proj"]["kernel"]


def test_written_as_a_checkpoint_they_share_a_base_again(ours, folders, tmp_path):
    write.write(weights.open_weights(folders), tmp_path / "again", "safetensors")
    before, after = checkpoint.load_params(ours), checkpoint.load_params(tmp_path / "again")
    assert checkpoint.digest(after) == checkpoint.digest(before)


def test_only_the_asked_for_tower_is_read(folders, monkeypatch):
    opened = weights.open_weights(folders)
    asked = []
    read = type(opened).part

    def part(self, name, *rest, **options):
        asked.append(name)
        return read(self, name, *rest, **options)

    monkeypatch.setattr(type(opened), "part", part)
    model = lb_jax.load(folders)
    assert asked == []
    model.encode("depth", random_input(model, "depth"))
    assert asked == ["base", "towers/depth"]


def test_text_towers_that_differ_are_refused(folders, tmp_path):
    opened = weights.open_weights(folders["depth"])
    part = type(opened).part

    class Other(type(opened)):
        def part(self, name, *rest, **options):
            tree = part(self, name, *rest, **options)
            return jax.tree.map(lambda leaf: leaf + 1, tree) if name == "text" else tree

    opened.__class__ = Other
    write.write(opened, tmp_path / "other", "hf")
    with pytest.raises(errors.ConfigError, match=r"text towers of image .* and depth .* differ"):
        lb_jax.load({"image": folders["image"], "depth": tmp_path / "other"})


def test_a_mapping_names_the_use_of_an_image_tower(folders):
    model = lb_jax.load({"thermal": folders["image"]})
    assert model.modalities == ("thermal",)
    with pytest.raises(errors.ConfigError, match="weights for video, asked for as audio"):
        lb_jax.load({"audio": folders["video"]})


@pytest.mark.parametrize("to", ["hf", "open_clip"])
def test_training_starts_from_a_published_base(ours, tmp_path, to):
    """From a CLIP folder every modality starts as it does from our own checkpoint of it."""
    opened = weights.open_weights(ours)
    image = {"image": opened.config.towers["image"]}
    opened.config = dataclasses.replace(opened.config, towers=image)
    opened.preprocess = {"image": opened.preprocess["image"]}
    write.write(opened, tmp_path / "base", to)
    write.write(opened, tmp_path / "ours", "safetensors")
    trees = []
    for folder in (tmp_path / "base", tmp_path / "ours"):
        run = dataclasses.replace(tiny.RUN, init_from=str(folder))
        model = LanguageBind(recipe.build(run)[0])
        trees.append(paths.flatten(recipe.initial_params(run, model)))
    assert trees[0].keys() == trees[1].keys()
    for path, leaf in trees[0].items():
        np.testing.assert_array_equal(leaf, trees[1][path], err_msg=path)


def test_a_folder_with_other_files_is_never_replaced(ours, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(errors.CheckpointError, match=r"holds thesis\.tex, which writing"):
        write.write(weights.open_weights(ours), tmp_path, "safetensors")
    assert (tmp_path / "thesis.tex").read_text() == "x"
