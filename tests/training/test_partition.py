"""Which parameters train, and which of them decay, by the published rules."""

import importlib
import pathlib

import jax
import pytest

from lb_jax.core import paths
from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import config as train_config
from lb_jax.training import optimizer, recipe

CONFIGS = sorted(
    p.stem
    for p in (pathlib.Path(__file__).parents[2] / "configs").glob("*.py")
    if p.stem != "__init__"
)


def shapes(cfg):
    model = LanguageBind(recipe.build(cfg)[0])
    return jax.eval_shape(model.init, jax.random.key(0))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_lab_sheet_builds_its_model_and_partition(name):
    sheet = importlib.import_module(f"lb_jax.configs.{name}").get_config()
    sheet.data.sources.main.path = "x.json"
    cfg = train_config.from_config_dict(sheet)
    trainable, frozen = paths.partition(shapes(cfg), cfg.trainable)
    assert paths.flatten(trainable)
    assert set(paths.flatten(paths.overlay(trainable, frozen))) == set(paths.flatten(shapes(cfg)))


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
