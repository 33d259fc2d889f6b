"""An image tower out of a video tower and any pictures: fitted, and measured on some held out."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import logging, paths
from lb_jax.corpora.quarantine import Quarantine
from lb_jax.feed import pictures, pipeline
from lb_jax.media import specs
from lb_jax.models import convolution, deflation
from lb_jax.models.s3d import S3DConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.training import deflating

# Pictures that are not fitted to but measured on: one of so many, and at most so many.
HELD_OUT, MOST_HELD_OUT = 10, 64
THREADS = 4  # that decode


class Made(NamedTuple):
    """An image tower, and how far it is from the video tower on pictures held out.

    Attributes:
      config, params: of the tower.
      naive, fitted: mean L1 distance of features before the fit and after it.
      held_out: pictures that was measured on.
    """

    config: S3DConfig | TSMConfig
    params: paths.Tree
    naive: float
    fitted: float
    held_out: int


def fit(
    cfg: S3DConfig | TSMConfig,
    params: Mapping[str, Any],
    film: specs.VideoSpec,
    files: Sequence[str],
    quarantine: Quarantine,
    *,
    where: str,
    steps: int,
    batch_size: int,
    learning_rate: float = deflating.LEARNING_RATE,
    frames: int | None = None,
    seed: int = 0,
) -> Made:
    """Deflates a video tower and fits the result on pictures, with progress on stderr.

    Args:
      cfg: of the video tower.
      params: its leaves.
      film: preprocessing of its films; pictures are cropped and augmented as their frames are.
      files: paths of at least two pictures, in any order.
      quarantine: takes those that cannot be used.
      where: they come from, for messages.
      steps, batch_size, learning_rate: of the fit.
      frames: of the films it is fitted to; None is as many as `film` has.
      seed: of what is held out, the order, crops and augmentation.

    Raises:
      DataError: when too many pictures cannot be used.
      TrainingError: when a distance is not finite.
    """
    drawn = sorted(files)
    random.Random(seed).shuffle(drawn)
    count = min(-(-len(drawn) // HELD_OUT), MOST_HELD_OUT)
    held, rest = (pictures.Files(where, one) for one in (drawn[:count], drawn[count:]))
    shown, bad = pictures.shown(held, specs.still(film))
    quarantine.record(len(shown), bad)

    params = jax.tree.map(jnp.asarray, dict(params))
    options = {
        "frames": frames or film.frames,
        "convolution": convolution.usual_convolution(jax.default_backend()),
    }
    loader = pictures.Pictures(rest, film, seed=seed)
    sizes = {pictures.NAME: batch_size}
    batches = pipeline.Batches(
        pipeline.BatchLoader({pictures.NAME: loader}, sizes, threads=THREADS), quarantine
    )
    try:
        with logging.Progress("deflate", steps, unit="step") as progress:
            fitted = deflating.fit(
                cfg,
                params,
                (batch[pictures.NAME]["media"] for batch in batches),
                steps=steps,
                learning_rate=learning_rate,
                told=lambda distance: progress.advance(note=f"L1 {distance:.4f}"),
                **options,
            )
    finally:
        batches.close()
    measure = jax.jit(deflating.make_distance(cfg, fitted.config, **options))
    naive, after = (
        float(np.mean([measure(params, leaves, one[None]) for one in shown]))
        for leaves in (deflation.deflated(cfg, params)[1], fitted.params)
    )
    return Made(fitted.config, fitted.params, naive, after, len(shown))
