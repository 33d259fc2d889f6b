"""The parameter tree: one base for all, overlays that hold only what differs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.core import errors, paths
from lb_jax.models.adapt import adapt_tower, resize_matrix, resize_positions
from lb_jax.models.architectures import ARCHITECTURES, architecture
from lb_jax.models.languagebind import LanguageBind, ModelConfig, is_shared, unit
from lb_jax.models.lora import LoraConfig
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig

STILL = VisionConfig(16, 2, 2, 32, patch_size=4, image_size=(8, 8), embed_dim=8)
CLIP = dataclasses.replace(
    STILL, frames=4, temporal=True, lora=LoraConfig(rank=2, targets=r"blocks/temporal_attn/.*")
)
SOUND = dataclasses.replace(STILL, image_size=(8, 20), lora=LoraConfig(rank=2))
TUBES = dataclasses.replace(CLIP, tube_size=2)
MODEL = LanguageBind(
    ModelConfig(
        {"image": STILL, "video": CLIP, "audio": SOUND},
        TextConfig(16, 2, 2, 32, embed_dim=8, vocab=50),
    )
)


@pytest.fixture(scope="module")
def params():
    return MODEL.init(jax.random.key(0))


def test_base_is_stored_once(params):
    assert all(is_shared(path) for path in paths.flatten(params["base"]))
    for name in MODEL.modalities:
        assert not set(paths.flatten(params["towers"][name])) & set(paths.flatten(params["base"]))


def test_overlay_is_the_whole_tower(params):
    for name in (*MODEL.modalities, "text"):
        found = jax.tree.map(jnp.shape, MODEL.tower(params, name))
        assert found == jax.tree.map(lambda leaf: leaf.shape, MODEL.shapes(name))


def test_a_fully_tuned_tower_brings_everything(params):
    x = jnp.ones((2, 8, 8, 3))
    own = {"base": {}, "towers": {"image": MODEL.tower(params, "image")}}
    np.testing.assert_array_equal(MODEL.encode(own, "image", x), MODEL.encode(params, "image", x))


def test_what_has_no_direction_stays_zero_and_spoils_no_gradient():
    rows = np.array([[0, 0], [3, 4], [1e-30, 0]], np.float32)
    found = unit(jnp.asarray(rows))
    np.testing.assert_allclose(found, [[0, 0], [0.6, 0.8], [0, 0]], atol=1e-7)
    gradient = jax.grad(lambda x: (unit(x) * rows[::-1]).sum())(jnp.asarray(rows))
    assert np.isfinite(gradient).all()
    counted = jax.grad(lambda x: unit(x)[1].sum())(jnp.asarray(rows))
    np.testing.assert_array_equal(counted[0], 0)


def test_embeddings_are_unit_float32(params):
    vectors = MODEL.encode(params, "video", jax.random.normal(jax.random.key(1), (3, 4, 8, 8, 3)))
    assert vectors.dtype == jnp.float32
    np.testing.assert_allclose(jnp.linalg.norm(vectors, axis=-1), 1, atol=1e-6)


def test_a_tower_of_another_space_is_refused():
    with pytest.raises(errors.ConfigError, match="image projects to 8 dimensions and text to 9"):
        ModelConfig({"image": STILL}, TextConfig(16, 2, 2, 32, embed_dim=9))


@pytest.mark.parametrize(
    "target", [STILL, CLIP, SOUND, TUBES], ids=["same", "video", "audio", "tubes"]
)
def test_adapted_tower_has_the_wanted_structure(params, target):
    fresh = LanguageBind(ModelConfig({"image": target}, MODEL.cfg.text))
    drawn = fresh.tower(fresh.init(jax.random.key(1)), "image")
    adapted = adapt_tower(MODEL.tower(params, "image"), drawn, STILL, target)
    assert jax.tree.map(jnp.shape, adapted) == jax.tree.map(jnp.shape, drawn)


def test_time_attention_starts_as_the_spatial_one(params):
    fresh = LanguageBind(ModelConfig({"video": CLIP}, MODEL.cfg.text))
    drawn = fresh.tower(fresh.init(jax.random.key(1)), "video")
    blocks = adapt_tower(MODEL.tower(params, "image"), drawn, STILL, CLIP)["blocks"]
    np.testing.assert_array_equal(
        blocks["temporal_attn"]["v_proj"]["kernel"], blocks["attn"]["v_proj"]["kernel"]
    )
    np.testing.assert_array_equal(blocks["temporal_norm"]["scale"], blocks["norm1"]["scale"])
    np.testing.assert_array_equal(
        blocks["temporal_attn"]["v_proj"]["lora_a"],
        drawn["blocks"]["temporal_attn"]["v_proj"]["lora_a"],
    )
    assert not blocks["temporal_attn"]["v_proj"]["lora_b"].any()
    spread = float(jnp.std(blocks["temporal_embed"]))
    assert 0.5 < spread * CLIP.width**0.5 < 2  # as the original draws it, at any width


def test_a_tube_starts_with_the_still_kernel_in_its_first_frame(params):
    fresh = LanguageBind(ModelConfig({"video": TUBES}, MODEL.cfg.text))
    adapted = adapt_tower(
        MODEL.tower(params, "image"),
        fresh.tower(fresh.init(jax.random.key(1)), "video"),
        STILL,
        TUBES,
    )
    kernel = adapted["patch_embed"]["kernel"]
    np.testing.assert_array_equal(kernel[0], params["base"]["patch_embed"]["kernel"])
    assert not kernel[1:].any()


def test_resizing_to_the_same_grid_changes_nothing():
    np.testing.assert_allclose(resize_matrix(5, 5), np.eye(5), atol=1e-12)


def test_resizing_keeps_the_class_row_and_constants():
    table = jnp.concatenate([jnp.full((1, 3), 9.0), jnp.full((16, 3), 2.0)])
    resized = resize_positions(table, (4, 4), (2, 7))
    np.testing.assert_allclose(resized[0], 9.0)
    np.testing.assert_allclose(resized[1:], 2.0, rtol=1e-6)
    assert resized.shape == (15, 3)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_sizes(name):
    cfg = architecture(name)
    assert cfg.vision.width % cfg.vision.heads == 0
    assert cfg.vision.embed_dim == cfg.text.embed_dim


@pytest.mark.parametrize(
    ("name", "parameters"), [("ViT-L/14", 427_616_513), ("ViT-H/14", 986_109_441)]
)
def test_full_size_parameter_counts_are_the_published_ones(name, parameters):
    cfg = architecture(name)
    model = LanguageBind(ModelConfig({"image": cfg.vision}, cfg.text))
    shapes = jax.tree.leaves([model.shapes("image"), model.shapes("text")])
    assert sum(leaf.size for leaf in shapes) + 1 == parameters  # and the logit scale


def test_unknown_architecture_names_the_nearest():
    with pytest.raises(errors.ConfigError, match="Did you mean 'ViT-L/14'"):
        architecture("ViT-L-14")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lora": LoraConfig(2, targets="foo")}, "lora.targets of depth is 'foo'.*attn/q_proj"),
        ({"heads": 3}, "width 16 does not split into 3 heads"),
        ({"heads": 0}, "0 heads"),
        ({"tube_size": 3}, "1 frames do not split into tubes of 3"),
    ],
)
def test_a_tower_that_cannot_be_is_refused(wrong, message):
    text = TextConfig(16, 2, 2, 32, embed_dim=8, vocab=50)
    with pytest.raises(errors.ConfigError, match=message):
        LanguageBind(ModelConfig({"depth": dataclasses.replace(STILL, **wrong)}, text))


@pytest.mark.parametrize(
    ("source", "target"), [((16, 16), (8, 74)), ((4, 4), (3, 7)), ((7, 5), (5, 7))]
)
def test_position_tables_are_resized_as_torch_does(source, target):
    torch = pytest.importorskip("torch")
    rows = 1 + source[0] * source[1]
    table = np.random.default_rng(0).standard_normal((rows, 6)).astype(np.float32)
    grid = torch.from_numpy(table[1:]).reshape(1, *source, -1).permute(0, 3, 1, 2).double()
    options = {"mode": "bicubic", "antialias": True, "align_corners": False}
    resized = torch.nn.functional.interpolate(grid, target, **options)
    expected = resized[0].permute(1, 2, 0).reshape(-1, 6).numpy()
    ours = resize_positions(jnp.asarray(table), source, target)
    np.testing.assert_array_equal(ours[0], table[0])
    np.testing.assert_allclose(ours[1:], expected, atol=2e-6)


def test_shapes_are_told_without_a_program(monkeypatch):
    """A key with a value is one that was compiled, which a first load would pay for."""
    made, usual = [], jax.random.key

    def key(seed, **options):
        made.append(usual(seed, **options))
        return made[-1]

    monkeypatch.setattr(jax.random, "key", key)
    text = TextConfig(width=16, depth=1, heads=2, mlp_dim=40, embed_dim=8, vocab=21, context=9)
    tower = VisionConfig(
        width=16, depth=1, heads=2, mlp_dim=40, patch_size=4, image_size=(8, 8), embed_dim=8
    )
    LanguageBind(ModelConfig({"image": tower}, text))
    assert made
    assert all(isinstance(one, jax.core.Tracer) for one in made)
