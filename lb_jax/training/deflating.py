"""Proper deflation: scale and bias of batch norms, fitted to the video tower (MMV spec 5).

No labels: what an image tower gives for an image is to be what the video tower gives for a clip of
that image alone. The distance is L1; all but scale and bias of batch norms stays as naive deflation
leaves it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from lb_jax.core import errors, paths
from lb_jax.models import deflation
from lb_jax.models.mmv import TOWERS
from lb_jax.models.s3d import S3DConfig
from lb_jax.models.tsm import TSMConfig

LEARNING_RATE = 1e-2  # falls to 0 along a cosine: kept up, it makes a good start worse
FRAMES = 32  # of the clips that MMV was trained on


class Fitted(NamedTuple):
    """What a fit gives.

    Attributes:
      config, params: of the image tower.
      distances: mean L1 distance of each step's batch before that step, [steps].
    """

    config: S3DConfig | TSMConfig
    params: paths.Tree
    distances: np.ndarray


def fit(
    cfg: S3DConfig | TSMConfig,
    params: Mapping[str, Any],
    batches: Iterable[np.ndarray],
    *,
    steps: int,
    frames: int = FRAMES,
    learning_rate: float = LEARNING_RATE,
    convolution: str = "xla",
) -> Fitted:
    """Deflates a video tower, and fits the result to it.

    Args:
      cfg: of the video tower.
      params: its leaves.
      batches: images [b, h, w, 3] in [0, 1], all of one shape; one batch a step.
      steps: of Adam.
      frames: of the clips that the video tower is shown.
      learning_rate: of the first step.
      convolution: a row of `models.convolution.CONVOLUTIONS`.

    Raises:
      TrainingError: when there are fewer batches than steps, or a distance is not finite.
    """
    small, start = deflation.deflated(cfg, params)
    moving, fixed = paths.partition(start, deflation.AFFINE)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    video, image = (tower(one, convolution) for one in (cfg, small))

    @jax.jit
    def step(moving, state, images):
        target = video(params, deflation.stills(cfg, images, frames))

        def distance(moving):
            found = image(paths.overlay(fixed, moving), deflation.stills(small, images))
            return jnp.abs(found - target).mean()

        value, gradient = jax.value_and_grad(distance)(moving)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(moving, updates), state, value

    state, distances = optimizer.init(moving), []
    for _, images in zip(range(steps), batches, strict=False):
        moving, state, value = step(moving, state, jnp.asarray(images))
        distances.append(float(value))
        if not np.isfinite(distances[-1]):
            raise errors.TrainingError(
                f"step {len(distances)} of {steps}: the distance is {distances[-1]}; lower the "
                f"learning rate of {learning_rate}."
            )
    if len(distances) < steps:
        raise errors.TrainingError(
            f"images for {len(distances)} of {steps} steps; give more, or fewer steps."
        )
    return Fitted(small, paths.overlay(fixed, moving), np.asarray(distances))


def tower(cfg: Any, convolution: str = "xla") -> Callable[[Mapping[str, Any], Any], jax.Array]:
    """A tower of this config in evaluation: (leaves, clips) -> features [b, f]."""
    kind = TOWERS[type(cfg)]
    made = nnx.eval_shape(lambda: kind(cfg, rngs=nnx.Rngs(params=0), convolution=convolution))
    graph, _ = nnx.split(made)
    return lambda params, clips: nnx.merge(graph, params)(clips).pooled
