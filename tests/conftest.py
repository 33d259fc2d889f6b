"""Eight virtual CPU devices, fixed before jax starts; programs compiled once; no network.

The fixtures are one small model that loads, computes and is stored like a large one.
"""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest

from lb_jax.core import host_memory

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

# A process of many programs gives its memory back, whatever a run in it asks for.
host_memory.SETTINGS = ()

# Modules of long tests: begun first, they leave no worker waiting for another at the end.
LONG = ("test_drill", "test_equality", "test_loop", "test_multihost", "test_resume")


def pytest_addoption(parser):
    parser.addoption(
        "--skipped-to", metavar="FILE", help="list of the tests that were skipped, for pytest @FILE"
    )


def pytest_configure(config):
    path = config.getoption("--skipped-to")
    if path:
        worker = getattr(config, "workerinput", {}).get("workerid")  # of xdist
        if worker is None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text("")
        if worker or not config.getoption("numprocesses", None):
            config.pluginmanager.register(Skipped(Path(path), files=worker in (None, "gw0")))


class Skipped:
    """Writes down tests that this process skipped and, in one of all processes, files of them."""

    def __init__(self, path, *, files):
        self._path, self._files = path, files

    def pytest_runtest_logreport(self, report):
        if report.skipped:
            self._write(report.nodeid)

    def pytest_collectreport(self, report):
        if report.skipped and self._files:
            self._write(report.nodeid)

    def _write(self, name):
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONG)


MOST_MAPS = 30_000  # Linux gives a process 65,530; beyond them compiling ends in a crash


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Lets compiled programs go before their mappings are too many; those of a file stay."""
    yield
    maps = Path("/proc/self/maps")
    if "jax" in sys.modules and maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        sys.modules["jax"].clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    from tests.inference import tiny  # imports jax, which reads what is set above

    return tiny.save(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture(scope="session")
def model(folder):
    from lb_jax.inference import api

    return api.load(folder)


@pytest.fixture(scope="session")
def alone(folder):
    """The same model on a single device."""
    import jax

    from lb_jax.inference import api

    return api.load(folder, devices=jax.local_devices()[:1])


@pytest.fixture
def load(model):
    """`api.load` for checkpoints of the same shape, which shares what is compiled already."""
    from lb_jax.inference import api

    def loaded(source):
        twin = api.load(source)
        assert twin.config == model.config
        twin._programs = model._programs
        return twin

    return loaded
