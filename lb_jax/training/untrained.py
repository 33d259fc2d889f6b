"""An MMV model that has learnt nothing: what a trained one is held against.

Its parameters are drawn, but its batch norms have seen data: with the statistics of an empty model
the features of deep layers vanish, which would make any training look good.
"""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import paths
from lb_jax.models.mmv import Mmv, MmvConfig


def params(cfg: MmvConfig, batches: Iterable[Mapping[str, np.ndarray]], seed: int) -> paths.Tree:
    """Drawn parameters, and statistics of some batches under them.

    Args:
      cfg: the model's shape.
      batches: modality -> preprocessed [b, ...]; some twenty, as a statistic moves by a tenth.
      seed: of the parameters.
    """
    model = Mmv(cfg)

    @jax.jit
    def seen(found: paths.Tree, batch: Mapping[str, jax.Array]) -> paths.Tree:
        counted = {name: jnp.ones(len(one), bool) for name, one in batch.items()}
        return paths.overlay(found, model.run(found, batch, counted).state)

    found = model.init(jax.random.key(seed))
    for batch in batches:
        found = seen(found, batch)
    return jax.device_get(found)
