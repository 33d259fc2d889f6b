"""`jax.jit` for programs that run once or twice."""

from importlib import metadata

import jax

# XLA's plain emitters compile in half the time where nothing is used again and again in one fusion
# (the sigmoid loss is such a case, and takes minutes). jaxlib 0.12 has them no more.
OPTIONS = (
    {"xla_cpu_use_fusion_emitters": False}
    if metadata.version("jaxlib").startswith("0.10.")
    else None
)


def jit(function):
    """`jax.jit` that takes less time to compile and more to run."""
    return jax.jit(function, compiler_options=OPTIONS)
