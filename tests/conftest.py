"""Eight virtual CPU devices, fixed before jax starts; programs compiled once; no network."""

import atexit
import os
import shutil
import tempfile
from importlib import metadata

# Tests compile much and compute little: one LLVM module for each program and, where jaxlib still
# has them (0.12 does not), the plain emitters compile in a third of the time. Plain emitters take
# minutes where a fusion uses one value again and again: see `plain_step.jit`.
FLAGS = ["--xla_force_host_platform_device_count=8", "--xla_cpu_parallel_codegen_split_count=1"]
if metadata.version("jaxlib").startswith("0.10."):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *FLAGS])
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers share that of the process above them
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="lb_jax-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

# Modules of long tests: begun first, they leave no worker waiting for another at the end.
LONG = ("test_drill", "test_multihost", "test_loop")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONG)
