"""MMV as a family: films compared with their sound and with what is said in them (see `families`).

A batch is `{"items": ...}` of `feed.films`. What is learnt is `mmv_loss`'s, what it starts from
`mmv_start`'s, the published settings are `mmv_published`'s.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lb_jax.convert import mmv_files
from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.feed import films, items, pipeline
from lb_jax.feed.epochs import LastBatch
from lb_jax.media import magnitude_mel, specs
from lb_jax.models import convolution
from lb_jax.models.mmv import Mmv, MmvConfig
from lb_jax.models.mmv_architectures import mmv_architecture
from lb_jax.models.s3d import FOLD, S3DConfig
from lb_jax.text.spec import TextSpec
from lb_jax.text.words import Words
from lb_jax.training import compute, mmv_loss, mmv_start
from lb_jax.training import config as train_config
from lb_jax.training import optimizer as optimizer_lib
from lb_jax.training.config import LossConfig, ModalityRecipe, OptimConfig, TrainConfig
from lb_jax.training.mmv_config import CORPUS
from lb_jax.training.mmv_start import drawn_params, settings

__all__ = ["drawn_params"]  # as the family has it

SAVINGS: tuple[str, ...] = ()
RUNNING: paths.Rules = convolution.STATE
PRESET = "mmv"
# The trial size: 0.8 s of film.
TRIAL_ARCH, BATCH_SIZE = "MMV-tiny", 16
PREPROCESS: dict[str, dict[str, Any]] = {
    "video": {"frames": 8, "fps": 10.0, "size": 48},
    "audio": {},
}


def build(cfg: TrainConfig) -> tuple[MmvConfig, dict[str, specs.Spec]]:
    """The model's shape, and the specs of what a clip of the run has, texts among it.

    Raises:
      ConfigError: for settings that are wrong or of no use to MMV.
    """
    _require(cfg)
    beside, found = tuple(settings(cfg).weights), _specs(cfg)
    shape = mmv_architecture(cfg.arch).model(settings(cfg).graph, beside)
    known = mmv_start.vocabulary(cfg) if shape.text else None
    if known is not None and shape.text is not None:
        text = dataclasses.replace(shape.text, vocab=len(known))
        shape = dataclasses.replace(shape, text=text)
    _require_whole_cubes(cfg, shape, found)
    return shape, found


def _require(cfg: TrainConfig) -> None:
    """Checks that there is something to compare, and nothing that other systems alone know."""
    run = settings(cfg)
    train_config.require_default(
        "MMV",
        {
            "paraphrase": cfg.paraphrase,
            "accumulate": cfg.accumulate > 1,
            "remat": cfg.remat != "none",
            "attention": cfg.attention not in ("auto", "xla"),
            "loss": cfg.loss != LossConfig(),
            "optim.init_temperature": cfg.optim.init_temperature != OptimConfig.init_temperature,
            "probe.path": cfg.probe.path,
            "data.text_cache": cfg.data.text_cache,
        },
        cfg.modalities,
    )
    if not run.weights:
        raise errors.ConfigError(
            "config.mmv.audio_weight and config.mmv.text_weight are 0, so that videos are compared "
            "with nothing; give one of them."
        )
    known = (mmv_loss.VIDEO, "audio")
    lacking = {*_roles(cfg)} - {*cfg.modalities}
    unknown = [one for one in (*cfg.modalities, *run.needs) if one not in known]
    if lacking or unknown:
        raise errors.ConfigError(
            f"config.modalities has {', '.join(cfg.modalities)} and config.mmv.needs "
            f"{', '.join(run.needs) or 'none'}; MMV takes {' and '.join(known)}, the second unless "
            "config.mmv.audio_weight is 0."
        )


def _roles(cfg: TrainConfig) -> list[str]:
    """What is decoded of a film, in the order of `present`."""
    return [mmv_loss.VIDEO, *(name for name in settings(cfg).weights if name != TEXT)]


def _specs(cfg: TrainConfig) -> dict[str, specs.Spec]:
    """Modality -> preprocessing; a sound lasts as long as the frames."""
    found: dict[str, specs.Spec] = {}
    for role in _roles(cfg):
        given = cfg.modalities[role].preprocess
        fields = {**specs.to_dict(specs.preset(role, PRESET)), **given}
        if role == "audio":
            samples = clip_s(found) * (fields["sample_rate_hz"] or 0)
            fields = {**fields, "target_frames": magnitude_mel.num_frames(round(samples)), **given}
        found[role] = specs.from_dict(role, fields)
    sound = found.get("audio")
    if isinstance(sound, specs.AudioSpec) and sound.layout != "whole":
        raise errors.ConfigError(
            f"config.modalities.audio.preprocess.layout is {sound.layout!r}, and MMV's tower takes "
            "a sound as one stretch; take 'whole'."
        )
    if TEXT in settings(cfg).weights:
        found[TEXT] = TextSpec(cfg.text_length, "content", "words")
    return found


def _film(found: Mapping[str, specs.Spec]) -> specs.VideoSpec:
    film = found[mmv_loss.VIDEO]
    assert isinstance(film, specs.VideoSpec)
    return film


def clip_s(found: Mapping[str, specs.Spec]) -> float:
    """Seconds of a clip, by its frames.

    Raises:
      ConfigError: for frames without times.
    """
    film = _film(found)
    if film.fps is None:
        raise errors.ConfigError(
            "config.modalities.video.preprocess.fps is None; sound and narrations of a clip are "
            "found by its time, so give frames per second, such as 10."
        )
    return film.frames / film.fps


def _require_whole_cubes(
    cfg: TrainConfig, shape: MmvConfig, found: Mapping[str, specs.Spec]
) -> None:
    film, sizes = _film(found), {}
    if isinstance(shape.video, S3DConfig) and shape.video.space_to_depth:
        sizes = {"frames": film.frames, "size": film.size}
    if odd := [f"{name} is {size}" for name, size in sizes.items() if size % FOLD]:
        raise errors.ConfigError(
            f"config.modalities.video.preprocess.{' and '.join(odd)}, and {cfg.arch} makes one of "
            f"{FOLD} frames, rows and columns; take multiples of {FOLD}."
        )


def loaders(cfg: TrainConfig, preprocess: Mapping[str, specs.Spec]) -> dict[str, pipeline.Loader]:
    """Opens the corpora and prepares the loader of clips.

    Args:
      cfg: of the run.
      preprocess: what `build` gives.

    Raises:
      DataError: for a corpus that cannot be read or has no films.
      ConfigError: for a corpus without a path, or narrations without a vocabulary.
    """
    train_config.require_sources(cfg)
    run, reads = settings(cfg), TEXT in preprocess
    opened = [(mmv_start.open_films(one), one.weight) for one in cfg.data.sources.values()]
    drops = cfg.data.last_batch == LastBatch.DROP
    loader = films.Films(
        opened,
        {role: preprocess[role] for role in _roles(cfg)},
        _reader(cfg, preprocess) if reads else _reads_nothing,
        words=cfg.text_length,
        seed=cfg.seed,
        clip_s=clip_s(preprocess),
        candidates=run.candidates if reads else 0,
        needs=[name for name in run.needs if name in _roles(cfg)],
        cache=cfg.data.cache == "memory",
        drop_to=cfg.batch_size if drops else 0,
    )
    return {items.NAME: loader}


def _reader(cfg: TrainConfig, preprocess: Mapping[str, specs.Spec]) -> mmv_start.Reader:
    tower = build(cfg)[0].text
    assert tower is not None
    return mmv_start.Reader(
        mmv_start.required_vocabulary(cfg, tower.vocab), specs.of_text(preprocess)
    )


def _reads_nothing(text: str) -> Any:
    raise AssertionError(text)  # of a run without texts, whose loader asks for none


def resolved(cfg: TrainConfig, readers: Mapping[str, pipeline.Loader]) -> TrainConfig:
    """The run as it is."""
    return cfg


def make_model(cfg: TrainConfig, model_cfg: MmvConfig, platform: str | None = None) -> Mmv:
    """The towers with the run's options, for this machine or for devices of another platform."""
    platform = platform or jax.default_backend()
    return Mmv(
        model_cfg,
        dtype=compute.compute_dtype(cfg, platform),
        convolution=convolution.usual_convolution(platform),
    )


def initial_params(cfg: TrainConfig, model: Mmv) -> paths.Tree:
    """Starting parameters on the host, see `mmv_start.initial_params`."""
    return mmv_start.initial_params(cfg, model)


def held(frozen: paths.Tree, cfg: TrainConfig) -> paths.Tree:
    """Frozen parameters as the step takes them: in the run's dtype, statistics in float32."""
    dtype = jnp.dtype(cfg.frozen_dtype)
    statistics, rest = paths.divide(frozen, RUNNING)
    return paths.overlay(statistics, jax.tree.map(lambda leaf: leaf.astype(dtype), rest))


def prepare(
    cfg: TrainConfig,
    model: Mmv,
    frozen: paths.Tree,
    trainable: paths.Tree,
    readers: Mapping[str, pipeline.Loader],
) -> None:
    """Nothing: all narrations are read in every step."""


def make_gradient(cfg: TrainConfig, mesh: jax.sharding.Mesh, model: Mmv) -> Callable:
    """Loss, metrics and gradient of a run, see `families.Family`."""
    run = settings(cfg)
    loss = mmv_loss.make_loss(
        model,
        run.weights,
        mmv_loss.make_objective(mesh, run.positives, run.tile),
        mesh,
        still=mmv_start.still_parts(cfg, model),
    )
    differentiated = jax.value_and_grad(loss, has_aux=True)

    def gradient(trainable, frozen, batch, key: jax.Array):
        del key  # nothing is drawn
        running, moved = paths.divide(trainable, RUNNING)
        return differentiated(moved, running, frozen, batch[items.NAME])

    return gradient


def optimizer(
    cfg: TrainConfig, trainable: paths.Tree
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Adam, with decay where the run has any, half a cosine behind the warm-up, and its rate."""
    schedule = optimizer_lib.warmup_cosine(
        lr=cfg.optim.lr, warmup_steps=cfg.optim.warmup_steps, steps=cfg.steps
    )
    return optimizer_lib.of_run(cfg.optim, trainable, schedule), schedule


def bound(params: paths.Tree) -> paths.Tree:
    """The parameters as they are: the temperature is fixed."""
    return params


def batch_shapes(cfg: TrainConfig, model_cfg: MmvConfig) -> dict[str, dict[str, Any]]:
    """Shapes of a global batch, see `feed.films`."""
    found, roles, size = _specs(cfg), _roles(cfg), cfg.batch_size
    media: dict[str, Any] = {
        role: jax.ShapeDtypeStruct((size, *specs.shape(found[role])), jnp.float32) for role in roles
    }
    media[items.PRESENT] = jax.ShapeDtypeStruct((size, len(roles)), jnp.bool_)
    bag = (size, settings(cfg).candidates if model_cfg.text else 0)
    texts = {
        films.NARRATION: jax.ShapeDtypeStruct((*bag, cfg.text_length), jnp.int32),
        films.NARRATION_PRESENT: jax.ShapeDtypeStruct(bag, jnp.bool_),
    }
    return {items.NAME: {"media": media, "text": texts}}


def resized(cfg: TrainConfig, sizes: Mapping[str, int]) -> TrainConfig:
    """The run with another number of clips in a step."""
    return dataclasses.replace(cfg, batch_size=sizes[items.NAME])


def trial(cfg: TrainConfig) -> TrainConfig:
    """The run with small towers drawn from the seed, which take their words from the narrations."""
    run = settings(cfg)
    table = ((mmv_start.TABLE, True),) if TEXT in run.weights else ()
    return dataclasses.replace(
        cfg,
        arch=TRIAL_ARCH,
        init_from="",
        mmv=dataclasses.replace(run, vocabulary=CORPUS, word_vectors=""),
        modalities={name: ModalityRecipe(preprocess=one) for name, one in PREPROCESS.items()},
        trainable=(*table, *cfg.trainable),
        batch_size=BATCH_SIZE,
        optim=dataclasses.replace(cfg.optim, lr=2e-3, lr_factors=(), warmup_steps=10),
    )


def export(
    folder: Path,
    cfg: TrainConfig,
    model_cfg: MmvConfig,
    preprocess: Mapping[str, specs.Spec],
    params: paths.Tree,
    readers: Mapping[str, pipeline.Loader],
) -> None:
    """Writes the model, how its clips and texts are made ready, and its words."""
    known: Words | None = None
    if model_cfg.text is not None:
        loader = readers[items.NAME]
        assert isinstance(loader, films.Films)
        reader = loader.encoders[films.NARRATION]
        assert isinstance(reader, mmv_start.Reader)
        known = reader.known
    stated = {name: specs.to_dict(spec) for name, spec in preprocess.items()}
    mmv_files.save(folder, model_cfg, params, stated, known)
