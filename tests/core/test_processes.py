"""Processes beside others."""

import concurrent.futures
import multiprocessing

from lb_jax.core import processes


def _threads():
    """Threads of each library of products, and of OpenCV."""
    import cv2
    import numpy  # noqa: F401
    import threadpoolctl

    found = threadpoolctl.threadpool_info()
    return [one["num_threads"] for one in found if one["user_api"] == "blas"], cv2.getNumThreads()


def test_one_of_several_takes_one_core():
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=processes.one_of_several
    ) as pool:
        products, pictures = pool.submit(_threads).result()
    assert {*products} == {1}
    assert pictures == 1
