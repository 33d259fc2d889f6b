"""What is wrong with a machine or a model, found by trying it, and what to do about it.

`CHECKS` is the table of checks; each yields findings, one line each.
"""

import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import jax
import numpy as np
from packaging import requirements  # matplotlib needs it

import lb_jax
from lb_jax.core import checkpoint, errors, folders
from lb_jax.inference import encoder, golden, opening
from lb_jax.inference.golden import write_golden
from lb_jax.media import codecs

__all__ = ["CHECKS", "FAIL", "OK", "WARN", "Case", "Finding", "findings", "write_golden"]

OK, WARN, FAIL = "ok", "warn", "fail"
GIB = 2**30
LEAST_MEMORY, LEAST_DISK = 2 * GIB, 2 * GIB  # of the machine; free
PACKAGES = ("jax", "jaxlib", "flax", "numpy", "av", "pillow", "soundfile")
# extra: (modules it brings, what is not to be had without, whether users miss it soon)
EXTRAS = {
    "search": (("lancedb",), "stores of vectors and searching them", True),
    "serve": (("lancedb", "gradio", "litserve"), "the web page and the HTTP API", True),
    "mteb": (("mteb",), "the MTEB wrapper", False),
    "tensorboard": (("tensorboardX",), "metrics in TensorBoard", False),
    "trackio": (("trackio",), "metrics in Trackio", False),
    "wandb": (("wandb",), "metrics in Weights & Biases", False),
}
# accelerator: (JAX's name of it, files that are there with its driver)
ACCELERATORS = {
    "NVIDIA GPU": ("gpu", ("dev/nvidia[0-9]*", "proc/driver/nvidia/version")),
    "TPU": ("tpu", ("dev/accel[0-9]*",)),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
      check: the row of `CHECKS`.
      name: of what was looked at.
      status: "ok", "warn" or "fail".
      found: in words.
      do: what to do about it; empty when all is well.
    """

    check: str
    name: str
    status: str
    found: str
    do: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is looked at.

    Attributes:
      model: what `lb_jax.load` opens.
      store: a store of vectors, or None.
      root: of the file system; another one in tests.
    """

    model: str = "demo"
    store: str | None = None
    root: Path = Path("/")


Check = Callable[[Case], Iterator[tuple[str, ...]]]  # (name, status, found, what to do)


def findings(case: Case) -> Iterator[Finding]:
    """Runs every check, in order."""
    for check, run in CHECKS.items():
        for row in run(case):
            yield Finding(check, *row)


def versions(case: Case) -> Iterator[tuple[str, ...]]:
    """Of Python and the libraries; of other versions than `constraints.txt` has, where it is."""
    del case
    pinned = _constraints()
    yield "python", OK, f"{platform.python_version()} on {platform.platform(terse=True)}"
    yield "lb_jax", OK, _version("lb_jax") or "not installed, run from its folder"
    for name in PACKAGES:
        found, tried = _version(name), pinned.get(name)
        if found is None:
            yield name, FAIL, "is not installed", f"pip install {name}"
        elif tried is not None and found != tried:
            do = "if something fails: pip install -c constraints.txt -e ."
            yield name, WARN, f"{found}; tested with {tried}", do
        else:
            yield name, OK, found
    yield "FFmpeg", OK, f"{av.ffmpeg_version_info}, {len(av.codec.codecs_available)} codecs"


def extras(case: Case) -> Iterator[tuple[str, ...]]:
    """Optional libraries, looked up and not imported."""
    del case
    for name, (modules, use, is_missed) in EXTRAS.items():
        lacking = [one for one in modules if importlib.util.find_spec(one) is None]
        if not lacking:
            yield name, OK, "installed"
        else:
            do = f"for {use}: pip install 'lb_jax[{name}]'"
            yield name, WARN if is_missed else OK, f"without {', '.join(lacking)}", do


def devices(case: Case) -> Iterator[tuple[str, ...]]:
    """What JAX computes on, and accelerators that it does not see."""
    for device in jax.local_devices():
        memory = device.memory_stats() or {}
        found = device.device_kind
        if "bytes_limit" in memory:
            used, limit = memory.get("bytes_in_use", 0), memory["bytes_limit"]
            found += f", {used / GIB:.1f} of {limit / GIB:.1f} GiB in use"
        yield f"{device.platform}:{device.id}", OK, found
    seen = {device.platform for device in jax.devices()}
    for name, (kind, files) in ACCELERATORS.items():
        there = [path for pattern in files for path in case.root.glob(pattern)]
        if not there or seen & {kind, "cuda"}:
            continue
        asked = os.environ.get("JAX_PLATFORMS", "")
        do = f"pip install 'lb_jax[{kind}]'"
        if asked and kind not in asked and "cuda" not in asked:
            do = f"unset JAX_PLATFORMS, which is {asked!r}; if it is still not seen, {do}"
        yield name, WARN, f"is there ({there[0]}), JAX sees only {', '.join(sorted(seen))}", do


def memory(case: Case) -> Iterator[tuple[str, ...]]:
    """Of the host, and its cores."""
    del case
    page = os.sysconf("SC_PAGE_SIZE")
    whole = os.sysconf("SC_PHYS_PAGES") * page
    found = f"{whole / GIB:.1f} GiB"
    if "SC_AVPHYS_PAGES" in os.sysconf_names:  # not on macOS
        found += f", {os.sysconf('SC_AVPHYS_PAGES') * page / GIB:.1f} of them not in use"
    if whole < LEAST_MEMORY:
        yield "host", WARN, found, "use a smaller batch_size, or a machine with 2 GiB"
    else:
        yield "host", OK, found
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cores", OK, f"{usable} of {os.cpu_count()} usable"


def disk(case: Case) -> Iterator[tuple[str, ...]]:
    """Whether caches and temporary files can be written, and the room for them."""
    del case
    xla = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", folders.user_cache("xla")))
    places = {
        "cache": (folders.user_cache(""), "XDG_CACHE_HOME"),
        "compiled programs": (xla, "JAX_COMPILATION_CACHE_DIR"),
        "temporary files": (Path(tempfile.gettempdir()), "TMPDIR"),
    }
    for name, (path, variable) in places.items():
        there = next(one for one in (path, *path.parents) if one.exists())
        do = f"set {variable} to a folder with room that can be written to"
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"x")
            free = shutil.disk_usage(there).free
        except OSError as error:
            yield name, FAIL, f"{path} cannot be written ({error.strerror or error})", do
            continue
        found = f"{path}: {free / GIB:.1f} GiB free"
        yield (name, OK, found) if free >= LEAST_DISK else (name, WARN, found, do)


def decoding(case: Case) -> Iterator[tuple[str, ...]]:
    """Every codec people have, encoded here and read back."""
    del case
    do = "pip install --force-reinstall av pillow; or convert such files to H.264, AAC or PNG"
    for one in codecs.tried():
        if one.problem:
            yield one.codec, FAIL if one.made else WARN, one.problem, do
        else:
            yield one.codec, OK, "is what was written"


def model(case: Case) -> Iterator[tuple[str, ...]]:
    """Whether the model gives what it gave where it was right, and the same every time."""
    try:
        opened = opening.load_encoder(case.model)
        told = golden.read(opened.folder) if opened.folder else {}
    except errors.LbJaxError as error:
        yield case.model, FAIL, str(error), "give another --model, or copy it again"
        return
    dtype = np.dtype(opened.dtype).name
    yield case.model, OK, f"{', '.join(opened.inputs)}, {dtype}, {opened.digest[:12]}"
    if not told:
        do = f"where it is right: lb-jax doctor --model={case.model} --write-golden"
        if opened.folder is None:
            do = f"lb-jax convert {case.model} DST --to=safetensors, then {do}"
        yield "golden vectors", WARN, f"no {checkpoint.GOLDEN} beside the weights", do
    elif told["model"] != opened.digest:
        found = (
            "weights, config or (since an update) how files are prepared are not those that "
            f"{checkpoint.GOLDEN} was written for"
        )
        do = (
            "copy the checkpoint again, all of its files; after an update: lb-jax doctor "
            f"--model={case.model} --write-golden"
        )
        yield "golden vectors", FAIL, found, do
    for name in opened.inputs:
        try:
            if told:
                yield from _golden(opened, told, name)
            yield from _sane(opened, name)
        except errors.LbJaxError as error:
            yield name, FAIL, str(error), "copy the checkpoint again"


# level: what a difference on it comes from
CAUSES = {
    "preprocessing": "another version of numpy, pillow, soxr or of this package; see `versions`",
    "tower": "damaged weights or another version of jax; copy the checkpoint again, see `versions`",
}


def _golden(opened: encoder.Encoder, told: dict, name: str) -> Iterator[tuple[str, ...]]:
    if name not in told["modalities"]:
        yield name, WARN, "is not among the golden vectors", "write them again: --write-golden"
        return
    for one in golden.compare(opened, told, name):
        label, found = f"{name} {one.level}", f"differs by {one.difference:.1e}"
        if one.difference <= one.tolerance:
            yield label, OK, found
        elif one.difference <= one.rounding:
            do = "for the bits of a CPU: JAX_DEFAULT_MATMUL_PRECISION=highest"
            yield label, WARN, f"{found}, as with products of fewer bits", do
        else:
            found += f", at most {one.tolerance:.0e} is right"
            yield label, FAIL, found, f"the cause is {CAUSES[one.level]}"


def _sane(opened: encoder.Encoder, name: str) -> Iterator[tuple[str, ...]]:
    """Twice the same; alone as in a batch; unit length. `encode` itself refuses NaN."""
    given = golden.prepared(opened, name)
    size = opened.at_once(name)
    batch = np.repeat(given, size, axis=0)
    batch[1:] = batch[1:][:, ::-1]  # other items beside it
    first, again, among = (opened.encode(name, x)[0] for x in (given, given, batch))
    length = float(np.linalg.norm(first))
    problems = [
        *(["twice the same input gives two vectors"] if (first != again).any() else []),
        *(["an item alone gives another vector than in a batch"] if (first != among).any() else []),
        *([f"a vector has length {length:.6f}"] if abs(length - 1) > 1e-4 else []),
    ]
    if problems:
        do = "report it with the output of `lb-jax doctor --json`"
        yield f"{name} vectors", FAIL, "; ".join(problems), do
    else:
        yield f"{name} vectors", OK, f"the same twice and in a batch of {size}"


def store(case: Case) -> Iterator[tuple[str, ...]]:
    """Whether a store can be read, and its model is still the one that made its vectors."""
    if case.store is None:
        return
    try:
        from lb_jax.search import store as store_lib  # LanceDB is an extra

        opened = store_lib.Store.open(case.store)
        problems = opened.check()
    except errors.LbJaxError as error:
        yield case.store, FAIL, str(error), "lb-jax index build FOLDER -o NEW"
        return
    maker = opened.maker
    upgrade = f"lb-jax index upgrade {case.store}"
    try:
        digest = maker.load().digest
    except errors.LbJaxError as error:
        do = f"put it back, or go over to another: {upgrade} --model MODEL"
        yield "model", FAIL, f"{maker} cannot be opened ({error})", do
    else:
        if digest == maker.digest:
            yield "model", OK, f"vectors of {maker}"
        else:
            found = f"vectors of {maker}, which is another model now ({digest[:12]})"
            yield "model", FAIL, found, f"{upgrade} {maker.options}"
    for one in problems:  # each tells the command that mends it
        yield one.path or case.store, FAIL if one.is_serious else WARN, one.what, ""
    if not problems:
        yield case.store, OK, "every row and file is right"


CHECKS: dict[str, Check] = {
    "versions": versions,
    "extras": extras,
    "devices": devices,
    "memory": memory,
    "disk": disk,
    "decoders": decoding,
    "model": model,
    "store": store,
}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _constraints() -> dict[str, str]:
    """Package -> the version that this package is tested with; empty outside a source checkout."""
    path = Path(lb_jax.__file__).parents[1] / "constraints.txt"
    if not path.is_file():
        return {}
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    rows = [requirements.Requirement(line) for line in lines if line and line[0] != "-"]
    return {
        row.name: next(iter(row.specifier)).version
        for row in rows
        if row.specifier and (row.marker is None or row.marker.evaluate())
    }
