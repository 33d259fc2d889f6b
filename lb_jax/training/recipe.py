"""From a `TrainConfig` to the model it trains, its preprocessing and its starting parameters."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert.parts import Weights
from lb_jax.convert.sharing import shared_leaves
from lb_jax.convert.weights import open_weights
from lb_jax.core import errors, paths
from lb_jax.core.modalities import LANGUAGEBIND, MODALITIES, TEXT
from lb_jax.media import specs
from lb_jax.models import adapt
from lb_jax.models.architectures import architecture
from lb_jax.models.languagebind import LanguageBind, ModelConfig, is_shared
from lb_jax.models.vision import VisionConfig
from lb_jax.objectives import contrastive
from lb_jax.training.config import ModalityRecipe, TrainConfig


def preprocessing(cfg: TrainConfig) -> dict[str, Any]:
    """The preprocessing spec of every modality of the run."""
    return {
        name: specs.from_dict(name, {**image_side(cfg, name), **recipe.preprocess})
        for name, recipe in cfg.modalities.items()
    }


def image_side(cfg: TrainConfig, name: str) -> dict[str, int]:
    """The architecture's input side, for the modalities that are pictures."""
    return {} if name in ("audio", "imu") else {"size": architecture(cfg.arch).vision.image_size[0]}


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
      ConfigError: for an unknown modality, architecture or spec field, or a sigmoid loss whose
        bias the rules for what trains leave out.
    """
    require_trained_bias(cfg)
    for name in cfg.modalities:
        if name not in MODALITIES:
            raise errors.ConfigError(
                f"config.modalities: unknown {name!r}; known: "
                f"{', '.join(MODALITIES)}.{errors.nearest(name, MODALITIES)}"
            )
        if name not in LANGUAGEBIND:
            raise errors.ConfigError(
                f"config.modalities: LanguageBind's towers see pictures and spectrograms, and have "
                f"none for {name}; expected some of {', '.join(LANGUAGEBIND)}, or a recipe of a "
                "model that has it."
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


def require_trained_bias(cfg: TrainConfig) -> None:
    """Checks that the sigmoid loss learns its bias where it learns its temperature.

    Raises:
      ConfigError: with the rule to add.
    """
    rules = (*cfg.trainable, (r".*", False))
    frozen = [
        name
        for name in cfg.batch_sizes
        if paths.match_one(rules, f"logit_scale/{name}")
        and not paths.match_one(rules, f"logit_bias/{name}")
    ]
    if cfg.loss.kind == "sigmoid" and frozen:
        raise errors.ConfigError(
            f"config.loss.kind is 'sigmoid' and config.trainable freezes its bias of "
            f"{', '.join(frozen)}; put the rule ('logit_bias/.*', True) beside that of logit_scale."
        )


def drawn_params(cfg: TrainConfig, model: LanguageBind) -> paths.Tree:
    """Parameters drawn from the seed, temperatures and biases as the run starts them."""
    fresh = model.init(jax.random.key(cfg.seed))
    fresh["logit_scale"] = {
        name: jnp.log(1 / jnp.float32(cfg.optim.init_temperature)) for name in cfg.batch_sizes
    }
    if cfg.loss.kind == "sigmoid":
        fresh["logit_bias"] = {
            name: jnp.float32(contrastive.INITIAL_LOGIT_BIAS) for name in cfg.batch_sizes
        }
    return fresh


def _drawn_at_once(cfg: TrainConfig, model: LanguageBind) -> paths.Tree:
    """`drawn_params` on the host, as one program: op by op a hundred small ones are compiled."""
    return jax.device_get(jax.jit(lambda: drawn_params(cfg, model))())


def initial_params(cfg: TrainConfig, model: LanguageBind) -> paths.Tree:
    """Starting parameters on the host, drawn from the seed or taken from `cfg.init_from`.

    With `init_from` every tower starts from its own there, else from the image tower. LoRA factors
    go on being trained where the run has the same ones; otherwise they are folded into the kernels
    first, so that the run starts from the same function.

    Raises:
      CheckpointError: when the checkpoint cannot be read.
      ConfigError: when its towers are of another size, or its pictures or texts prepared otherwise.
    """
    if not cfg.init_from:
        return _drawn_at_once(cfg, model)
    weights = open_weights(cfg.init_from)
    if not _same_factors(weights.config.towers, model.cfg.towers):
        weights = open_weights(cfg.init_from, merge_lora=True)
    source = LanguageBind(weights.config)
    if source.cfg.kind != model.cfg.kind:
        raise errors.ConfigError(
            f"config.init_from: {weights.where} is of {source.cfg.kind.name}, whose towers are of "
            f"another form than {model.cfg.kind.name}'s, of which this run is; start from weights "
            "of the same family, or from an OpenCLIP."
        )
    if source.cfg.text != model.cfg.text:
        raise errors.ConfigError(
            f"config.arch={cfg.arch!r} does not fit {weights.where}: its text tower is "
            f"{source.cfg.text}; choose the architecture it was trained with."
        )
    fresh = _drawn_at_once(cfg, model)
    _require_alike(cfg, weights)
    given = paths.unflatten(dict(shared_leaves(weights, np.float32)))
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
        _require_shapes(whole, model.shapes(name), f"{weights.where} as {name}")
        towers[name] = _without_equal(whole, base)
    return jax.tree.map(
        np.asarray,
        {
            "base": paths.unflatten(base),
            "towers": towers,
            "text": given["text"],
            **{name: fresh[name] for name in ("logit_scale", "logit_bias") if name in fresh},
        },
    )


def _require_alike(cfg: TrainConfig, weights: Weights) -> None:
    """Checks that the run prepares pictures and texts as the weights it starts from state.

    Raises:
      ConfigError: with the settings that do.
    """
    if clean := weights.preprocess.get(TEXT, {}).get("clean"):
        raise errors.ConfigError(
            f"{weights.where} takes texts cleaned by {clean!r}, as no run here cleans them; start "
            "from weights without tokenizer_kwargs.clean."
        )
    for name, spec in preprocessing(cfg).items():
        origin = weights.preprocess.get(name, weights.preprocess.get("image", {}))
        other = {
            field: list(origin[field])
            for field in ("mean", "std")
            if name != "audio" and field in origin
            if not np.allclose(origin[field], getattr(spec, field), rtol=1e-6, atol=0)
        }
        if other:
            raise errors.ConfigError(
                f"{weights.where} was trained on pictures normalised otherwise; give "
                f"config.modalities.{name}.preprocess {json.dumps(other)}."
            )


def _same_factors(source: Mapping[str, VisionConfig], run: Mapping[str, VisionConfig]) -> bool:
    """Whether every tower's LoRA factors in a source mean the same in the run that starts from it.

    A modality that the source lacks starts from its image tower.
    """

    def meaning(tower: VisionConfig | None) -> tuple[int, float, str] | None:
        lora = tower.lora if tower else None
        return (lora.rank, lora.alpha, lora.targets) if lora else None

    origins = {name: source.get(name, source.get("image")) for name in run}
    held = {name: meaning(one) for name, one in origins.items() if meaning(one)}
    return all(meaning(run[name]) == one for name, one in held.items())


def _require_shapes(tower: Mapping[str, Any], wanted: Mapping[str, Any], what: str) -> None:
    """Raises ConfigError, naming every leaf that has another shape than the run's tower."""
    shapes = {path: leaf.shape for path, leaf in paths.flatten(wanted).items()}
    differing = [
        f"{path} is {leaf.shape}, of the run {shapes[path]}"
        for path, leaf in paths.flatten(tower).items()
        if leaf.shape != shapes[path]
    ]
    if differing:
        raise errors.ConfigError(
            f"{what} does not fit the run: {'; '.join(differing)}. Choose its architecture, number "
            "of frames and tube_size."
        )


def _without_equal(tower: Mapping[str, Any], base: Mapping[str, Any]) -> paths.Tree:
    """What a tower must bring itself: leaves that `base` (flat) lacks with the same values."""
    return paths.unflatten(
        {
            path: leaf
            for path, leaf in paths.flatten(tower).items()
            if not (
                is_shared(path)
                and path in base
                and (leaf is base[path] or np.array_equal(leaf, base[path]))
            )
        }
    )
