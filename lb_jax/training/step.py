"""One training step.

Every modality and its texts become embeddings, the embeddings a loss; the gradient of the trainable
leaves, update, clamp. A batch maps each modality to `{"media": preprocessed [b, ...], "text": ids
[b, n]}`, and `text`, if it is there, to ids of two captions of the same items. In place of ids,
texts may be embeddings [b, e] of a frozen text tower, and of a modality that is bound to another
one, its anchor, preprocessed items of that [b, ...].
"""

import functools
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.models.languagebind import LanguageBind, input_shape
from lb_jax.objectives import contrastive
from lb_jax.training import fingerprint, rows, sharding

Batch = Mapping[str, Mapping[str, jax.Array]]

# Among the metrics of a gradient: leaves that the batch gives new values, not the optimiser.
RUNNING = "running"
NONE_RUNS: paths.Rules = ((r".*", False),)  # of a model whose trained leaves all have a gradient


def make_encode(
    model: LanguageBind,
    drops: Mapping[str, Mapping[str, float]],
    mesh: jax.sharding.Mesh | None = None,
    anchors: Mapping[str, str] = MappingProxyType({}),
):
    """Returns `encode(params, batch, items, key)`, the embeddings in place of the inputs.

    All captions go through the text tower in one call; embeddings [b, e] that it gave before stay
    as they are. Inputs that a batch lacks are not encoded. What a modality is bound to is seen as
    for inference, nothing of it dropped.

    Args:
      model: the towers.
      drops: modality -> shares that its tower drops, options of `VisionTower.__call__`.
      mesh: that a batch is spread on, None for a single device.
      anchors: modality -> the one that it is bound to in place of text.
    """
    devices, options = 1, {}
    if mesh is not None:
        devices = sharding.batch_devices(mesh)
        options["constrain"] = functools.partial(
            jax.lax.with_sharding_constraint, shardings=sharding.batch_sharding(mesh)
        )

    def encode(params, batch: Batch, items: Mapping[str, jax.Array] | None, key: jax.Array):
        """Embeds a batch or, with the numbers of its items in the whole, a part of one."""
        found = {name: dict(sides) for name, sides in batch.items()}
        captions = [
            (name, side)
            for name in sorted(batch)
            for side, one in sorted(batch[name].items())
            if TEXT in (name, side) and name not in anchors
            if jnp.issubdtype(one.dtype, jnp.integer)
        ]
        if captions:
            ids = [batch[name][side] for name, side in captions]
            texts = model.encode(params, TEXT, rows.concatenate(ids, devices), **options)
            texts = rows.split(texts, [len(one) for one in ids], devices)
            for (name, side), text in zip(captions, texts, strict=True):
                found[name][side] = text
        for name, sides in batch.items():
            if name != TEXT and "media" in sides:
                found[name]["media"] = model.encode(
                    params,
                    name,
                    one_clip(model, name, sides["media"]),
                    key=jax.random.fold_in(key, zlib.crc32(name.encode())),
                    items=None if items is None else items[name],
                    **drops.get(name, {}),
                    **options,
                )
            if name in anchors and TEXT in sides:
                anchor = anchors[name]
                seen = one_clip(model, anchor, sides[TEXT])
                found[name][TEXT] = model.encode(params, anchor, seen, **options)
        return found

    return encode


def one_clip(model: LanguageBind, name: str, items: jax.Array) -> jax.Array:
    """Items [b, ...] as the tower takes them; a drawn clip has an axis of its own, [b, 1, ...]."""
    inner = input_shape(model.cfg, name)
    return items[:, 0] if items.shape[1:] == (1, *inner) else items


def make_contrast(
    objective: Callable[..., jax.Array],
    *,
    mask_duplicates: bool = False,
    scales: Mapping[str, str] = MappingProxyType({}),
):
    """Returns `contrast(params, embeddings, batch) -> (scalar, metrics)`.

    Every modality is bound to its own texts only, or to its own items of its anchor; the losses are
    summed, so each tower sees the gradient it would see alone.

    Args:
      objective: a row of `contrastive.LOSSES`, or its ring form.
      mask_duplicates: items with the same caption, or of the same anchor, are no negatives of each
        other.
      scales: modality -> whose temperature its loss has, where that is not its own.
    """

    def contrast(params, embeddings: Batch, batch: Batch):
        metrics = {}
        for name in sorted(embeddings):
            scale = params["logit_scale"][scales.get(name, name)]
            metrics[f"loss/{name}"] = objective(
                embeddings[name]["media"],
                embeddings[name][TEXT],
                scale,
                params.get("logit_bias", {}).get(name, 0.0),
                fingerprint.of_rows(batch[name][TEXT]) if mask_duplicates else None,
            )
            metrics[f"logit_scale/{name}"] = scale
        total = sum(metrics[f"loss/{name}"] for name in embeddings)
        return total, {"loss": total, **metrics}

    return contrast


def make_loss(encode: Callable, contrast: Callable):
    """Returns `loss(trainable, frozen, batch, key) -> (scalar, metrics)` of a batch at once."""

    def loss(trainable, frozen, batch: Batch, key: jax.Array):
        params = paths.overlay(frozen, trainable)
        return contrast(params, encode(params, batch, None, key), batch)

    return loss


def make_step(
    gradient: Callable,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    *,
    bound: Callable[[paths.Tree], paths.Tree] | None = None,
    running: paths.Rules = NONE_RUNS,
):
    """Returns `step(state, frozen, batch, key) -> (state, metrics)` for `jax.jit`.

    `state` is what `initial_state` gives.

    The key of a step is folded from the run's key and the step's number, so that a resumed run
    draws what the unbroken one drew. A step whose loss, gradient or statistics are not finite
    changes neither parameters nor optimiser: it is counted as skipped, and is no step of the
    schedule.

    Args:
      gradient: `gradient(trainable, frozen, batch, key) -> ((scalar, metrics), gradient)`; of a
        model with running statistics the metrics have all of them, as they are now, under
        `RUNNING`, and the gradient is of the other leaves.
      optimizer: over the trainable parameters.
      schedule: learning rate by step, for the metrics.
      bound: parameters after an update -> those that are kept; None is `clamp_logit_scales`, and
        VALOR bounds nothing.
      running: which of the trainable leaves are statistics that are counted, as of batch norms.
    """
    bound = bound or clamp_logit_scales

    def step(
        state, frozen, batch: Batch, key: jax.Array
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        (_, metrics), grads = gradient(
            state["params"], frozen, batch, jax.random.fold_in(key, state["step"])
        )
        metrics = dict(metrics)
        counted = metrics.pop(RUNNING, {})
        _, moved = paths.divide(state["params"], running)
        updates, opt = optimizer.update(grads, state["opt"], moved)
        params = paths.overlay(bound(optax.apply_updates(moved, updates)), counted)
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
        for one in jax.tree.leaves(counted):
            finite &= jnp.isfinite(one).all()
        old = {"params": state["params"], "opt": state["opt"]}
        kept = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old), {"params": params, "opt": opt}, old
        )
        skipped = state["skipped"] + ~finite
        lr = schedule(state["step"] - state["skipped"])
        metrics |= {"grad_norm": norm, "lr": lr, "finite": finite, "skipped": skipped}
        return {**kept, "step": state["step"] + 1, "skipped": skipped}, metrics

    return step


def initial_state(
    optimizer: optax.GradientTransformation,
    trainable: paths.Tree,
    running: paths.Rules = NONE_RUNS,
) -> paths.Tree:
    """The state before the first step: parameters, optimiser, steps taken, and those skipped.

    The optimiser knows nothing of leaves that `running` says are counted.
    """
    return {
        "params": trainable,
        "opt": optimizer.init(paths.divide(trainable, running)[1]),
        "step": jnp.int32(0),
        "skipped": jnp.int32(0),
    }


def clamp_logit_scales(params: paths.Tree) -> paths.Tree:
    """Keeps every trained temperature within [1/100, 1] (LanguageBind `train.py`)."""
    if "logit_scale" not in params:
        return params
    clamped = {
        name: jnp.clip(scale, 0.0, contrastive.MAX_LOGIT_SCALE)
        for name, scale in params["logit_scale"].items()
    }
    return {**params, "logit_scale": clamped}
