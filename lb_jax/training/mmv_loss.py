"""MMV's loss: videos compared with their sound and with what is said about then (MMV spec 4).

A batch is that of `feed.films`. Every tower runs once, all narrations of all clips as one batch of
texts; a pair of modalities is compared in a space of the graph that is trained by it. What an item
lacks is neither positive nor negative, and does not enter batch norms.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any

import jax
from einops import rearrange

from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.feed import films, items
from lb_jax.models.graphs import GraphConfig
from lb_jax.models.languagebind import unit
from lb_jax.models.mmv import Mmv
from lb_jax.objectives import mil_nce
from lb_jax.training import sharding
from lb_jax.training.step import RUNNING

VIDEO = "video"
# Modality that videos are compared with -> the spaces made for the two; the first that a graph has.
SPACES = {"audio": ("va", "vat"), TEXT: ("vt", "vat")}

Objective = Callable[..., jax.Array]


def space_of(graph: GraphConfig, modality: str) -> str:
    """The space in which videos are compared with a modality in training."""
    both = {*graph.spaces(VIDEO)} & {*graph.spaces(modality)}
    return next(space for space in SPACES[modality] if space in both)


def inputs_of(batch: Mapping[str, Any]) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """What the towers take of a batch, and which of it there is.

    Args:
      batch: of films: media [b, ...] with `present` [b, m], narrations [b, k, n].

    Returns:
      Modality -> input, texts as [b k, n]; modality -> bool [b] or [b k].
    """
    media, texts = batch["media"], batch["text"]
    roles = [name for name in (VIDEO, "audio") if name in media]
    inputs = {name: media[name] for name in roles}
    counted = dict(zip(roles, media[items.PRESENT].T, strict=True))
    if texts[films.NARRATION].shape[1]:
        inputs[TEXT] = rearrange(texts[films.NARRATION], "b k n -> (b k) n")
        counted[TEXT] = rearrange(texts[films.NARRATION_PRESENT], "b k -> (b k)")
    return inputs, counted


def make_objective(mesh: jax.sharding.Mesh, positives: str, tile: int) -> Objective:
    """The loss of a pair over a mesh, see `mil_nce.make_mil_nce`; nobody holds all scores."""
    return mil_nce.make_mil_nce(mesh, tile, positives=positives)


def make_loss(
    model: Mmv,
    weights: Mapping[str, float],
    objective: Objective,
    mesh: jax.sharding.Mesh | None = None,
    *,
    still: Container[str] = (),
) -> Callable[..., tuple[jax.Array, dict[str, Any]]]:
    """Returns `loss(moved, running, frozen, batch) -> (scalar, metrics)`.

    Metrics are the total, the loss of every pair, the share of the items that have it, and under
    `step.RUNNING` the statistics `running` as this batch leaves them.

    Args:
      model: with the towers of all pairs.
      weights: modality -> weight of its term, see `SPACES`.
      objective: `(items, bags, present, candidates) -> scalar`, as `mil_nce.mil_nce`.
      mesh: that the batch is spread on, None for a single device.
      still: towers, or "heads", whose batch norms read their statistics instead of the batch's.
    """

    def spread(x: jax.Array) -> jax.Array:
        if mesh is None:
            return x
        return jax.lax.with_sharding_constraint(x, sharding.batch_sharding(mesh))

    def loss(moved, running, frozen, batch):
        inputs, counted = jax.tree.map(spread, inputs_of(batch))
        run = model.run(paths.overlay(frozen, running, moved), inputs, counted, still=still)
        found, metrics = {}, {}
        for name in weights:
            space = space_of(model.cfg.graph, name)
            videos, others = (unit(run.embeddings[one][space]) for one in (VIDEO, name))
            there = counted[name].reshape(len(videos), -1)  # [b, k], of sounds one
            bags = rearrange(others, "(b k) e -> b k e", b=len(videos))
            found[name] = objective(videos, bags, present=counted[VIDEO], candidates=there)
            metrics[f"loss/{name}"] = found[name]
            metrics[f"present/{name}"] = (there.any(-1) & counted[VIDEO]).mean()
        total = mil_nce.total(found, weights)
        now, held = paths.flatten(run.state), paths.flatten(running)
        counts = paths.unflatten({path: now.get(path, leaf) for path, leaf in held.items()})
        return total, {"loss": total, **metrics, RUNNING: counts}

    return loss
