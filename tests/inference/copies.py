"""Checkpoints written again with something changed."""

from lb_jax.core import checkpoint, paths


def rewrite(folder, *, params=None, config=None):
    """Writes a checkpoint again with some leaves, given by path, or config entries replaced.

    A leaf replaced by None is left out.
    """
    leaves = {**paths.flatten(checkpoint.load_params(folder)), **(params or {})}
    kept = {path: leaf for path, leaf in leaves.items() if leaf is not None}
    old = checkpoint.load_config(folder)
    checkpoint.save_model(folder, paths.unflatten(kept), {**old, **(config or {})})
