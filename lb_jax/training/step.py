"""One training step.

Loss of every modality against text, gradient of the trainable leaves, update, clamp.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.models.languagebind import LanguageBind
from lb_jax.objectives import contrastive

Batch = Mapping[str, Mapping[str, jax.Array]]


def make_loss(model: LanguageBind, patch_dropout: Mapping[str, float]):
    """Returns `loss(trainable, frozen, batch, key) -> (scalar, metrics)`.

    A batch maps each modality to `{"media": preprocessed [b, ...], "text": ids [b, n]}`, and
    `text`, if it is there, to ids of two captions of the same items. Every modality is bound to its
    own texts only; the losses are summed, so each tower sees the gradient it would see alone. The
    texts of all modalities go through the text tower in one call; in place of their ids all may be
    embeddings [b, e] that it gave before.
    """

    def loss(trainable, frozen, batch: Batch, key: jax.Array):
        params = paths.overlay(frozen, trainable)
        names = sorted(batch)
        texts = [batch[name]["text"] for name in names]
        if not jnp.issubdtype(texts[0].dtype, jnp.floating):
            ends = np.cumsum([len(one) for one in texts])[:-1]
            texts = jnp.split(model.encode(params, TEXT, jnp.concatenate(texts)), ends)
        metrics = {}
        for i, (name, text) in enumerate(zip(names, texts, strict=True)):
            options = {"key": jax.random.fold_in(key, i), "patch_dropout": patch_dropout.get(name)}
            options = {} if name == TEXT else options  # a caption has neither patches nor LoRA
            media = model.encode(params, name, batch[name]["media"], **options)
            metrics[f"loss/{name}"] = contrastive.symmetric_infonce(
                media, text, params["logit_scale"][name]
            )
            metrics[f"logit_scale/{name}"] = params["logit_scale"][name]
        total = sum(metrics[f"loss/{name}"] for name in names)
        return total, {"loss": total, **metrics}

    return loss


def make_step(loss, optimizer: optax.GradientTransformation, schedule: optax.Schedule):
    """Returns `step(state, frozen, batch, key) -> (state, metrics)` for `jax.jit`.

    `state` is `{"params", "opt", "step"}`.

    The key of a step is folded from the run's key and the step's number, so that a resumed run
    draws what the unbroken one drew.
    """

    def step(
        state, frozen, batch: Batch, key: jax.Array
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        gradient = jax.value_and_grad(loss, has_aux=True)
        (_, metrics), grads = gradient(
            state["params"], frozen, batch, jax.random.fold_in(key, state["step"])
        )
        updates, opt = optimizer.update(grads, state["opt"], state["params"])
        params = clamp_logit_scales(optax.apply_updates(state["params"], updates))
        metrics |= {"grad_norm": optax.tree.norm(grads), "lr": schedule(state["step"])}
        return {"params": params, "opt": opt, "step": state["step"] + 1}, metrics

    return step


def clamp_logit_scales(params: paths.Tree) -> paths.Tree:
    """Keeps every trained temperature within [1/100, 1] (LanguageBind `train.py`)."""
    if "logit_scale" not in params:
        return params
    clamped = {
        name: jnp.clip(scale, 0.0, contrastive.MAX_LOGIT_SCALE)
        for name, scale in params["logit_scale"].items()
    }
    return {**params, "logit_scale": clamped}
