"""What a decoding process does first."""

import signal

import jax

from lb_jax.core import processes


def start(number: int, count: int) -> None:
    """Keeps jax, which Grain brings along, off the accelerator, and ends with the run.

    jax would take the device's memory, which is the training process's, when it is first used.
    """
    del number, count
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends its workers
    processes.end_with_parent()
    jax.config.update("jax_platforms", "cpu")
