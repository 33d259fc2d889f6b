"""Figures of a training step on devices that need not be there.

The step of a run is compiled for them, not executed: what it holds, computes and sends is read from
the compiled program. `libtpu` (the extra `plan`) compiles for TPUs on any x86-64 Linux machine.
"""

import dataclasses
import math
import os
import re
import time
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import jax
from jax.experimental import topologies

from lb_jax.core import config as config_lib
from lb_jax.core import errors, processes
from lb_jax.training import chips, collectives, families, flops, hlo, sharding, traffic
from lb_jax.training import program as program_lib
from lb_jax.training.chips import Chip
from lb_jax.training.config import TrainConfig

# Settings that a search tries, those that compute least first; the first row saves nothing.
SAVED_BY = ("remat", "accumulate")
SAVINGS = (("none", 1), ("dots", 1), ("full", 1), ("none", 8), ("dots", 8), ("full", 8))
MAX_DOUBLINGS = 16  # of a batch that does not fill the memory, in a search


@dataclasses.dataclass(frozen=True)
class Target:
    """What a step is compiled for.

    Attributes:
      name: as the user wrote it.
      devices: all of them.
      chip: what one of them can do, or None where that is not known.
    """

    name: str
    devices: tuple[jax.Device, ...]
    chip: Chip | None


@dataclasses.dataclass(frozen=True)
class Figures:
    """A compiled step. Bytes and FLOPs are those of one device.

    Attributes:
      argument_bytes: parameters, optimiser state and batch.
      temp_bytes: what the step needs beside its arguments and results.
      output_bytes: results that do not take the place of arguments.
      code_bytes: the program itself.
      model_flops: see `flops.step_flops`.
      executed_flops: with rematerialisation; an even share of the whole, as the compiler splits it.
      compiler_flops: the compiler's figure, which takes the body of a loop once.
      memory_traffic: bytes to and from main memory, see `traffic`.
      sent: bytes sent to other devices by kind, see `collectives`.
      compile_s: seconds that tracing and compiling took.
    """

    argument_bytes: float
    temp_bytes: float
    output_bytes: float
    code_bytes: float
    model_flops: float
    executed_flops: float
    compiler_flops: float
    memory_traffic: float
    sent: dict[str, float]
    compile_s: float

    @property
    def bytes(self) -> float:
        """All that lies in the device's memory during a step."""
        return self.argument_bytes + self.temp_bytes + self.output_bytes + self.code_bytes


@dataclasses.dataclass(frozen=True)
class Trial:
    """A setting that was compiled.

    Attributes:
      cfg: the run.
      figures: None when the compiler found no way to place it in memory.
      reason: what the compiler said then.
      fits: whether it fits into the memory of the device; true where that is not known.
    """

    cfg: TrainConfig
    figures: Figures | None
    reason: str
    fits: bool


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Least seconds of a step by each thing that could bound it.

    Attributes:
      compute: executed FLOPs at the peak rate.
      memory: bytes to and from main memory at its bandwidth.
      interconnect: bytes sent over all links of a chip at once, those of a permutation over one.
    """

    compute: float
    memory: float
    interconnect: float

    @property
    def seconds(self) -> float:
        """The largest term, as if the others ran beside it."""
        return max(dataclasses.asdict(self).values())

    @property
    def bound(self) -> str:
        """Name of the largest term."""
        terms = dataclasses.asdict(self)
        return max(terms, key=terms.__getitem__)


def target(name: str) -> Target:
    """Devices by the name of a topology: `v5e:4x4`, `v5litepod-16`, `cpu:8`, or `attached`.

    Raises:
      ConfigError: when there is no such topology, or `libtpu` is not installed.
    """
    given, name = name, chips.topology(name)
    kind, _, shape = name.partition(":")
    if name == "attached":
        return Target(name, tuple(jax.devices()), chips.of(jax.devices()[0]))
    if kind == "cpu":
        return Target(name, _cpus(name, shape), None)
    if kind not in chips.TPUS:
        raise chips.unknown(name, kind)
    if not find_spec("libtpu") and "TPU_LIBRARY_PATH" not in os.environ:
        raise errors.ConfigError(
            f"--topology {given}: compiling for a TPU needs libtpu, which is not installed; "
            "pip install 'lb_jax[plan]' (x86-64 Linux)."
        )
    # The TPUs of this machine, if it has any, are not asked.
    jax.config.update("jax_platforms", "cpu")
    processes.quiet_libtpu()
    try:
        one = {"chips_per_host_bounds": [1, 1, 1]} if set(shape.split("x")) == {"1"} else {}
        described = topologies.get_topology_desc(name, "tpu", **chips.TPUS[kind].topology, **one)
    except jax.errors.JaxRuntimeError as error:
        raise errors.ConfigError(
            f"--topology {given}: no such slice ({_first_line(error)}). Give chips per axis as "
            "they can be ordered, in multiples of a 2x2 host: v5e and v6e as 2x4 or 16x16, v4 and "
            "v5p as 2x2x4."
        ) from error
    return Target(name, tuple(described.devices), chips.TPUS[kind])


def _cpus(name: str, shape: str) -> tuple[jax.Device, ...]:
    if not shape.isdecimal() or not int(shape):
        raise errors.ConfigError(
            f"--topology {name!r}: expected a number of devices, such as cpu:8."
        )
    try:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", int(shape))
    except RuntimeError:
        pass  # JAX runs already, with the devices it has
    devices = jax.devices("cpu")
    if len(devices) < int(shape):
        raise errors.ConfigError(
            f"--topology {name}: JAX has started with {len(devices)} CPU devices already; "
            f"call this first, or set XLA_FLAGS=--xla_force_host_platform_device_count={shape}."
        )
    return tuple(devices[: int(shape)])


def try_out(cfg: TrainConfig, to: Target) -> Trial:
    """Compiles the step of a run.

    Raises:
      ConfigError: for settings that a run could not start with either.
    """
    mesh = sharding.make_mesh(config_lib.to_dict(cfg.mesh), to.devices)
    sharding.require_divisible(cfg.batch_sizes, mesh, cfg.accumulate)
    start = time.perf_counter()
    trainable, frozen = program_lib.shapes(cfg)
    program = program_lib.make_program(cfg, mesh, trainable, frozen)
    traced = program.step.trace(
        jax.eval_shape(program.initial_state, trainable),
        frozen,
        program.batch,
        jax.eval_shape(lambda: jax.random.key(0)),
    )
    try:
        compiled = traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return Trial(cfg, None, _first_line(error), fits=False)
    seconds = time.perf_counter() - start
    memory, module = compiled.memory_analysis(), hlo.parse(compiled.as_text())
    figures = Figures(
        argument_bytes=memory.argument_size_in_bytes,
        temp_bytes=memory.temp_size_in_bytes,
        output_bytes=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        code_bytes=memory.generated_code_size_in_bytes,
        model_flops=flops.step_flops(cfg, mesh) / mesh.size,
        executed_flops=flops.count(traced.jaxpr) / mesh.size,
        compiler_flops=compiled.cost_analysis().get("flops", math.nan),
        memory_traffic=traffic.moved(module),
        sent=collectives.sent(module),
        compile_s=seconds,
    )
    return Trial(cfg, figures, "", fits=not to.chip or figures.bytes <= to.chip.memory)


def roofline(figures: Figures, chip: Chip) -> Roofline:
    """The least time of a step on a chip; no wrap-around or distance between chips is looked at."""
    permuted = figures.sent.get("collective-permute", 0.0)
    links = permuted + (sum(figures.sent.values()) - permuted) / chip.links
    return Roofline(
        compute=figures.executed_flops / chip.flops,
        memory=figures.memory_traffic / chip.memory_bandwidth,
        interconnect=links / chip.link_bandwidth,
    )


def savings(cfg: TrainConfig) -> list[dict[str, Any]]:
    """Rows of `SAVINGS`, by setting, of which the family of a run has everything."""
    has, plain = families.of(cfg).SAVINGS, SAVINGS[0]
    return [
        dict(zip(SAVED_BY, row, strict=True))
        for row in SAVINGS
        if all(name in has or row[i] == plain[i] for i, name in enumerate(SAVED_BY))
    ]


def search(given: Trial, to: Target, tried: Callable[[Trial], None]) -> list[Trial]:
    """Finds the largest batch that fits, for every row of `SAVINGS`.

    All batches of the run grow by the same factor. It is doubled, or halved, until the step fits
    and the double of it does not, and the gap is halved twice: what is found is within a quarter of
    the largest. Each row starts from the one before, which holds no more.

    Args:
      given: the run as it was tried first; its batch is where the first row starts.
      to: what it is to fit on.
      tried: told of every setting that was compiled.

    Returns:
      One trial for each row for which any batch fits.

    Raises:
      ConfigError: when the memory of the target is not known.
    """
    if not to.chip:
        raise errors.ConfigError(
            f"the memory of {to.name} is not known, so nothing is too large for it; search on "
            f"one of {', '.join(chips.TPUS)}."
        )
    best, factor = [], Fraction(1)
    for saving in savings(given.cfg):
        row = dataclasses.replace(given.cfg, **saving)
        found = _largest(row, factor, to, tried, given)
        if found:
            factor, trial = found
            best.append(trial)
    return best


def _largest(
    cfg: TrainConfig, factor: Fraction, to: Target, tried: Callable[[Trial], None], given: Trial
) -> tuple[Fraction, Trial] | None:
    def fitting(factor: Fraction) -> Trial | None:
        one = scaled(cfg, factor, unit=_unit(cfg, to))
        if one is None:
            return None
        if _setting(one) == _setting(given.cfg):
            return given if given.fits else None
        trial = try_out(one, to)
        tried(trial)
        return trial if trial.fits else None

    best = fitting(factor)
    if best:
        for _ in range(MAX_DOUBLINGS):
            larger = fitting(2 * factor)
            if not larger:
                break
            factor, best = 2 * factor, larger
    else:
        while not best:
            factor /= 2
            if scaled(cfg, factor, unit=_unit(cfg, to)) is None:
                return None
            best = fitting(factor)
    for share in (Fraction(1, 2), Fraction(1, 4)):
        larger = fitting(factor * (1 + share))
        if larger:
            factor, best = factor * (1 + share), larger
    return factor, best


def _setting(cfg: TrainConfig) -> tuple:
    """What a search varies."""
    return cfg.remat, cfg.accumulate, cfg.batch_sizes


def _unit(cfg: TrainConfig, to: Target) -> int:
    """What every batch must be a multiple of: devices it is spread on, times its parts."""
    mesh = sharding.make_mesh(config_lib.to_dict(cfg.mesh), to.devices)
    return mesh.shape["data"] * mesh.shape["fsdp"] * cfg.accumulate


def scaled(cfg: TrainConfig, factor: Fraction, *, unit: int) -> TrainConfig | None:
    """The run with every batch `factor` times as large, or None where one is no multiple of it."""
    sizes = {name: size * factor for name, size in cfg.batch_sizes.items()}
    if any(size % unit for size in sizes.values()):
        return None
    return families.of(cfg).resized(cfg, {name: int(size) for name, size in sizes.items()})


def _first_line(error: Exception) -> str:
    text = re.split(r"\n|(?<=\.) ", str(error).strip(), maxsplit=1)[0]
    return text.split(": ", 1)[-1].rstrip(".")
