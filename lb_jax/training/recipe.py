"""From a `TrainConfig` to the model it trains, its preprocessing and its starting parameters."""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert import imagebind_files
from lb_jax.convert.parts import Weights
from lb_jax.convert.sharing import shared_leaves
from lb_jax.convert.weights import Only, open_weights
from lb_jax.core import errors, paths
from lb_jax.core.modalities import LANGUAGEBIND, MODALITIES, TEXT
from lb_jax.media import specs
from lb_jax.models import adapt, families
from lb_jax.models.architectures import architecture
from lb_jax.models.languagebind import LanguageBind, ModelConfig, is_based
from lb_jax.models.vision import VisionConfig
from lb_jax.objectives import contrastive
from lb_jax.training.config import ModalityRecipe, TrainConfig


def towers_of(cfg: TrainConfig) -> dict[str, ModalityRecipe]:
    """The recipe of every tower of the run: of what trains, behind those that do not."""
    anchors = [one.anchor for one in cfg.modalities.values() if one.anchor != TEXT]
    given = {
        name: ModalityRecipe(preprocess=cfg.beside.get(name, {}))
        for name in dict.fromkeys((*anchors, *cfg.beside))
        if name not in cfg.modalities
    }
    return given | cfg.modalities


def uses_text(cfg: TrainConfig) -> bool:
    """Whether the loss takes texts."""
    bound = any(one.anchor == TEXT for one in cfg.modalities.values())
    return bound or cfg.paraphrase is not None


def preprocessing(cfg: TrainConfig) -> dict[str, Any]:
    """The preprocessing spec of every tower of the run."""
    arch = architecture(cfg.arch)
    preset = family(cfg).preset("default")
    return {
        name: specs.from_dict(
            name,
            specs.to_dict(specs.preset(name, preset))
            | _fixed(name, arch.tower(name))
            | recipe.preprocess,
        )
        for name, recipe in towers_of(cfg).items()
    }


def family(cfg: TrainConfig) -> families.Family:
    """The family of the run's architecture."""
    return families.FAMILIES[architecture(cfg.arch).family or families.LANGUAGEBIND.name]


def _fixed(name: str, tower: VisionConfig) -> dict[str, int]:
    """What an architecture says of the input of a modality."""
    rows, columns = tower.image_size
    if name not in ("audio", "imu"):
        return {"size": rows}
    if not tower.form:  # towers of sound are as large as their spec says
        return {}
    return {"samples": columns} if name == "imu" else {"mel_bins": rows, "target_frames": columns}


def training_spec(spec: Any) -> Any:
    """What a sample of training is: of an item that is several clips a drawn one."""
    if isinstance(spec, specs.VideoSpec) and spec.clip_s is not None:
        return dataclasses.replace(spec, clips=1, crops=1)
    if isinstance(spec, specs.AudioSpec) and spec.layout == "windows":
        return dataclasses.replace(spec, clips=1)
    return spec


def input_size(spec: Any) -> tuple[int, int]:
    """Rows and columns of what a spec gives."""
    if isinstance(spec, specs.AudioSpec):
        return spec.mel_bins, spec.target_frames
    if isinstance(spec, specs.ImuSpec):
        return 1, spec.samples
    return spec.size, spec.size


def tower_config(cfg: TrainConfig, name: str, spec: Any) -> VisionConfig:
    """Shape of one modality's tower.

    The architecture's blocks, the spec's input size, the recipe's options.

    Raises:
      ConfigError: for options that the architecture's towers do not have.
    """
    recipe: ModalityRecipe = towers_of(cfg)[name]
    lora, tower = recipe.lora, architecture(cfg.arch).tower(name)
    if tower.form and (recipe.temporal or recipe.tube_size):
        raise errors.ConfigError(
            f"config.modalities.{name}: temporal and tube_size are LanguageBind's; the towers of "
            f"{cfg.arch} are what they are. Leave both out."
        )
    if lora and lora.targets == type(lora).targets and not tower.form:
        lora = dataclasses.replace(lora, targets=MODALITIES[name].lora_targets)
    shape = {"image_size": input_size(spec), "lora": lora}
    if not tower.form:
        frames = getattr(spec, "frames", 1)
        shape |= {"frames": frames, "temporal": recipe.temporal, "tube_size": recipe.tube_size}
    return dataclasses.replace(tower, **shape)


def build(cfg: TrainConfig) -> tuple[ModelConfig, dict[str, Any]]:
    """The model's shape and its preprocessing specs.

    Raises:
      ConfigError: for an unknown modality, architecture or spec field, an anchor that is none, or a
        sigmoid loss whose bias the rules for what trains leave out.
    """
    require_trained_bias(cfg)
    for name in cfg.modalities:
        _require_modality(cfg, name, "config.modalities")
    _require_anchors(cfg)
    arch = architecture(cfg.arch)
    text = arch.text
    if cfg.text_length > text.context:
        raise errors.ConfigError(
            f"config.text_length is {cfg.text_length}; the text tower of {cfg.arch} takes at most "
            f"{text.context} tokens."
        )
    preprocess = preprocessing(cfg)
    towers = {name: tower_config(cfg, name, spec) for name, spec in preprocess.items()}
    return ModelConfig(towers, text, arch.family), preprocess


def _require_modality(cfg: TrainConfig, name: str, where: str) -> None:
    if name not in MODALITIES:
        raise errors.ConfigError(
            f"{where}: unknown {name!r}; known: "
            f"{', '.join(MODALITIES)}.{errors.nearest(name, MODALITIES)}"
        )
    known = architecture(cfg.arch).towers or LANGUAGEBIND
    if name not in known:
        raise errors.ConfigError(
            f"{where}: LanguageBind's towers see pictures and spectrograms, and have none for "
            f"{name}; expected some of {', '.join(known)}, or an architecture that has it "
            "(config.arch=imagebind_huge)."
        )


def _require_anchors(cfg: TrainConfig) -> None:
    """Checks what modalities are bound to.

    Raises:
      ConfigError: for what is no modality, a modality bound to itself, and one that is trained and
        named beside those.
    """
    for name, one in cfg.modalities.items():
        if one.anchor == name:
            raise errors.ConfigError(
                f"config.modalities.{name}.anchor is {name!r} itself; bind it to another "
                f"modality, or to {TEXT!r}."
            )
        if one.anchor != TEXT:
            _require_modality(cfg, one.anchor, f"config.modalities.{name}.anchor")
    for name in cfg.beside:
        _require_modality(cfg, name, "config.beside")
        if name in cfg.modalities:
            raise errors.ConfigError(
                f"config.beside.{name}: it is trained itself, and its preprocessing is "
                f"config.modalities.{name}.preprocess; leave one of the two out."
            )


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
    owners = {name: scale_of(model.cfg, name) for name in cfg.batch_sizes}
    scaled = model.cfg.scaled if model.cfg.kind.own_scales else owners.values()
    fresh["logit_scale"] = {name: _log_scale(cfg, name) for name in dict.fromkeys(scaled)}
    if cfg.loss.kind == "sigmoid":
        fresh["logit_bias"] = {
            name: jnp.float32(contrastive.INITIAL_LOGIT_BIAS) for name in cfg.batch_sizes
        }
    return fresh


def scale_of(model_cfg: ModelConfig, name: str) -> str:
    """Whose temperature a loss has: the modality's, or the text's where it has none of its own."""
    own = model_cfg.kind.own_scales
    return TEXT if own and name not in own else name


def _log_scale(cfg: TrainConfig, name: str) -> jax.Array:
    recipe = cfg.modalities.get(name)
    temperature = (recipe.temperature if recipe else 0.0) or cfg.optim.init_temperature
    return jnp.log(1 / jnp.float32(temperature))


def _drawn_at_once(cfg: TrainConfig, model: LanguageBind) -> paths.Tree:
    """`drawn_params` on the host, as one program: op by op a hundred small ones are compiled."""
    return jax.device_get(jax.jit(lambda: drawn_params(cfg, model))())


def initial_params(cfg: TrainConfig, model: LanguageBind) -> paths.Tree:
    """Starting parameters on the host, drawn from the seed or taken from `cfg.init_from`.

    With `init_from` every tower starts from its own there, else from the image tower; of ImageBind,
    whose towers are of several forms, as it is drawn. ImageBind may also start from an OpenCLIP, as
    the original did, and keeps the temperatures it had. LoRA factors go on being trained where the
    run has the same ones; otherwise they are folded into the kernels first, so that the run starts
    from the same function.

    Raises:
      CheckpointError: when the checkpoint cannot be read.
      ConfigError: when its towers are of another size, or its pictures or texts prepared otherwise.
    """
    if not cfg.init_from:
        return _drawn_at_once(cfg, model)
    weights, fresh = _start(cfg, model.cfg), _drawn_at_once(cfg, model)
    given = paths.unflatten(dict(shared_leaves(weights, np.float32)))
    base, towers = _towers(weights, given, fresh, model)
    scales = fresh["logit_scale"]
    if model.cfg.kind.own_scales:  # constants of a modality there, which are read and not assumed
        known = given["logit_scale"]
        kept = [name for name in scales if name in known and not _has_temperature(cfg, name)]
        scales = scales | {name: known[name] for name in kept}
    return jax.tree.map(
        np.asarray,
        {
            "base": base,
            "towers": towers,
            "text": given["text"],
            "logit_scale": scales,
            **({"logit_bias": fresh["logit_bias"]} if "logit_bias" in fresh else {}),
        },
    )


def _start(cfg: TrainConfig, run: ModelConfig) -> Weights:
    """The weights that a run starts from, of its family, as far as it needs them.

    Raises:
      CheckpointError, ConfigError: as `initial_params`.
    """
    weights = open_weights(cfg.init_from)
    starts_anew = bool(run.family) and not weights.config.family
    if starts_anew or not _same_factors(weights.config.towers, run.towers):
        weights = open_weights(cfg.init_from, merge_lora=True)
    if starts_anew:
        weights = imagebind_files.OpenClipStart(weights)
    found = weights.config
    if found.kind != run.kind:
        raise errors.ConfigError(
            f"config.init_from: {weights.where} is of {found.kind.name}, whose towers are of "
            f"another form than {run.kind.name}'s, of which this run is; start from weights of the "
            "same family, or from an OpenCLIP."
        )
    if found.text != run.text:
        raise errors.ConfigError(
            f"config.arch={cfg.arch!r} does not fit {weights.where}: its text tower is "
            f"{found.text}; choose the architecture it was trained with."
        )
    _require_alike(cfg, weights)
    if run.kind.twins:  # which share nothing with the others: those need not be read
        names = {_origin(name, tuple(found.towers), run.kind.twins) for name in run.towers}
        weights = Only(weights, names & {*found.towers})
    return weights


def _towers(
    weights: Weights, given: paths.Tree, fresh: paths.Tree, model: LanguageBind
) -> tuple[paths.Tree, dict[str, paths.Tree]]:
    """`base` and the towers of a run that starts from weights.

    Args:
      weights: that it starts from.
      given: their parameters.
      fresh: drawn ones of the run.
      model: of the run.
    """
    source, kind = LanguageBind(weights.config), model.cfg.kind
    base = {} if kind.twins else paths.flatten(given["base"])
    towers = {}
    for name, tower in model.cfg.towers.items():
        origin = _origin(name, source.modalities, kind.twins)
        if origin not in source.modalities:
            if kind.twins and name not in kind.twins:  # of another form than any that is there
                towers[name] = model.tower(fresh, name)
                continue
            raise errors.ConfigError(
                f"{weights.where} has towers for {', '.join(source.modalities) or 'texts alone'}; "
                f"{name} needs its own or an image tower to start from."
            )
        whole = adapt.adapt_tower(
            source.tower(given, origin), model.tower(fresh, name), source.cfg.towers[origin], tower
        )
        _require_shapes(whole, model.shapes(name), f"{weights.where} as {name}")
        flat = paths.flatten(whole)
        shared = {path: leaf for path, leaf in flat.items() if is_based(kind, name, path)}
        base = base or shared
        towers[name] = paths.unflatten(
            {
                path: leaf
                for path, leaf in flat.items()
                if not (path in shared and path in base and _is_equal(leaf, base[path]))
            }
        )
    return paths.unflatten(base), towers


def _has_temperature(cfg: TrainConfig, name: str) -> bool:
    """Whether the recipe of a modality says from which temperature it starts."""
    return name in cfg.modalities and cfg.modalities[name].temperature > 0


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
        usual = {} if family(cfg).twins else weights.preprocess.get("image", {})
        origin = weights.preprocess.get(name, usual)
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


def _is_equal(one: Any, other: Any) -> bool:
    return one is other or np.array_equal(one, other)


def _origin(name: str, known: Collection[str], twins: Sequence[str]) -> str:
    """The tower that a modality starts from: its own, its twin's, or the image tower."""
    if name in known or (twins and name not in twins):
        return name
    return next((one for one in twins if one in known), "image")
