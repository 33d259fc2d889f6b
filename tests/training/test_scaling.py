"""What a device holds grows with the batch, not with its square."""

import dataclasses

from benchmarks import scaling
from lb_jax.training import plan


def test_temporary_bytes_of_the_step_grow_with_the_batch():
    to = plan.target("cpu:8")
    held = {
        batch: plan.try_out(
            dataclasses.replace(scaling.TINY, batch_size=batch), to
        ).figures.temp_bytes
        for batch in (1024, 4096)
    }
    assert held[4096] <= 4.4 * held[1024]  # the whole matrix on every device makes it 11
