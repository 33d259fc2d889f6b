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

Distance = Callable[[Mapping[str, Any], Mapping[str, Any], Any], jax.Array]


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
    told: Callable[[float], None] = lambda distance: None,
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
      told: is called with the distance of each step.

    Raises:
      TrainingError: when there are fewer batches than steps, or a distance is not finite.
    """
    small, start = deflation.deflated(cfg, params)
    moving, fixed = paths.partition(start, deflation.AFFINE)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    distance = make_distance(cfg, small, frames, convolution)

    @jax.jit  # weights are arguments: as constants they would be compiled in
    def step(moving, state, fixed, params, images):
        def loss(moving):
            return distance(params, paths.overlay(fixed, moving), images)

        value, gradient = jax.value_and_grad(loss)(moving)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(moving, updates), state, value

    state, distances = optimizer.init(moving), []
    for _, images in zip(range(steps), batches, strict=False):
        moving, state, value = step(moving, state, fixed, params, jnp.asarray(images))
        distances.append(float(value))
        if not np.isfinite(distances[-1]):
            raise errors.TrainingError(
                f"step {len(distances)} of {steps}: the distance is {distances[-1]}; lower the "
                f"learning rate of {learning_rate}."
            )
        told(distances[-1])
    if len(distances) < steps:
        raise errors.TrainingError(
            f"images for {len(distances)} of {steps} steps; give more, or fewer steps."
        )
    return Fitted(small, paths.overlay(fixed, moving), np.asarray(distances))


def make_distance(
    cfg: S3DConfig | TSMConfig,
    small: S3DConfig | TSMConfig,
    frames: int = FRAMES,
    convolution: str = "xla",
) -> Distance:
    """How far an image tower is from the video tower.

    Args:
      cfg, small: of the video tower, and of the image tower.
      frames, convolution: as for `fit`.

    Returns:
      (leaves of the video tower, of the image tower, images [b, h, w, 3]) -> mean L1 distance.
    """
    video, image = (tower(one, convolution) for one in (cfg, small))

    def distance(params, leaves, images):
        target = video(params, deflation.stills(cfg, images, frames))
        return jnp.abs(image(leaves, deflation.stills(small, images)) - target).mean()

    return distance


def tower(cfg: Any, convolution: str = "xla") -> Callable[[Mapping[str, Any], Any], jax.Array]:
    """A tower of this config in evaluation: (leaves, clips) -> features [b, f]."""
    kind = TOWERS[type(cfg)]
    made = nnx.eval_shape(lambda: kind(cfg, rngs=nnx.Rngs(params=0), convolution=convolution))
    graph, _ = nnx.split(made)
    return lambda params, clips: nnx.merge(graph, params)(clips).pooled
