"""VALOR as a family: items of sight, sound and texts, aligned and written about (see `families`).

A batch is `{"items": ...}` of `feed.items`. What is learnt is `grouping`'s, what it starts from
`valor_start`'s.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lb_jax.convert import valor_folder
from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.evaluation.metrics.rewards import Rewards
from lb_jax.feed import items, pipeline
from lb_jax.feed.epochs import LastBatch
from lb_jax.media import specs
from lb_jax.models.bert import ROLES, BertConfig
from lb_jax.models.swin import SwinConfig
from lb_jax.models.valor import TEMPERATURES, Valor, ValorConfig
from lb_jax.models.valor_architectures import valor_architecture
from lb_jax.models.vision import VisionConfig
from lb_jax.objectives.captioning import Vocabulary
from lb_jax.text import wordpiece
from lb_jax.text.spec import TextSpec
from lb_jax.text.wordpiece import WordPiece
from lb_jax.training import compute, data, grouping, recipe, rewarded, valor_start
from lb_jax.training import config as train_config
from lb_jax.training import optimizer as optimizer_lib
from lb_jax.training import step as step_lib
from lb_jax.training.config import LossConfig, ModalityRecipe, TrainConfig
from lb_jax.training.valor_config import REWARDED
from lb_jax.training.valor_start import drawn_params, initial_params, settings

__all__ = ["drawn_params", "initial_params"]  # as the family has them

SAVINGS: tuple[str, ...] = ("remat",)
RUNNING = step_lib.NONE_RUNS
COUNTS = {"video": "frames", "audio": "clips"}  # role -> the field of its spec that tells how many
CROPS = 3  # of a sound, as LanguageBind takes it
PROMPTED = ("text", "caption", "qa")  # prompts of a model with prompts; those of "mlm" are always
FIRST_WORD = {30522: 106}  # vocabulary -> the lowest id that a word is replaced by, as published
# The trial size; texts are spelled, so they are long.
TRIAL_ARCH, BATCH_SIZE, TEXT_LENGTH, ANSWER_LENGTH = "VALOR-tiny", 16, 96, 24
PREPROCESS = {"video": {"frames": 2, "size": 48}, "audio": {"clips": 1}}


def build(cfg: TrainConfig) -> tuple[ValorConfig, dict[str, specs.Spec]]:
    """The model's shape, and the specs of what an item of the run has, texts among it.

    Raises:
      ConfigError: for settings that are wrong or of no use to VALOR.
    """
    _require(cfg)
    shape, found = _shape(cfg, every := _specs(cfg)), {}
    for role in ROLES:
        if role in cfg.modalities:
            found[role] = every[role]
    for role, spec in found.items():
        count, most = _count(spec), shape.items[role]
        used = settings(cfg).inference.get(role, count)
        if max(count, used) > most:
            raise errors.ConfigError(
                f"{max(count, used)} {COUNTS[role]} of {role}, and {cfg.arch} has embeddings for "
                f"{most}; take at most that."
            )
    longest = max(cfg.text_length, settings(cfg).answer_length)
    if longest > shape.text.context:
        raise errors.ConfigError(
            f"config.text_length or config.valor.answer_length is {longest}; the text encoder of "
            f"{cfg.arch} takes at most {shape.text.context} tokens."
        )
    return shape, {**found, TEXT: _text_spec(cfg.text_length)}


def _require(cfg: TrainConfig) -> None:
    """Checks that the run says what it learns, and nothing that is LanguageBind's alone."""
    towers, groups = valor_architecture(cfg.arch).towers, settings(cfg).grouping
    changed = {
        "paraphrase": cfg.paraphrase,
        "accumulate": cfg.accumulate > 1,
        "loss": cfg.loss != LossConfig(),
        "probe.path": cfg.probe.path,
        "data.text_cache": cfg.data.text_cache,
    }
    train_config.require_default("VALOR", changed, cfg.modalities)
    if not groups.align and not groups.written:
        raise errors.ConfigError(
            "config.valor.grouping has no groups; give those of a task, such as align=('tva',)."
        )
    if groups.roles != {*cfg.modalities} or not groups.roles <= {*towers}:
        raise errors.ConfigError(
            f"config.valor.grouping takes {' and '.join(sorted(groups.roles))}, config.modalities "
            f"has {' and '.join(sorted(cfg.modalities))}, and {cfg.arch} {' and '.join(towers)}; "
            "make the first two the same, and no more than the third."
        )
    if groups.way == REWARDED and {*groups.written} != {grouping.CAPTION}:
        raise errors.ConfigError(
            f"config.valor.grouping.way is {REWARDED!r}, which is for captions alone, and the run "
            f"writes {' and '.join(groups.written) or 'none'}; give groups to caption and no other."
        )


def _specs(cfg: TrainConfig) -> dict[str, specs.Spec]:
    """Role -> preprocessing, of every tower; of those that no item has, the usual."""
    found = {}
    for role, tower in valor_architecture(cfg.arch).towers.items():
        given = cfg.modalities[role].preprocess if role in cfg.modalities else {}
        usual = {**specs.to_dict(_usual(tower, role)), **_input_of(tower, role)}
        found[role] = specs.from_dict(role, {**usual, **given})
    return found


def _usual(tower: VisionConfig | SwinConfig, role: str) -> specs.Spec:
    """The preset of a tower: LanguageBind's own for three crops of a sound."""
    is_crops = role == "audio" and isinstance(tower, VisionConfig) and tower.kind.channels > 1
    return specs.preset(role, "default" if is_crops else "valor")


def _input_of(tower: VisionConfig | SwinConfig, role: str) -> dict[str, Any]:
    """The fields of a spec that the tower tells (VALOR spec 2.1)."""
    if isinstance(tower, SwinConfig):
        return dict(specs.STATISTICS["imagenet"])
    rows, columns = tower.image_size
    if role == "audio":
        return {"mel_bins": rows, "target_frames": columns}
    return {"size": rows, **({"frames": tower.frames} if tower.temporal else {})}


def _count(spec: specs.Spec) -> int:
    """How many frames or clips a spec gives."""
    if isinstance(spec, specs.AudioSpec):
        return spec.clips if spec.layout == "slices" else CROPS
    return getattr(spec, "frames", 1)


def _text_spec(context: int) -> TextSpec:
    return TextSpec(context=context, clean="bare", tokens="wordpiece")


def _shape(cfg: TrainConfig, found: Mapping[str, specs.Spec]) -> ValorConfig:
    """The architecture with the input and the vocabulary of the run."""
    one = valor_architecture(cfg.arch)
    towers = {}
    for role, tower in one.towers.items():
        spec = found[role]
        if isinstance(tower, VisionConfig):
            is_one = tower.temporal or tower.tube_size  # of all frames of a film
            frames = getattr(spec, "frames", 1) if is_one else 1
            sides = recipe.input_size(spec)
            tower = dataclasses.replace(tower, image_size=sides, frames=frames)
        towers[role] = tower
    return dataclasses.replace(
        one, **towers, text=_of_vocabulary(one.text, valor_start.vocabulary(cfg))
    )


def _of_vocabulary(text: BertConfig, words: WordPiece | None) -> BertConfig:
    if words is None:
        return text
    return dataclasses.replace(
        text,
        vocab=len(words.vocabulary),
        **{name: getattr(words, name) for name in ("pad", "begin", "end", "mask")},
    )


def loaders(cfg: TrainConfig, preprocess: Mapping[str, Any]) -> dict[str, pipeline.Loader]:
    """Opens the corpora and prepares the loader of items.

    Args:
      cfg: of the run.
      preprocess: what `build` gives.

    Raises:
      DataError: for a corpus that cannot be read or lacks a kind of texts.
      ConfigError: for a corpus without a path, or a run without a vocabulary.
    """
    train_config.require_sources(cfg)
    words = valor_start.required_vocabulary(cfg, _shape(cfg, _specs(cfg)))
    encoders = {
        kind: functools.partial(items.pieces, words, _text_spec(length))
        for kind, length in _lengths(cfg).items()
    }
    opened = [(data.open_corpus(one), one.weight) for one in cfg.data.sources.values()]
    for source, _ in opened:
        source.require(encoders)
    drops = cfg.data.last_batch == LastBatch.DROP
    loader = items.Items(
        opened,
        {role: preprocess[role] for role in ROLES if role in preprocess},
        encoders,
        seed=cfg.seed,
        cache=cfg.data.cache == "memory",
        drop_to=cfg.batch_size if drops else 0,
        answers=settings(cfg).answers,
        numbered=settings(cfg).grouping.way == REWARDED,
    )
    return {items.NAME: loader}


def _lengths(cfg: TrainConfig) -> dict[str, int]:
    """Kind of text -> tokens, of the kinds that the tasks read."""
    groups = settings(cfg).grouping
    kinds = {grouping.TASKS[name].text for name in groups.written}
    if groups.align:
        kinds.add(grouping.CAPTION)
    found = {grouping.CAPTION: cfg.text_length, grouping.QUESTION: cfg.text_length}
    found[grouping.ANSWER] = settings(cfg).answer_length
    if grouping.ANSWER in kinds:
        kinds.add(grouping.QUESTION)
    return {kind: length for kind, length in found.items() if kind in kinds}


def resolved(cfg: TrainConfig, readers: Mapping[str, pipeline.Loader]) -> TrainConfig:
    """The run with its steps: those of its epochs, as VALOR counts them, where it says none.

    An epoch has each item once, with one of its texts, and no batch that is not full.
    """
    if cfg.steps:
        return cfg
    loader = readers[items.NAME]
    assert isinstance(loader, items.Items)
    each = max(loader.items // cfg.batch_size, 1)
    return dataclasses.replace(cfg, steps=settings(cfg).epochs * each)


def make_model(cfg: TrainConfig, model_cfg: ValorConfig, platform: str | None = None) -> Valor:
    """The model with the run's options, for this machine or for devices of another platform."""
    return Valor(model_cfg, **compute.options(cfg, platform))


def held(frozen: paths.Tree, cfg: TrainConfig) -> paths.Tree:
    """Frozen parameters as the step takes them: the temperature in float32, whatever the run's."""
    dtype = jnp.dtype(cfg.frozen_dtype)
    return paths.unflatten(
        {
            path: leaf if path in TEMPERATURES else leaf.astype(dtype)
            for path, leaf in paths.flatten(frozen).items()
        }
    )


def prepare(
    cfg: TrainConfig,
    model: Valor,
    frozen: paths.Tree,
    trainable: paths.Tree,
    readers: Mapping[str, pipeline.Loader],
) -> None:
    """Nothing: all texts are encoded in every step."""


def make_gradient(cfg: TrainConfig, mesh: jax.sharding.Mesh, model: Valor) -> Callable:
    """Loss, metrics and gradient of a run, see `families.Family`."""
    text, groups = model.cfg.text, settings(cfg).grouping
    special = max(text.pad, text.begin, text.end, text.mask)
    words = Vocabulary(text.vocab, text.pad, text.mask, FIRST_WORD.get(text.vocab, special + 1))
    reward = reward_of(cfg, text) if groups.way == REWARDED else None
    losses = grouping.make_losses(model, groups, _prompts(cfg, model.cfg), mesh, reward)
    loss = grouping.make_loss(grouping.make_draw(groups, words), losses)
    return jax.value_and_grad(loss, has_aux=True)


def reward_of(cfg: TrainConfig, text: BertConfig) -> rewarded.Reward:
    """CIDEr-D and BLEU-4 by the captions of the run's corpora, which are read when first asked.

    Raises:
      ConfigError: for a run on several hosts, of which one would have to answer the others.
    """
    if jax.process_count() > 1:
        raise errors.ConfigError(
            f"config.valor.grouping.way is {REWARDED!r}, which runs on one host; start it there."
        )

    @functools.cache
    def rewards() -> Rewards:
        loader = loaders(cfg, build(cfg)[1])[items.NAME]
        assert isinstance(loader, items.Items)
        every = loader.references(grouping.CAPTION)
        return Rewards(
            [[ids[1:] for ids in one] for one in every], end=text.end, ignored=[text.pad]
        )

    return rewarded.on_host(lambda numbers, ids: rewards()(numbers, ids))


def _prompts(cfg: TrainConfig, shape: ValorConfig) -> dict[str, Any]:
    """Name -> ids of the prompts of the run; of a plan without a vocabulary, so many of any."""
    names = [*(PROMPTED if shape.task_prompts else ())]
    names += [f"mlm_{group}" for group in settings(cfg).grouping.mlm]
    words = valor_start.vocabulary(cfg)
    if words is not None:
        return {name: words.prompt(name) for name in names}
    special = {name: 0 if name in wordpiece.BARE else wordpiece.SPECIAL_TOKENS for name in names}
    return {
        name: jnp.full(len(wordpiece.PROMPTS[name].split()) + special[name], shape.text.mask)
        for name in names
    }


def optimizer(
    cfg: TrainConfig, trainable: paths.Tree
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """VALOR's AdamW with a line to 0 behind the warm-up, and the learning rate by step."""
    warmup = cfg.optim.warmup_steps or settings(cfg).warmup * cfg.steps
    schedule = optimizer_lib.warmup_linear(lr=cfg.optim.lr, warmup_steps=warmup, steps=cfg.steps)
    return optimizer_lib.of_run(cfg.optim, trainable, schedule, "valor"), schedule


def bound(params: paths.Tree) -> paths.Tree:
    """The parameters as they are: VALOR bounds no temperature."""
    return params


def batch_shapes(cfg: TrainConfig, model_cfg: ValorConfig) -> dict[str, dict[str, Any]]:
    """Shapes of a global batch, see `feed.items`."""
    found, size = _specs(cfg), cfg.batch_size
    roles = [role for role in ROLES if role in cfg.modalities]
    media: dict[str, Any] = {
        role: jax.ShapeDtypeStruct((size, *specs.shape(found[role])), jnp.float32) for role in roles
    }
    media[items.PRESENT] = jax.ShapeDtypeStruct((size, len(roles)), jnp.bool_)
    texts = {
        kind: jax.ShapeDtypeStruct((size, length), jnp.int32)
        for kind, length in _lengths(cfg).items()
    }
    if settings(cfg).grouping.way == REWARDED:
        texts[items.ITEM] = jax.ShapeDtypeStruct((size,), jnp.int32)
    several = settings(cfg).answers
    if several > 1 and grouping.ANSWER in texts:
        shape = (size, several, settings(cfg).answer_length)
        texts[grouping.ANSWER] = jax.ShapeDtypeStruct(shape, jnp.int32)
        texts[grouping.ANSWER_WEIGHTS] = jax.ShapeDtypeStruct(shape[:2], jnp.float32)
    return {items.NAME: {"media": media, "text": texts}}


def resized(cfg: TrainConfig, sizes: Mapping[str, int]) -> TrainConfig:
    """The run with another number of items in a step."""
    return dataclasses.replace(cfg, batch_size=sizes[items.NAME])


def trial(cfg: TrainConfig) -> TrainConfig:
    """The run with a small model drawn from the seed, which spells its words."""
    modalities = {
        name: dataclasses.replace(one, preprocess={**_kept(one), **PREPROCESS[name]})
        for name, one in cfg.modalities.items()
    }
    run = dataclasses.replace(
        settings(cfg),
        vocabulary=valor_start.LETTERS,
        bases={},
        trained={},
        inference={},
        answer_length=ANSWER_LENGTH,
    )
    return dataclasses.replace(
        cfg,
        arch=TRIAL_ARCH,
        init_from="",
        valor=run,
        modalities=modalities,
        batch_size=BATCH_SIZE,
        text_length=TEXT_LENGTH,
        optim=dataclasses.replace(cfg.optim, lr=1e-3, lr_factors=(), warmup_steps=0),
    )


def _kept(one: ModalityRecipe) -> dict[str, Any]:
    """What the trial keeps of a preprocessing: how frames are chosen and cut."""
    return {name: one.preprocess[name] for name in _CHOSEN if name in one.preprocess}


_CHOSEN = ("fps", "shape", "train_crop", "train_flip")


def export(
    folder: Path,
    cfg: TrainConfig,
    model_cfg: ValorConfig,
    preprocess: Mapping[str, Any],
    params: paths.Tree,
    readers: Mapping[str, pipeline.Loader],
) -> None:
    """Writes the model, how its media and texts are made ready, and its vocabulary."""
    own = {role: one for role, one in preprocess.items() if role != TEXT}
    before = valor_start.opened(cfg)
    told = {role: _told(cfg, model_cfg, role, spec) for role, spec in _specs(cfg).items()}
    if before:
        told |= {role: one for role, one in before.preprocess.items() if role not in own}
    trained = {role: _count(spec) for role, spec in own.items()}
    valor_folder.save(
        folder,
        model_cfg,
        params,
        preprocess={**told, TEXT: {"context": cfg.text_length}},
        trained={**(before.trained if before else {}), **trained},
        vocabulary=valor_start.required_vocabulary(cfg, model_cfg),
    )


def _told(cfg: TrainConfig, shape: ValorConfig, role: str, spec: specs.Spec) -> dict[str, Any]:
    """The fields of a spec that are not the preset's, and the count of inference."""
    usual = specs.to_dict(_usual(shape.towers[role], role))
    told = {name: one for name, one in specs.to_dict(spec).items() if one != usual[name]}
    if role == "video":
        told |= {name: specs.to_dict(spec)[name] for name in ("mean", "std")}
    return told | {COUNTS[role]: settings(cfg).inference.get(role, getattr(spec, COUNTS[role]))}
