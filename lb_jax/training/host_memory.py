"""The memory of a step on CPUs, kept from step to step.

A step's results and scratch are new memory each time. glibc gives large pieces back to the system
as soon as they are free, which hands them out again empty, in pages of 4 KiB: 5 to 20 % of a step.
So on a machine without accelerator what is free is kept, and the first step's memory lies in huge
pages where the system has them. Elsewhere, and without glibc, nothing is changed.
"""

import ctypes
import mmap
import sys

import jax

from lb_jax.core import processes

# Names and numbers of malloc.h: mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
SETTINGS = (
    (_MMAP_MAX, 0),  # a large piece is one of the heap, not a mapping that goes when it is free
    (_TRIM_THRESHOLD, 2**31 - 1),  # the end of the heap stays
    (_TOP_PAD, 64 * 2**20),
    (_ARENA_MAX, 1),  # heaps of other threads are too small for large pieces, which are mapped then
)
HUGE_PAGE = 2**21


def keep() -> bool:
    """Lets this process keep memory that is free; call before JAX starts its threads.

    Returns:
      Whether it does: not beside an accelerator, nor without glibc.
    """
    if processes.has_device(*processes.DEVICES) or not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    return hasattr(libc, "mallopt") and all(libc.mallopt(*setting) for setting in SETTINGS)


def reserve(step: jax.stages.Compiled) -> None:
    """Asks for huge pages where the memory of a compiled step will lie; after `keep`."""
    found = step.memory_analysis()
    if found is None or not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size = found.temp_size_in_bytes + found.output_size_in_bytes + HUGE_PAGE
    start = libc.malloc(size)
    if start:
        first = -(-start // HUGE_PAGE) * HUGE_PAGE
        libc.madvise(first, (start + size - first) // HUGE_PAGE * HUGE_PAGE, mmap.MADV_HUGEPAGE)
        libc.free(start)
