"""A small run of MMV on real films, and its step in the plainest form, to compare.

Plain: one device, every score of a pair at once.
"""

import dataclasses
import functools
import json

import jax
import numpy as np

from lb_jax.core import paths
from lb_jax.models import mmv_architectures
from lb_jax.models.mmv_architectures import MmvArchitecture
from lb_jax.models.resnet import ResNetConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.models.words import WordsConfig
from lb_jax.objectives import mil_nce
from lb_jax.training import mmv, mmv_loss, program, sharding
from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    SourceConfig,
    TrainConfig,
)
from lb_jax.training.mmv_config import CORPUS, MmvRun
from tests.media import media_files
from tests.training import plain_step

ARCH = "MMV-test"
SIZE = MmvArchitecture(
    TSMConfig((8, 16), (1, 1), stem=4),
    ResNetConfig((8, 16), (1, 1), bottleneck=False, stem=4),
    WordsConfig(12, vocab=20, word_dim=6),
    fine=8,
    coarse=6,
)
mmv_architectures.MMV_ARCHITECTURES[ARCH] = SIZE  # sheets of other processes import this file too
CFG = TrainConfig(
    arch=ARCH,
    modalities={
        "video": ModalityRecipe(preprocess={"frames": 2, "fps": 10.0, "size": 16}),
        "audio": ModalityRecipe(preprocess={"mel_bins": 8}),
    },
    trainable=((r".*", True),),
    steps=4,
    batch_size=8,
    text_length=3,
    data=DataConfig({"main": SourceConfig()}),
    optim=OptimConfig(lr=1e-2, warmup_steps=0, weight_decay=0.0, b2=0.999),
    mmv=MmvRun(candidates=2, vocabulary=CORPUS, needs=(), text_weight=2.0, tile=3),
    log_every=1,
    save_every=2,
)


def changed(cfg, **fields):
    """The run with other fields of itself, or of its part for MMV."""
    own = {name: fields.pop(name) for name in list(fields) if hasattr(cfg.mmv, name)}
    return dataclasses.replace(cfg, mmv=dataclasses.replace(cfg.mmv, **own), **fields)


def films(folder):
    """Four films, the last silent, of which the first two are narrated; and the run on them."""
    (folder / "films").mkdir()
    for number, name in enumerate("abcd"):
        content = media_files.clip(8 + 2 * number, sound=name != "d")
        (folder / "films" / f"{name}.mp4").write_bytes(content)
    said = {"start": [0, 0.3, 0.5], "end": [0.3, 0.5, 0.8], "text": ["cut bread", "spread", "um %"]}
    (folder / "asr.json").write_text(json.dumps({"a": said, "b": said}))
    source = SourceConfig(str(folder / "films"), narrations=str(folder / "asr.json"))
    return dataclasses.replace(CFG, data=DataConfig({"main": source}))


@functools.cache
def start():
    """Trainable parameters, their statistics not those of nothing, and a batch that lacks some."""
    model = mmv.make_model(CFG, mmv.build(CFG)[0])
    flat = paths.flatten(jax.device_get(mmv.drawn_params(CFG, model)))
    rng = np.random.default_rng(0)
    for path in flat:
        if "/running/" in path:
            flat[path] = rng.uniform(1, 2, flat[path].shape).astype(np.float32)
    batch = {}
    for side, arrays in mmv.batch_shapes(CFG, model.cfg)["items"].items():
        batch[side] = {
            name: {
                "f": lambda one: rng.normal(size=one.shape).astype(np.float32),
                "i": lambda one: rng.integers(0, 20, one.shape).astype(np.int32),
                "b": lambda one: rng.random(one.shape) < 0.7,
            }[one.dtype.kind](one)
            for name, one in arrays.items()
        }
    return paths.unflatten(flat), {"items": batch}


@functools.cache
def plain_gradient():
    """`gradient(trainable, frozen, batch, key)` in the plainest form."""
    model = mmv.make_model(CFG, mmv.build(CFG)[0])
    weights = CFG.mmv.weights
    loss = jax.value_and_grad(mmv_loss.make_loss(model, weights, mil_nce.mil_nce), has_aux=True)

    @jax.jit
    def gradient(trainable, frozen, batch, key):
        running, moved = paths.divide(trainable, mmv.RUNNING)
        return loss(moved, running, frozen, batch["items"])

    return gradient


@functools.cache
def as_run(shape):
    """Metrics and gradient as a run computes them on a mesh."""
    mesh, (trainable, batch) = plain_step.mesh_of(shape), start()
    model = mmv.make_model(CFG, mmv.build(CFG)[0])
    arguments = (
        program.place(trainable, mesh),
        {},
        sharding.put_batch(batch, mesh),
        jax.device_put(jax.random.key(0), sharding.replicated(mesh)),
    )
    return jax.device_get(jax.jit(mmv.make_gradient(CFG, mesh, model))(*arguments))
