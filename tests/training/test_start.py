"""What a run starts from: the same function as its source, whatever LoRA either of them has."""

import dataclasses
import functools
import json
import shutil

import jax
import numpy as np
import pytest

from lb_jax.convert import write
from lb_jax.convert.weights import open_weights
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core import config as config_lib
from lb_jax.models.languagebind import LanguageBind
from lb_jax.models.lora import LoraConfig
from lb_jax.training import recipe
from lb_jax.training.config import ModalityRecipe
from tests.convert import imagebind_weights
from tests.inference import tiny


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("source") / "checkpoint")


def start(source, **recipes):
    """(model, starting parameters) of a run over these modalities."""
    cfg = dataclasses.replace(tiny.RUN, modalities=recipes, init_from=str(source))
    model = LanguageBind(recipe.build(cfg)[0])
    return model, recipe.initial_params(cfg, model)


def vectors(model, params, name):
    """Embeddings of random input."""
    tower = model.cfg.towers[name]
    frames = (tower.frames,) if tower.frames > 1 else ()
    media = np.random.default_rng(0).normal(size=(4, *frames, *tower.image_size, 3))
    return np.asarray(model.encode(params, name, media.astype(np.float32)))


@functools.cache
def original(source, name):
    """Embeddings that the source itself gives."""
    weights = open_weights(source)
    model = LanguageBind(weights.config)
    params = {one: weights.part(one) for one in ("base", f"towers/{name}")}
    return vectors(
        model, {"base": params["base"], "towers": {name: params[f"towers/{name}"]}}, name
    )


@pytest.mark.parametrize(
    "lora",
    [tiny.LORA, LoraConfig(rank=3), dataclasses.replace(tiny.LORA, alpha=2.0), None],
    ids=["same", "other rank", "other alpha", "none"],
)
@pytest.mark.parametrize("name", ["depth", "video"])
def test_run_starts_from_the_function_of_its_source(source, name, lora):
    one = dataclasses.replace(tiny.RUN.modalities[name], lora=lora)
    model, params = start(source, **{name: one})
    np.testing.assert_allclose(
        vectors(model, params, name), original(source, name), atol=2e-6, rtol=0
    )
    own = paths.flatten(params["towers"][name])
    goes_on = lora == tiny.LORA
    if lora:
        factors = [leaf for path, leaf in own.items() if path.endswith("lora_b")]
        assert all(bool(leaf.any()) is goes_on for leaf in factors)  # new ones start as nothing
        assert all(leaf.shape[-2] == lora.rank for leaf in factors)


def test_modality_without_a_tower_starts_from_the_image_tower(source, tmp_path):
    """Also where the towers' factors differ: one tower's do not get into another."""
    weights = open_weights(source)
    towers = {name: weights.config.towers[name] for name in ("image", "depth")}
    config = dataclasses.replace(weights.config, towers=towers)
    params = {"base": weights.part("base"), "text": weights.part("text")}
    params["towers"] = {name: weights.part(f"towers/{name}") for name in towers}
    params["logit_scale"] = {name: np.float32(1) for name in towers}
    preprocess = {name: weights.preprocess[name] for name in towers}
    checkpoint.save_model(
        tmp_path / "two",
        params,
        {"model": config_lib.to_dict(config), "preprocess": preprocess},
    )
    new = ModalityRecipe(lora=LoraConfig(rank=3))
    model, params = start(tmp_path / "two", depth=new, thermal=new)
    expected = {"depth": original(source, "depth"), "thermal": original(source, "image")}
    for name, one in expected.items():
        np.testing.assert_allclose(vectors(model, params, name), one, atol=2e-6, rtol=0)


@pytest.mark.parametrize("rank", [2, 3])
def test_run_starts_from_published_factors(source, tmp_path, rank):
    """From a LanguageBind folder as from our own checkpoint."""
    weights = open_weights(source)
    weights.config = dataclasses.replace(
        weights.config, towers={"depth": weights.config.towers["depth"]}
    )
    weights.preprocess = {"depth": weights.preprocess["depth"]}
    write.write(weights, tmp_path / "published", "hf")
    one = ModalityRecipe(lora=LoraConfig(rank=rank))
    model, params = start(tmp_path / "published", depth=one)
    np.testing.assert_allclose(
        vectors(model, params, "depth"), original(source, "depth"), atol=2e-6, rtol=0
    )


def test_tower_that_was_tuned_whole_keeps_its_own_blocks(source, tmp_path):
    weights = open_weights(source)
    whole = {name: weights.part(f"towers/{name}") for name in weights.config.towers}
    kernel = weights.part("base")["blocks"]["attn"]["q_proj"]["kernel"] + np.float32(0.1)
    whole["depth"] = paths.overlay(
        whole["depth"], {"blocks": {"attn": {"q_proj": {"kernel": kernel}}}}
    )
    params = {"base": weights.part("base"), "towers": whole, "text": weights.part("text")}
    params["logit_scale"] = weights.part("logit_scale")
    checkpoint.save_model(
        tmp_path / "tuned",
        jax.tree.map(np.asarray, params),
        {"model": config_lib.to_dict(weights.config), "preprocess": weights.preprocess},
    )
    both = {name: tiny.RUN.modalities[name] for name in ("thermal", "depth")}
    model, params = start(tmp_path / "tuned", **both)
    for name in both:
        np.testing.assert_allclose(
            vectors(model, params, name), original(tmp_path / "tuned", name), atol=2e-6, rtol=0
        )


def test_another_number_of_frames_is_told(source):
    clip = dataclasses.replace(tiny.RUN.modalities["video"], preprocess={"frames": 3})
    with pytest.raises(
        errors.ConfigError, match=r"as video does not fit the run: blocks/temporal_embed is \(3, 2"
    ):
        start(source, video=clip)


def changed(source, folder, change):
    """A copy of a checkpoint whose config a function changed."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    change(config["preprocess"])
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_run_prepares_pictures_as_its_source(source, tmp_path):
    other = changed(source, tmp_path / "a", lambda one: one["depth"].update(mean=[0.5, 0.5, 0.5]))
    one = tiny.RUN.modalities["depth"]
    with pytest.raises(
        errors.ConfigError, match=r'modalities\.depth\.preprocess \{"mean": \[0\.5, 0\.5, 0\.5\]\}'
    ):
        start(other, depth=one)
    preprocess = {**one.preprocess, "mean": (0.5, 0.5, 0.5)}
    start(other, depth=dataclasses.replace(one, preprocess=preprocess))


def test_run_does_not_start_from_texts_cleaned_otherwise(source, tmp_path):
    clean = {"clean": "canonicalize"}
    other = changed(source, tmp_path / "a", lambda one: one.update(text=clean))
    with pytest.raises(errors.ConfigError, match="takes texts cleaned by 'canonicalize'"):
        start(other, depth=tiny.RUN.modalities["depth"])


def test_run_does_not_start_from_another_family(tmp_path):
    other = imagebind_weights.write(tmp_path)
    with pytest.raises(errors.ConfigError, match=r"is of ImageBind, .* form than LanguageBind's"):
        start(other, depth=tiny.RUN.modalities["depth"])
