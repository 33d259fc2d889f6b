"""Several hosts at one store: which of them this process is, and waiting for the others."""

import jax
from orbax.checkpoint import multihost

# How long the first to be ready waits for the others, whose files may take longer.
WAIT_MS = 7 * 24 * 3600 * 1000


def place() -> tuple[int, int]:
    """(number of this process, count of them)."""
    return jax.process_index(), jax.process_count()


def wait(what: str) -> None:
    """Until all processes are here.

    Through the coordinator: a collective of the devices gives up after seconds, and one share of
    the files may take hours longer than another.
    """
    if jax.process_count() > 1:
        multihost.get_barrier_sync_fn()(key=f"lb_jax: {what}", timeout_ms=WAIT_MS)
