"""Which parameters train, and which of them decay, by the published rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.core import errors, paths
from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import optimizer, recipe


def shapes(cfg):
    model = LanguageBind(recipe.build(cfg)[0])
    return jax.eval_shape(model.init, jax.random.key(0))


def test_lora_binding_trains_what_the_original_trains(tiny_run):
    trainable = set(paths.flatten(paths.partition(shapes(tiny_run), tiny_run.trainable)[0]))
    factors = {f"{p}_proj/lora_{x}" for p in ("q", "k", "v", "out") for x in "ab"}
    expected = {f"logit_scale/{name}" for name in tiny_run.modalities}
    for name in tiny_run.modalities:
        expected |= {
            f"towers/{name}/{leaf}"
            for leaf in ("class_embed", "post_norm/scale", "post_norm/bias", "proj/kernel")
        }
        attention = "temporal_attn" if name == "video" else "attn"
        expected |= {f"towers/{name}/blocks/{attention}/{leaf}" for leaf in factors}
    expected |= {
        f"towers/video/blocks/temporal_{leaf}" for leaf in ("embed", "norm/scale", "norm/bias")
    }
    assert trainable == expected


@pytest.mark.parametrize(
    ("path", "decays"),
    [
        ("towers/video/blocks/temporal_embed", True),
        ("towers/video/proj/kernel", True),
        ("towers/depth/blocks/attn/q_proj/lora_a", True),
        ("towers/depth/blocks/attn/q_proj/kernel", True),
        ("text/token_embed/embedding", True),
        ("towers/depth/blocks/attn/q_proj/bias", False),
        ("towers/depth/post_norm/scale", False),
        ("towers/depth/class_embed", False),
        ("base/patch_embed/kernel", False),
        ("logit_scale/depth", False),
        ("logit_bias/depth", False),
    ],
)
def test_decay_rule_is_the_published_one(path, decays):
    assert paths.match_one(optimizer.DECAY, path) is decays


def test_schedule_warms_up_then_falls_to_zero():
    schedule = optimizer.warmup_cosine(lr=2.0, warmup_steps=4, steps=12)
    assert [round(float(schedule(i)), 4) for i in (0, 1, 3, 4, 8, 12)] == [
        0.5,
        1.0,
        2.0,
        2.0,
        1.0,
        0.0,
    ]


def test_factors_multiply_the_update_of_their_parameters():
    tree = {"tower": {"lora_a": jnp.ones(3), "proj": jnp.ones(3)}}
    options = {"b1": 0.9, "b2": 0.98, "eps": 1e-6, "weight_decay": 0.2}
    rules = ((r".*/lora_a", 1.0), (r".*", 1e-3))
    updates = []
    for factors in ((), rules):
        transform = optimizer.make_optimizer(tree, lambda _: 0.5, lr_factors=factors, **options)
        state = transform.init(tree)
        for _ in range(2):  # Adam's own scale must not take the factor back
            update, state = transform.update(tree, state, tree)
        updates.append(update["tower"])
    plain, scaled = updates
    np.testing.assert_array_equal(scaled["lora_a"], plain["lora_a"])
    np.testing.assert_allclose(scaled["proj"], 1e-3 * plain["proj"], rtol=1e-6)
    assert (plain["proj"] < -0.5).all()  # with the decay: 0.5 * (1 + 0.2)


def test_factors_have_no_state():
    tree = {"a": jnp.ones(3)}
    options = {"b1": 0.9, "b2": 0.98, "eps": 1e-6, "weight_decay": 0.2}
    plain, scaled = (
        optimizer.make_optimizer(tree, lambda _: 1.0, lr_factors=factors, **options).init(tree)
        for factors in ((), ((".*", 0.5),))
    )
    assert jax.tree.structure(plain) == jax.tree.structure(scaled)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((("towers/.*", 2.0),), "lr_factors: no rule matches 'logit_scale/a'"),
        (((".*", 2.0), ("towers/b/.*", 1.0)), "lr_factors: rule 'towers/b/.*' matches nothing"),
        ((("towers/(.*", 2.0),), r"lr_factors: 'towers/\(\.\*' is no regular expression"),
    ],
)
def test_factors_that_do_not_fit_are_told(rules, message):
    tree = {"towers": {"a": {"kernel": 1}}, "logit_scale": {"a": 1}}
    with pytest.raises(errors.ConfigError, match=message):
        optimizer.scale_leaves(tree, rules)
