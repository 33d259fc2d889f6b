"""MMV: graphs and their spaces, missing modalities, configs, whole models on several devices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.models import graphs, mmv, mmv_architectures
from lb_jax.models.convolution import state_of
from lb_jax.models.graphs import GraphConfig, HeadConfig
from lb_jax.models.mmv_architectures import MMV_ARCHITECTURES
from lb_jax.models.resnet import ResNetConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.models.words import WordsConfig
from lb_jax.training import sharding

HEADS = {
    "video_va": HeadConfig(6, inner=(7,), norm=True),
    "audio_va": HeadConfig(6),
    "coarse": HeadConfig(5, norm=True),
    "text_vat": HeadConfig(5),
    "audio_at": HeadConfig(4),
    "text_at": HeadConfig(4),
}
CFG = mmv.MmvConfig(
    GraphConfig("fac", HEADS, interaction="relu"),
    TSMConfig((8, 16), (1, 1), stem=4),
    ResNetConfig((8, 16), (1, 1), bottleneck=False, stem=4),
    WordsConfig(12, vocab=30, word_dim=6),
)
MODEL = mmv.Mmv(CFG)
RUN = jax.jit(MODEL.run)


@functools.cache
def params():
    return MODEL.init(jax.random.key(0))


def batch(items=8):
    keys = jax.random.split(jax.random.key(1), 3)
    return {
        "video": jax.random.uniform(keys[0], (items, 2, 16, 16, 3)),
        "audio": jax.random.normal(keys[1], (items, 20, 12, 1)),
        "text": jax.random.randint(keys[2], (items, 5), 0, 30),
    }


def there(items=8, **missing):
    """All items, but for those that are named by modality."""
    return {
        role: jnp.array([i not in missing.get(role, ()) for i in range(items)])
        for role in MODEL.modalities
    }


def test_each_modality_runs_alone():
    together = RUN(params(), batch()).embeddings
    assert {role: {*spaces} for role, spaces in together.items()} == {
        "video": {"va", "vat"},
        "audio": {"va", "vat", "at"},
        "text": {"vat", "at"},
    }
    for role, x in batch().items():
        alone = MODEL.run(params(), {role: x}).embeddings[role]
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            alone,
            together[role],
        )


def test_embeddings_in_a_space_have_length_one():
    found = MODEL.embed(params(), "text", batch()["text"], "vat")
    np.testing.assert_allclose(jnp.linalg.norm(found, axis=-1), np.ones(8), rtol=1e-5)
    raw = RUN(params(), batch()).embeddings["text"]["vat"]
    np.testing.assert_allclose(found, raw / jnp.linalg.norm(raw, axis=-1, keepdims=True), atol=1e-5)
    with pytest.raises(errors.ConfigError, match="text lies in vat; choose vat"):
        MODEL.embed(params(), "text", batch()["text"], "va")


def test_sounds_leave_the_statistics_of_the_coarse_space_alone_in_training():
    found = RUN(params(), batch(), there())
    assert "vat" not in found.embeddings["audio"]
    assert found.state["heads"]["coarse"]["norm"]["running"]["mean"]["counter"] == 1
    heads = {name: head for name, head in HEADS.items() if name != "audio_at"}
    graph = dataclasses.replace(CFG.graph, heads=heads, audio_text=True)
    model = mmv.Mmv(dataclasses.replace(CFG, graph=graph, video=None, text=None))
    given, counted = {"audio": batch()["audio"]}, {"audio": there()["audio"]}
    found = jax.jit(model.run)(model.init(jax.random.key(0)), given, counted)
    assert set(found.embeddings["audio"]) == {"va", "vat"}
    assert found.state["heads"]["coarse"]["norm"]["running"]["mean"]["counter"] == 1


def test_missing_items_change_nothing_of_the_others():
    missing = there(audio=(1, 4), text=(0,))
    found, given = RUN(params(), batch(), missing), batch()
    given["audio"] = given["audio"].at[jnp.array([1, 4])].set(jnp.nan)
    other = RUN(params(), given, missing)
    jax.tree.map(np.testing.assert_array_equal, found.state, other.state)
    for role, spaces in found.embeddings.items():
        for space, one in spaces.items():
            both = one, other.embeddings[role][space]
            kept = [x[missing[role]] for x in both]
            np.testing.assert_array_equal(*kept)


def test_only_statistics_come_back_and_they_overlay_the_old_ones():
    state = RUN(params(), batch(), there()).state
    assert set(paths.flatten(state)) == set(paths.flatten(state_of(params())[0]))
    counters = [leaf for path, leaf in paths.flatten(state).items() if path.endswith("counter")]
    assert counters
    assert all(leaf == 1 for leaf in counters)
    whole = paths.overlay(params(), state)
    assert set(paths.flatten(whole)) == set(paths.flatten(MODEL.shapes))


def test_eight_devices_train_as_one_does_in_value_gradient_and_statistics():
    mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    counted = there(audio=(1, 4), text=(0, 7))

    @jax.jit
    def step(params, batch, counted):
        state, trained = state_of(params)

        def loss(trained):
            found = MODEL.run(paths.overlay(state, trained), batch, counted)
            total = 0.0
            for role, spaces in found.embeddings.items():
                for one in spaces.values():
                    wave = jnp.cos(jnp.arange(one.size)).reshape(one.shape)
                    total += jnp.where(counted[role][:, None], jnp.tanh(one) * wave, 0).sum()
            return total, found.state

        return jax.value_and_grad(loss, has_aux=True)(trained)

    alone = step(params(), batch(), counted)
    placed = jax.device_put(params(), sharding.tree_shardings(params(), mesh))
    spread = jax.device_put((batch(), counted), sharding.batch_sharding(mesh))
    found = step(placed, *spread)
    (value, state), gradient = alone
    (other_value, other_state), other = found
    np.testing.assert_allclose(other_value, value, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), other_state, state
    )
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), other, gradient
    )


def test_configs_go_through_json():
    known = [
        one.model(graph) for one in MMV_ARCHITECTURES.values() for graph in mmv_architectures.GRAPHS
    ]
    for cfg in (CFG, *known):
        assert mmv.mmv_config(config_lib.to_dict(cfg)) == cfg
        assert hash(cfg) == hash(mmv.mmv_config(config_lib.to_dict(cfg)))


def test_a_model_may_lack_modalities():
    cfg = dataclasses.replace(CFG, audio=None)
    drawn = mmv.Mmv(cfg).init(jax.random.key(0))
    assert set(drawn) == {"video", "text", "heads"}
    assert set(drawn["heads"]) == {"video_va", "coarse", "text_vat", "text_at"}
    with pytest.raises(errors.ConfigError, match="without towers"):
        mmv.MmvConfig(CFG.graph)


def test_a_still_goes_through_its_tower_and_video_s_heads():
    flat = dataclasses.replace(CFG.video, shift=0.0)
    cfg = dataclasses.replace(CFG, video=flat, image=flat, audio=None)
    model = mmv.Mmv(cfg)
    assert model.modalities == ("video", "text", "image")
    given = {name: params()[name] for name in ("video", "text")}
    given["heads"] = {name: params()["heads"][name] for name in model.shapes["heads"]}
    assert set(given["heads"]) == {"video_va", "coarse", "text_vat", "text_at"}
    given["image"] = given["video"]
    images = batch()["video"][:, 0]
    run = jax.jit(model.run)
    as_film = run(given, {"video": images[:, None]}).embeddings["video"]
    for shaped in (images, images[:, None]):
        as_still = run(given, {"image": shaped}).embeddings["image"]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), as_still, as_film)
    assert config_lib.to_dict(cfg)["image"] == config_lib.to_dict(cfg)["video"]
    assert mmv.mmv_config(config_lib.to_dict(cfg)) == cfg
    assert "image" not in config_lib.to_dict(CFG)


def test_an_image_tower_of_another_width_than_video_s_is_named():
    with pytest.raises(errors.ConfigError, match="image features of 8 numbers"):
        dataclasses.replace(CFG, image=TSMConfig((8,), (1,), stem=4))


SHARED = GraphConfig("shared", {f"{role}_vat": HeadConfig(5) for role in MODEL.modalities})
DISJOINT = GraphConfig(
    "disjoint",
    {
        route.head: HeadConfig(5)
        for ways in graphs.GRAPHS["disjoint"].values()
        for route in ways.values()
    },
)


@pytest.mark.parametrize(
    ("graph", "one", "other", "space", "expected"),
    [
        (SHARED, "audio", "text", None, "vat"),
        (DISJOINT, "video", "audio", None, "va"),
        (DISJOINT, "text", "video", "vt", "vt"),
        (CFG.graph, "text", "audio", None, "vat"),
        (CFG.graph, "audio", "video", "va", "va"),
        (CFG.graph, "image", "audio", "va", "va"),
        (DISJOINT, "image", "text", None, "vt"),
        (SHARED, "image", "video", None, "vat"),
    ],
)
def test_modalities_are_compared_in_a_space_of_both(graph, one, other, space, expected):
    assert graphs.common_space(graph, one, other, space) == expected


@pytest.mark.parametrize(
    ("graph", "one", "other", "space", "said"),
    [
        (DISJOINT, "audio", "text", None, "audio lies in va; text lies in vt; take a model"),
        (DISJOINT, "audio", "text", "at", "'at' was asked for"),
        (CFG.graph, "audio", "video", None, "choose va or vat"),
        (CFG.graph, "text", "video", "va", "video lies in va and vat; choose vat"),
    ],
)
def test_what_cannot_be_compared_names_the_spaces(graph, one, other, space, said):
    with pytest.raises(errors.ConfigError, match=said):
        graphs.common_space(graph, one, other, space)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "fax"}, "Did you mean 'fac'"),
        ({"interaction": "gelu"}, "none, relu, bnrelu"),
        ({"heads": HEADS | {"vat": HeadConfig(3)}}, "unknown head 'vat'"),
        ({"heads": HEADS | {"audio_va": HeadConfig(3)}}, "in the space 'va'; make them equal"),
    ],
)
def test_a_graph_that_cannot_be_is_named(changed, said):
    with pytest.raises(errors.ConfigError, match=said):
        dataclasses.replace(CFG.graph, **changed)


def test_a_head_that_lacks_is_named():
    heads = {name: head for name, head in HEADS.items() if name != "coarse"}
    with pytest.raises(errors.ConfigError, match="no head 'coarse' for video"):
        mmv.Mmv(dataclasses.replace(CFG, graph=dataclasses.replace(CFG.graph, heads=heads)))
    with pytest.raises(errors.ConfigError, match="whole numbers from 1 on"):
        HeadConfig(0)
    with pytest.raises(errors.ConfigError, match="vocab 0"):
        WordsConfig(vocab=0)
