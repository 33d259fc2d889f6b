"""Small training steps in their plainest form, and the form that a run compiles, to compare.

Plain: one device, the whole batch at once, the whole similarity matrix, scanned layers, float32.
"""

import dataclasses
import functools
import os

import jax
import numpy as np

from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.media import specs
from lb_jax.models.languagebind import LanguageBind
from lb_jax.models.lora import LoraConfig
from lb_jax.objectives import contrastive
from lb_jax.training import binding as family
from lb_jax.training import program, recipe, sharding
from lb_jax.training import step as step_lib
from lb_jax.training.config import (
    DataConfig,
    LossConfig,
    ModalityRecipe,
    ParaphraseConfig,
    TrainConfig,
)

BINDING = (
    (r"towers/[^/]+/blocks/.*/lora_[ab]", True),
    (r"towers/video/blocks/temporal_(embed|norm/.*)", True),
    (r"towers/[^/]+/(class_embed|post_norm/.*|proj/kernel)", True),
    (r"logit_scale/.*", True),
    (r".*", False),
)
KEY = 5


def binding(lora_dropout: float = 0.0) -> TrainConfig:
    """Clips and stills with patch dropout, in batches of two sizes, and caption pairs."""
    lora = LoraConfig(rank=2, dropout=lora_dropout)
    return TrainConfig(
        arch="tiny",
        modalities={
            "video": ModalityRecipe(
                lora=lora, temporal=True, patch_dropout=0.5, preprocess={"frames": 2}
            ),
            "depth": ModalityRecipe(lora=lora, patch_dropout=0.5, batch_size=32),
        },
        paraphrase=ParaphraseConfig(batch_size=16),
        trainable=BINDING,
        steps=6,
        batch_size=16,
        text_length=16,
        loss=LossConfig(tile=3),
    )


def pictures() -> TrainConfig:
    """ImageBind: motion bound to clips and depth to stills, everything dropped, LoRA on one."""
    return TrainConfig(
        arch="imagebind_tiny",
        modalities={
            "imu": ModalityRecipe(anchor="video", drop_path=0.5, head_dropout=0.5),
            "depth": ModalityRecipe(anchor="image", lora=LoraConfig(rank=2), patch_dropout=0.5),
        },
        beside={"video": specs.ONE_CLIP},
        trainable=((r"towers/imu/.*|towers/depth/blocks/.*/lora_[ab]", True), (r".*", False)),
        steps=6,
        batch_size=16,
        text_length=16,
        loss=LossConfig(tile=3),
    )


RUNS = {
    "binding": binding(),
    "pictures": pictures(),
    "anchors train": dataclasses.replace(pictures(), trainable=((r".*", True),)),
    "LoRA dropout": binding(lora_dropout=0.1),
    "everything trains": dataclasses.replace(binding(), trainable=((r".*", True),)),
    "cached texts": dataclasses.replace(
        binding(), paraphrase=None, data=DataConfig(text_cache="folder")
    ),
    "sigmoid": dataclasses.replace(
        binding(),
        loss=LossConfig("sigmoid", mask_duplicates=True, tile=3),
        trainable=((r"logit_bias/.*", True), *BINDING),
    ),
}


@functools.cache
def start(name: str):
    """Trainable and frozen parameters, no factor zero, and a batch in which captions repeat."""
    cfg = RUNS[name]
    model = LanguageBind(recipe.build(cfg)[0])
    flat = paths.flatten(recipe.initial_params(cfg, model))
    rng = np.random.default_rng(0)
    for path in flat:
        if path.endswith("lora_b"):
            flat[path] = 0.02 * rng.normal(size=flat[path].shape).astype(np.float32)

    def captions(shape):
        if shape.dtype == np.int32:
            drawn = rng.integers(1, 49407, size=shape.shape).astype(np.int32)
        else:
            drawn = rng.normal(size=shape.shape).astype(np.float32)
            drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        drawn[1] = drawn[-1]
        return drawn

    batch = {}
    for modality, shapes in family.batch_shapes(cfg, model.cfg).items():
        media = rng.normal(size=shapes["media"].shape).astype(np.float32)
        batch[modality] = {
            "media": captions(shapes["media"]) if modality == TEXT else media,
            "text": captions(shapes["text"]),
        }
    return *paths.partition(paths.unflatten(flat), cfg.trainable), batch


def jit(name: str, function):
    """`jax.jit`, with other emitters than `tests/conftest.py` chose for the masked sigmoid loss."""
    slow = RUNS[name].loss.kind == "sigmoid" and "emitters=false" in os.environ["XLA_FLAGS"]
    options = {"xla_cpu_use_fusion_emitters": True} if slow else None
    return jax.jit(function, compiler_options=options)


def plain_gradient(name: str):
    """`gradient(trainable, frozen, batch, key)` of a run in the plainest form."""
    cfg = RUNS[name]
    model = LanguageBind(recipe.build(cfg)[0])
    encode = step_lib.make_encode(
        model,
        {
            modality: {share: getattr(one, share) for share in family.DROPS}
            for modality, one in cfg.modalities.items()
        },
        anchors={m: one.anchor for m, one in cfg.modalities.items() if one.anchor != TEXT},
    )
    contrast = step_lib.make_contrast(
        contrastive.LOSSES[cfg.loss.kind],
        mask_duplicates=cfg.loss.mask_duplicates,
        scales={one: recipe.scale_of(model.cfg, one) for one in cfg.batch_sizes},
    )
    return jit(name, jax.value_and_grad(step_lib.make_loss(encode, contrast), has_aux=True))


@functools.cache
def plain(name: str):
    """Metrics and flat gradient in the plainest form."""
    (_, metrics), gradient = plain_gradient(name)(*start(name), jax.random.key(KEY))
    return jax.device_get((metrics, paths.flatten(gradient)))


def mesh_of(shape: tuple[int, int, int]) -> jax.sharding.Mesh:
    """A mesh of the first devices."""
    sizes = dict(zip(sharding.AXES, shape, strict=True))
    return sharding.make_mesh(sizes, devices=jax.devices()[: int(np.prod(shape))])


def prepared(name: str, mesh: jax.sharding.Mesh, model=None, **changes):
    """The gradient function that a run compiles, with some settings changed, and its arguments."""
    cfg = dataclasses.replace(RUNS[name], **changes)
    trainable, frozen, batch = start(name)
    arguments = (
        program.place(trainable, mesh),
        program.place(family.held(frozen, cfg), mesh),
        sharding.put_batch(batch, mesh),
        jax.device_put(jax.random.key(KEY), sharding.replicated(mesh)),
    )
    model = model or family.make_model(cfg, recipe.build(cfg)[0])
    return jit(name, family.make_gradient(cfg, mesh, model)), arguments


def as_run(name: str, mesh: jax.sharding.Mesh, model=None, **changes):
    """Metrics and flat gradient as a run computes them."""
    gradient, arguments = prepared(name, mesh, model, **changes)
    (_, metrics), found = gradient(*arguments)
    return jax.device_get((metrics, paths.flatten(found)))


def gradient_error(found, expected) -> dict[str, float]:
    """Error of each tensor relative to its length.

    Tensors shorter than 1/1000 of the whole gradient, such as the bias of a key projection, which
    no softmax sees, are measured by that.
    """
    assert found.keys() == expected.keys()
    whole = np.sqrt(sum(np.linalg.norm(one) ** 2 for one in expected.values()))
    return {
        path: np.linalg.norm(np.asarray(found[path], np.float32) - one)
        / max(np.linalg.norm(one), 1e-3 * whole)
        for path, one in expected.items()
    }
