"""What a VALOR run starts from: its vocabulary, a trained model, or the encoders it is made of."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert import hub, swin, valor_bases, valor_folder
from lb_jax.convert import valor as valor_names
from lb_jax.convert.valor_folder import ValorWeights
from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.models import adapt
from lb_jax.models.swin import SwinConfig
from lb_jax.models.valor import Valor, ValorConfig, extend_frames
from lb_jax.models.vision import VisionConfig
from lb_jax.text import wordpiece
from lb_jax.text.wordpiece import WordPiece
from lb_jax.training.config import TrainConfig
from lb_jax.training.valor_config import ValorRun

LETTERS = "letters"  # the vocabulary that spells every word
# Fields of a shape that no parameter depends on, or that are brought to those of the run.
_FREE = ("dropout", "image_size", "frames", "clips")
_SPECIAL = ("pad", "begin", "end", "mask")  # of a text encoder; the vocabulary says them

# Temperature -> what its leaf holds.
_TEMPERATURES = {
    "logit_scale": lambda divisor: math.log(1 / divisor),
    "temperature": lambda divisor: divisor,
}


def settings(cfg: TrainConfig) -> ValorRun:
    """The part of a run's settings that is VALOR's."""
    assert cfg.valor is not None
    return cfg.valor


def vocabulary(cfg: TrainConfig) -> WordPiece | None:
    """The run's vocabulary, as far as it lies on this machine: a plan needs none.

    Raises:
      DataError: when a file that is named cannot be used.
    """
    given = settings(cfg).vocabulary
    if given == LETTERS:
        return _letters()
    if given:
        return WordPiece.read(given)
    for start in (cfg.init_from, settings(cfg).bases.get(TEXT, "")):
        if start and Path(start).exists() and (file := valor_folder.vocabulary_of(Path(start))):
            return WordPiece.read(file)
    return None


def required_vocabulary(cfg: TrainConfig, shape: ValorConfig) -> WordPiece:
    """The same, fetched with the weights it lies beside where that is to be done.

    Raises:
      ConfigError: when there is none.
      CheckpointError: when it is not that of the model's size.
    """
    start = cfg.init_from or settings(cfg).bases.get(TEXT, "")
    file = None
    if start and not settings(cfg).vocabulary:
        file = valor_folder.vocabulary_of(hub.local(start))
    found = WordPiece.read(file) if file else vocabulary(cfg)
    if found is None:
        where = f" and none beside {start}" if start else ""
        raise errors.ConfigError(
            f"config.valor.vocabulary is empty{where}; give the {wordpiece.FILE} of the text "
            "encoder: --config.valor.vocabulary=FILE."
        )
    text = shape.text
    if (len(found.vocabulary), found.mask) != (text.vocab, text.mask):
        raise errors.CheckpointError(
            f"{file}: {len(found.vocabulary)} pieces, and the text encoder of config.arch="
            f"{cfg.arch} has {text.vocab}; give the folder itself as config.valor.vocabulary."
        )
    return found


@functools.cache
def _letters() -> WordPiece:
    return WordPiece(wordpiece.vocabulary_of(wordpiece.PROMPTS.values()))


def opened(cfg: TrainConfig) -> ValorWeights | None:
    """The model that a run starts from, if it starts from one.

    Raises:
      CheckpointError: when it is no model of VALOR, or cannot be read.
    """
    if not cfg.init_from:
        return None
    return valor_folder.open_valor(hub.local(cfg.init_from))


def drawn_params(cfg: TrainConfig, model: Valor) -> paths.Tree:
    """Parameters drawn from the seed, the temperature as the run starts it."""
    name = model.cfg.temperature
    start = _TEMPERATURES[name](cfg.optim.init_temperature)
    return {**model.init(jax.random.key(cfg.seed)), name: jnp.float32(start)}


def initial_params(cfg: TrainConfig, model: Valor) -> paths.Tree:
    """Starting parameters on the host: of `init_from`, or drawn, with the encoders of `bases`.

    Of `init_from` frames and clips beyond those it was trained with start as the last of these, and
    the positions of pictures are brought to the run's size (VALOR spec 1.2, 1.5).

    Raises:
      CheckpointError: when something cannot be read.
      ConfigError: when it is of another size than the run's, or there is no vocabulary.
    """
    required_vocabulary(cfg, model.cfg)
    if weights := opened(cfg):
        return _of_model(cfg, weights, model.cfg)
    bases = {
        role: _base(model.cfg, role, hub.local(path))
        for role, path in settings(cfg).bases.items()
        if path
    }
    fresh = jax.device_get(jax.jit(lambda: drawn_params(cfg, model))())
    params, _ = valor_bases.initial(model.cfg, fresh, bases)
    return jax.tree.map(np.asarray, params)


def _of_model(cfg: TrainConfig, weights: ValorWeights, shape: ValorConfig) -> paths.Tree:
    _require_same(f"{weights.where}", weights.config, shape, f"config.arch={cfg.arch}")
    params = weights.params()
    for role, tower in shape.towers.items():
        before = weights.config.towers[role]
        if (
            isinstance(tower, VisionConfig)
            and isinstance(before, VisionConfig)
            and tower.grid != before.grid
        ):
            table = params[role]["position_embed"]
            table = adapt.resize_positions(table, before.grid, tower.grid, "bilinear")
            params[role] = {**params[role], "position_embed": table}
    said = {role: count for role, count in settings(cfg).trained.items() if count}
    seen = {role: n for role, n in {**weights.trained, **said}.items() if role in shape.towers}
    found = paths.flatten(jax.tree.map(np.asarray, extend_frames(params, seen)))
    wanted = valor_names.leaf_shapes(shape)
    differing = [
        f"{path} is {list(leaf.shape)}, of the run {list(wanted[path])}"
        for path, leaf in found.items()
        if leaf.shape != wanted[path]
    ]
    if differing:
        raise errors.ConfigError(
            f"{weights.where} does not fit the run: {'; '.join(differing)}. Choose its number of "
            "frames and clips."
        )
    return paths.unflatten(found)


def _base(shape: ValorConfig, role: str, path: Path) -> valor_bases.Base:
    """The encoder of a role, proven to be of the run's shape."""
    if role == TEXT:
        base, wanted = valor_bases.load_bert(path, cross=shape.text.cross), shape.text
    elif role not in shape.towers:
        raise errors.ConfigError(
            f"config.valor.bases has {role}, and the model {', '.join(shape.towers)}; leave it out."
        )
    elif isinstance(wanted := shape.towers[role], SwinConfig):
        base = valor_bases.Base(*swin.load(path, dtype=np.float32))
    elif role == "audio" and wanted.kind.channels == 1:
        base = valor_bases.load_ast(path, image_size=wanted.image_size)
    else:
        modality = role if role == "audio" or wanted.temporal or wanted.tube_size else "image"
        size = wanted.image_size
        base = valor_bases.load_tower(path, modality, image_size=size, merge_lora=True)
    _require_same(f"{path} as {role}", base.config, wanted, "config.arch")
    return base


def _require_same(where: str, found: Any, wanted: Any, what: str) -> None:
    """Raises ConfigError, naming every field of a shape that is another than the run's."""
    one, other = (paths.flatten(_fields(dataclasses.asdict(shape))) for shape in (found, wanted))
    differing = [
        f"{name} is {one.get(name, 'none')}, of the run {other.get(name, 'none')}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]
    if differing:
        raise errors.ConfigError(
            f"{where} does not fit {what}: {'; '.join(differing).replace('/', '.')}. Choose its "
            "architecture."
        )


def _fields(shape: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that count, of nested shapes too."""
    return {
        name: _fields(value) if isinstance(value, Mapping) else value
        for name, value in shape.items()
        if name not in (*_FREE, *_SPECIAL)
    }
