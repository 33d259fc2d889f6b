"""The compiled programs of a model, spread over devices."""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from lb_jax.core import errors
from lb_jax.models import languagebind

DTYPES = ("float32", "bfloat16")  # float16 is not computed on every device
AXIS = "device"  # the only one of the mesh that a batch is spread over


def compute_dtype(given: Any) -> jnp.dtype:
    """The type of parameters and compute that a caller names.

    Raises:
      ConfigError: for none of `DTYPES`.
    """
    try:
        found = jnp.dtype(given)
    except TypeError:
        found = None
    if found is None or found not in map(jnp.dtype, DTYPES):
        raise errors.ConfigError(f"dtype is {given!r}; expected one of {', '.join(DTYPES)}.")
    return found


def require_batch(size: Any) -> None:
    """Raises `ConfigError` for what is no number of items of a batch."""
    if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < 1:
        raise errors.ConfigError(f"batch_size is {size!r}, expected a whole number, at least 1.")


@functools.lru_cache(maxsize=8)
def compiled(
    config: languagebind.ModelConfig, dtype: jnp.dtype, mesh: Mesh
) -> dict[str, Callable[..., jax.Array]]:
    """`encode`, `project` and `features` of a model, compiled once for all weights of one config.

    All take (params, modality, batch [b, ...]), b a multiple of the devices, and give
    float32 [b, e], of length 1 or of the tower's own, or what its projection takes, [b, width].
    """
    model = languagebind.LanguageBind(config, dtype=dtype)
    found = {"encode": model.encode, "project": model.project, "features": model.features}
    return {name: spread(one, mesh) for name, one in found.items()}


def spread(run: Callable[..., jax.Array], mesh: Mesh) -> Callable[..., jax.Array]:
    """Compiles a function of (params, modality, batch); every device runs it on its items."""
    if mesh.size == 1:
        return jax.jit(run, static_argnums=1)

    def on_each(params: Any, modality: str, batch: jax.Array) -> jax.Array:
        return jax.shard_map(
            lambda params, part: run(params, modality, part),
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
            out_specs=PartitionSpec(AXIS),
            check_vma=False,
        )(params, batch)

    return jax.jit(on_each, static_argnums=1)
