"""Compiled programs on disk: the next process with the same program need not compile it."""

import os

import jax

from lb_jax.core import folders

WORTH_S = 0.5  # programs that compile sooner are not kept


def keep() -> None:
    """Keeps compiled programs under JAX_COMPILATION_CACHE_DIR or in the user's cache folder."""
    default = str(folders.user_cache("xla"))
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", default)
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_S)
