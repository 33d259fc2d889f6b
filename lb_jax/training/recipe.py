"""From a `TrainConfig` to the model it trains, its preprocessing and its starting parameters."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert.weights import open_weights, shared_leaves
from lb_jax.core import errors, paths
from lb_jax.core.modalities import MODALITIES
from lb_jax.data import specs
from lb_jax.models import adapt
from lb_jax.models.architectures import architecture
from lb_jax.models.languagebind import LanguageBind, ModelConfig, without_base
from lb_jax.models.vision import VisionConfig
from lb_jax.training.config import ModalityRecipe, TrainConfig


def preprocessing(cfg: TrainConfig) -> dict[str, Any]:
    """The preprocessing spec of every modality of the run."""
    return {
        name: specs.from_dict(name, {**image_side(cfg, name), **recipe.preprocess})
        for name, recipe in cfg.modalities.items()
    }


def image_side(cfg: TrainConfig, name: str) -> dict[str, int]:
    """The architecture's input side, for the modalities that are pictures."""
    return {} if name == "audio" else {"size": architecture(cfg.arch).vision.image_size[0]}


def input_size(spec: Any) -> tuple[int, int]:
    """Rows and columns of what a spec gives."""
    return (
        (spec.mel_bins, spec.target_frames)
        if isinstance(spec, specs.AudioSpec)
        else (spec.size, spec.size)
    )


def tower_config(cfg: TrainConfig, name: str, spec: Any) -> VisionConfig:
    """Shape of one modality's tower.

    The architecture's blocks, the spec's input size, the recipe's options.
    """
    recipe: ModalityRecipe = cfg.modalities[name]
    lora = recipe.lora
    if lora and lora.targets == type(lora).targets:
        lora = dataclasses.replace(lora, targets=MODALITIES[name].lora_targets)
    return dataclasses.replace(
        architecture(cfg.arch).vision,
        image_size=input_size(spec),
        frames=getattr(spec, "frames", 1),
        temporal=recipe.temporal,
        tube_size=recipe.tube_size,
        lora=lora,
    )


def build(cfg: TrainConfig) -> tuple[ModelConfig, dict[str, Any]]:
    """The model's shape and its preprocessing specs.

    Raises:
      ConfigError: for an unknown modality, architecture or spec field.
    """
    for name in cfg.modalities:
        if name not in MODALITIES:
            raise errors.ConfigError(
                f"config.modalities: unknown {name!r}; known: "
                f"{', '.join(MODALITIES)}.{errors.nearest(name, MODALITIES)}"
            )
    text = architecture(cfg.arch).text
    if cfg.text_length > text.context:
        raise errors.ConfigError(
            f"config.text_length is {cfg.text_length}; the text tower of {cfg.arch} takes at most "
            f"{text.context} tokens."
        )
    preprocess = preprocessing(cfg)
    towers = {name: tower_config(cfg, name, spec) for name, spec in preprocess.items()}
    return ModelConfig(towers, text), preprocess


def initial_params(cfg: TrainConfig, model: LanguageBind) -> paths.Tree:
    """Starting parameters, drawn from the seed or taken from `cfg.init_from`.

    With `init_from` every new tower is started from its image tower.

    Raises:
      CheckpointError: when the checkpoint cannot be read.
      ConfigError: when its towers are of another size.
    """
    fresh = model.init(jax.random.key(cfg.seed))
    fresh["logit_scale"] = {
        name: jnp.log(1 / jnp.float32(cfg.optim.init_temperature)) for name in cfg.batch_sizes
    }
    if not cfg.init_from:
        return fresh
    weights = open_weights(cfg.init_from)
    source = LanguageBind(weights.config)
    given = paths.unflatten(dict(shared_leaves(weights, np.float32)))
    if source.cfg.text != model.cfg.text:
        raise errors.ConfigError(
            f"config.arch={cfg.arch!r} does not fit {weights.where}: its text tower is "
            f"{source.cfg.text}; choose the architecture it was trained with."
        )
    base = paths.flatten(given["base"])
    towers = {}
    for name, tower in model.cfg.towers.items():
        origin = name if name in source.modalities else "image"
        if origin not in source.modalities:
            raise errors.ConfigError(
                f"{weights.where} has towers for {', '.join(source.modalities)}; {name} needs its "
                "own or an image tower to start from."
            )
        whole = adapt.adapt_tower(
            source.tower(given, origin), model.tower(fresh, name), source.cfg.towers[origin], tower
        )
        towers[name] = without_base(whole, base)
    return jax.tree.map(
        jnp.asarray,
        {
            "base": paths.unflatten(base),
            "towers": towers,
            "text": given["text"],
            "logit_scale": fresh["logit_scale"],
        },
    )
