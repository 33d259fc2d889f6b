"""Processes that work for another one, and what a process says while its libraries start."""

import os
import threading
import time
from pathlib import Path


def end_with_parent(*, every_s: float = 1.0) -> None:
    """Ends this process soon after the one that started it, also when that one was killed.

    A killed process cannot end its workers, which would wait for work for ever.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every_s)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def one_of_several() -> None:
    """Begins a process that decodes beside others: it ends with its parent and takes one core.

    Libraries start a thread for each core in every process; there are then more threads than cores,
    and those of a product wait for each other without sleep.
    """
    import cv2
    import threadpoolctl

    end_with_parent()
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1, "blas")


# Files of Linux, in /dev, that are there with an accelerator.
DEVICES = {"TPU": ("accel[0-9]*", "vfio/[0-9]*"), "GPU": ("nvidia[0-9]*", "kfd")}


def has_device(*kinds: str) -> bool:
    """Whether there may be one of these rows of `DEVICES`, asked without starting JAX."""
    names = (name for kind in kinds for name in DEVICES[kind])
    return any(next(Path("/dev").glob(name), None) for name in names)


def quiet_libtpu() -> None:
    """Keeps `libtpu`, where it is installed to plan for TPUs, from complaining that there is none.

    JAX loads it whenever it starts. Without a TPU it asks the environment what machine this is, and
    writes five lines to stderr when it finds no answer. Call before JAX starts its backends.
    """
    if has_device("TPU"):
        return
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # several processes may plan at once
