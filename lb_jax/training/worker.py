"""What a decoding process does first."""

import jax


def leave_accelerator_alone(number: int, count: int) -> None:
    """Keeps jax, which Grain brings along, off the accelerator of the process that trains.

    It would take the device's memory when it is first used.
    """
    del number, count
    jax.config.update("jax_platforms", "cpu")
