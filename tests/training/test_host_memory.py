"""Memory that a run on CPUs keeps: what the system is asked for, in processes of their own."""

import concurrent.futures
import multiprocessing
import sys

import pytest

from lb_jax.core import processes
from lb_jax.training import host_memory

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")


def _pages_of_steps(keeps):
    """New pages that the system hands out in each of the last of ten steps."""
    import resource

    kept = host_memory.keep() if keeps else None
    import jax
    import jax.numpy as jnp

    step = jax.jit(lambda x: jnp.sort(x) + 1).lower(jnp.zeros((16, 2**19))).compile()
    if keeps:
        host_memory.reserve(step)
    x, counts = jnp.ones((16, 2**19)), []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        x = jax.block_until_ready(step(x))
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return kept, sorted(counts[5:])[2], float(x[0, 0])


def _alone(function, *arguments):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


@pytest.mark.skipif(processes.has_device(*processes.DEVICES), reason="beside an accelerator")
def test_a_step_is_given_no_new_pages():
    kept, pages, value = _alone(_pages_of_steps, True)
    assert kept
    assert value == 11
    assert pages < 16 * 2**19 * 4 // 4096 // 10  # of one of its arrays


def test_nothing_is_kept_beside_an_accelerator(monkeypatch):
    monkeypatch.setattr(processes, "has_device", lambda *kinds: True)
    assert not host_memory.keep()
