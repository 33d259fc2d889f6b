"""LanguageBind as a family: modalities bound to texts, one tower each (see `families`)."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lb_jax.core import checkpoint, paths, shipped
from lb_jax.core import config as config_lib
from lb_jax.core.modalities import TEXT
from lb_jax.corpora import seen
from lb_jax.feed import pipeline
from lb_jax.media import specs
from lb_jax.models.languagebind import LanguageBind, ModelConfig
from lb_jax.objectives import ring
from lb_jax.training import accumulate, compute, data, recipe, sharding
from lb_jax.training import optimizer as optimizer_lib
from lb_jax.training import step as step_lib
from lb_jax.training.config import TrainConfig

SAVINGS: tuple[str, ...] = ("remat", "accumulate")
RUNNING = step_lib.NONE_RUNS
# The trial size; its input is that of the demo's towers: a spectrogram of 32 x 128 is 64 patches of
# a small tower, one of 112 x 1036 has 1,806, and attention takes the square of that.
BATCH_SIZE, TEXT_LENGTH = 32, 24
DROPS = ("patch_dropout", "drop_path", "head_dropout")  # of a modality's tower
PREPROCESS = {
    "tiny": {"video": {"frames": 2}, "audio": {"mel_bins": 32, "target_frames": 128}},
    "imagebind_tiny": {"video": specs.ONE_CLIP},  # which of a film stays the same, and is kept
}

build, drawn_params, initial_params = recipe.build, recipe.drawn_params, recipe.initial_params
loaders = data.loaders
bound = step_lib.clamp_logit_scales


def resolved(cfg: TrainConfig, readers: Mapping[str, pipeline.Loader]) -> TrainConfig:
    """The run as it is."""
    return cfg


def make_model(
    cfg: TrainConfig, model_cfg: ModelConfig, platform: str | None = None
) -> LanguageBind:
    """The towers with the run's options, for this machine or for devices of another platform."""
    return LanguageBind(model_cfg, **compute.options(cfg, platform))


def prepare(
    cfg: TrainConfig,
    model: LanguageBind,
    frozen: paths.Tree,
    trainable: paths.Tree,
    readers: Mapping[str, pipeline.Loader],
) -> None:
    """Embeds the captions once, where the run keeps them."""
    if cfg.data.text_cache:
        data.use_text_cache(cfg, model, frozen, trainable, readers)


def make_gradient(cfg: TrainConfig, mesh: jax.sharding.Mesh, model: LanguageBind) -> Callable:
    """Loss, metrics and gradient of a run, see `families.Family`."""
    devices = sharding.batch_devices(mesh)
    drops = {
        name: {share: getattr(one, share) for share in DROPS}
        for name, one in cfg.modalities.items()
    }
    anchors = {name: one.anchor for name, one in cfg.modalities.items() if one.anchor != TEXT}
    encode = step_lib.make_encode(model, drops, mesh, anchors)
    contrast = step_lib.make_contrast(
        ring.make_contrastive(mesh, cfg.loss.kind, cfg.loss.tile),
        mask_duplicates=cfg.loss.mask_duplicates,
        scales={name: recipe.scale_of(model.cfg, name) for name in cfg.batch_sizes},
    )
    if cfg.accumulate > 1:
        return accumulate.make_gradient(
            encode, contrast, parts=cfg.accumulate, devices=devices, anchors=anchors
        )
    return jax.value_and_grad(step_lib.make_loss(encode, contrast), has_aux=True)


def optimizer(
    cfg: TrainConfig, trainable: paths.Tree
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """AdamW with half a cosine behind the warm-up, and the learning rate by step."""
    schedule = optimizer_lib.warmup_cosine(
        lr=cfg.optim.lr, warmup_steps=cfg.optim.warmup_steps, steps=cfg.steps
    )
    return optimizer_lib.of_run(cfg.optim, trainable, schedule), schedule


def batch_shapes(cfg: TrainConfig, model_cfg: ModelConfig) -> dict[str, dict[str, Any]]:
    """Shapes of a global batch; texts are embeddings where the run has a text cache."""
    found, prepared = {}, recipe.preprocessing(cfg)

    def items(name: str, size: int) -> jax.ShapeDtypeStruct:
        shape = specs.shape(recipe.training_spec(prepared[name]))
        return jax.ShapeDtypeStruct((size, *shape), jnp.float32)

    for name, size in cfg.batch_sizes.items():
        ids = jax.ShapeDtypeStruct((size, cfg.text_length), jnp.int32)
        text, media = ids, ids
        if cfg.data.text_cache:
            text = jax.ShapeDtypeStruct((size, model_cfg.text.embed_dim), jnp.float32)
        if name != TEXT:
            media, anchor = items(name, size), cfg.modalities[name].anchor
            text = text if anchor == TEXT else items(anchor, size)
        found[name] = {"media": media, "text": text}
    return found


def held(frozen: paths.Tree, cfg: TrainConfig) -> paths.Tree:
    """Frozen parameters as the step takes them.

    In the run's `frozen_dtype`, temperatures in float32; without a text tower that no step runs,
    its embeddings coming from the text cache or nothing being bound to text.
    """
    dtype = jnp.dtype(cfg.frozen_dtype)
    idle = cfg.data.text_cache or not recipe.uses_text(cfg)
    return paths.unflatten(
        {
            path: leaf if path.startswith(("logit_scale/", "logit_bias/")) else leaf.astype(dtype)
            for path, leaf in paths.flatten(frozen).items()
            if not (idle and path.startswith(f"{TEXT}/"))
        }
    )


def resized(cfg: TrainConfig, sizes: Mapping[str, int]) -> TrainConfig:
    """The run with other batches of each modality and of the caption pairs."""
    modalities = {
        name: dataclasses.replace(one, batch_size=sizes[name])
        for name, one in cfg.modalities.items()
    }
    paraphrase = cfg.paraphrase and dataclasses.replace(cfg.paraphrase, batch_size=sizes[TEXT])
    return dataclasses.replace(cfg, modalities=modalities, paraphrase=paraphrase)


def trial(cfg: TrainConfig) -> TrainConfig:
    """The run from the demo's model, which comes with the package, its modalities as small."""
    arch = "imagebind_tiny" if recipe.family(cfg).twins else "tiny"
    small = PREPROCESS[arch]
    modalities = {
        name: dataclasses.replace(
            one,
            preprocess={**one.preprocess, **small.get(name, {})},
            **dict.fromkeys(DROPS, 0.0),
            batch_size=0,
        )
        for name, one in cfg.modalities.items()
    }
    return dataclasses.replace(
        cfg,
        arch=arch,
        init_from=shipped.DEMO,
        modalities=modalities,
        beside={
            name: {**cfg.beside.get(name, {}), **small.get(name, {})}
            for name in recipe.towers_of(cfg)
            if name not in cfg.modalities
        },
        batch_size=BATCH_SIZE,
        accumulate=1,
        text_length=TEXT_LENGTH,
        data=dataclasses.replace(cfg.data, cache="memory"),
        optim=dataclasses.replace(
            cfg.optim, lr=2e-3, lr_factors=(), warmup_steps=10, weight_decay=0.05
        ),
    )


def export(
    folder: Path,
    cfg: TrainConfig,
    model_cfg: ModelConfig,
    preprocess: Mapping[str, Any],
    params: paths.Tree,
    readers: Mapping[str, pipeline.Loader],
) -> None:
    """Writes towers, preprocessing, and what the rows are known by."""
    params.pop("logit_bias", None)
    params["logit_scale"] = {name: params["logit_scale"][name] for name in model_cfg.scaled}
    checkpoint.save_model(
        folder,
        params,
        {"model": config_lib.to_dict(model_cfg), "preprocess": config_lib.to_dict(preprocess)},
    )
    seen.write(folder, rows_seen(cfg, readers))


def rows_seen(
    cfg: TrainConfig, readers: Mapping[str, pipeline.Loader]
) -> dict[str, frozenset[bytes]]:
    """What the rows of each modality are known by, with those of what the run started from."""
    start = Path(cfg.init_from or ".")
    before = {**seen.read(start), **seen.read(start / "checkpoint")} if cfg.init_from else {}
    now = {name: found for name in cfg.modalities if (found := readers[name].seen()) is not None}
    return {name: before.get(name, frozenset()) | now.get(name, set()) for name in before | now}
