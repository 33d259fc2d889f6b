"""Dataclasses survive JSON, and wrong keys are named with the nearest right one."""

import dataclasses
import json

import pytest

from lb_jax.core import config, errors
from lb_jax.models.languagebind import ModelConfig
from lb_jax.models.lora import LoraConfig
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig

TOWER = VisionConfig(
    16, 2, 2, 32, patch_size=4, image_size=(8, 12), embed_dim=8, lora=LoraConfig(rank=2)
)
MODEL = ModelConfig(
    {"image": dataclasses.replace(TOWER, lora=None), "depth": TOWER},
    TextConfig(16, 1, 2, 32, embed_dim=8),
)


def test_model_config_survives_json():
    assert config.from_dict(ModelConfig, json.loads(json.dumps(config.to_dict(MODEL)))) == MODEL


def test_unknown_key_names_the_nearest():
    values = config.to_dict(MODEL)
    values["towers"]["depth"]["lora"]["rnak"] = 3
    with pytest.raises(errors.ConfigError, match=r"towers\.depth\.lora\.rnak.*Did you mean 'rank'"):
        config.from_dict(ModelConfig, values)


def test_missing_key_is_named():
    values = config.to_dict(MODEL)
    del values["text"]["width"]
    with pytest.raises(errors.ConfigError, match=r"missing key 'text\.width'"):
        config.from_dict(ModelConfig, values)
