"""`lb-jax plan --config=SHEET --topology=v5e:16x16 [--config.name=value ...]`."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from lb_jax.core import errors
from lb_jax.core.words import counted

USAGE = (
    "usage: lb-jax plan --config=SHEET --topology=CHIP:SHAPE [--search] [--json=FILE] "
    "[--config.name=value ...]"
)
HELP = f"""{USAGE}

Compiles the training step of a lab sheet for devices that need not be there, and prints what one of
them would hold, compute and send: memory, FLOPs, collectives, least time of a step.

  --config              lab sheet, a Python file with get_config(), or the name of one that comes
                        with the package; its corpus need not be there
  --topology            v4:2x2x2, v5e:16x16, v5p:4x4x4, v6e:8x8, tpu7x:2x2x1 (chips along each
                        axis), or a slice by its name in the cloud: v5litepod-16, v5p-8, v6e-8,
                        tpu7x-8 (both need libtpu, the extra `plan`); cpu:8 (virtual devices); or
                        attached (this machine's)
  --search              find the largest batch that fits for each way of saving memory
  --json                file to write the figures to
  --config.name=value   another value for a setting of the sheet, such as --config.remat=full"""
MIB, GIB = 2**20, 2**30


def main(argv: Sequence[str]) -> None:
    """Plans as the arguments say, and prints the tables."""
    if "--help" in argv or "-h" in argv:
        print(HELP)
        return
    # jax takes a second to import; wrong arguments are told before
    from lb_jax.training import sheets

    cfg, values = sheets.parse_flags(argv, USAGE, define, required="topology")
    out = Path(values.json) if values.json else None
    if out and not out.absolute().parent.is_dir():
        raise errors.ConfigError(f"--json: no folder {out.parent} to write {out.name} into.")
    from lb_jax.training import plan

    to = plan.target(values.topology)
    trial = plan.try_out(cfg, to)
    print_step(trial, to)
    found = []
    if values.search or not trial.fits:
        if not trial.fits:
            print("\nwhat would fit:", file=sys.stderr)
        found = plan.search(trial, to, tried)
        print_search(found, to)
    if out:
        record = {
            "topology": to.name,
            "devices": len(to.devices),
            "given": as_dict(trial, to),
            "search": [as_dict(one, to) for one in found],
        }
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def define(values: flags.FlagValues) -> None:
    """The command's own flags."""
    flags.DEFINE_string("topology", None, "devices", flag_values=values)
    flags.DEFINE_string("json", None, "file of the figures", flag_values=values)
    flags.DEFINE_bool("search", False, "largest batch that fits", flag_values=values)


def print_step(trial, to) -> None:
    """Prints the tables of one compiled step."""
    cfg, found = trial.cfg, trial.figures
    sizes = ", ".join(f"{name} {size}" for name, size in cfg.batch_sizes.items())
    devices = counted(len(to.devices), "device")
    print(f"{cfg.arch} on {to.name}, {devices}, {settings(trial)}, batch {sizes}")
    if not found:
        print(f"does not fit: {trial.reason}")
        return
    print(f"compiled in {found.compile_s:.1f} s; figures of one device, per step\n")
    print_rows(
        ("arguments", f"{found.argument_bytes / MIB:12,.1f} MiB"),
        ("temporary", f"{found.temp_bytes / MIB:12,.1f} MiB"),
        ("outputs not in place", f"{found.output_bytes / MIB:12,.1f} MiB"),
        ("program", f"{found.code_bytes / MIB:12,.1f} MiB"),
        ("memory in all", f"{found.bytes / MIB:12,.1f} MiB{share(found.bytes, to)}"),
    )
    print_rows(
        ("model", f"{found.model_flops / 1e9:12,.1f} GFLOP"),
        ("executed", f"{found.executed_flops / 1e9:12,.1f} GFLOP  with rematerialisation"),
        ("compiler's own", f"{found.compiler_flops / 1e9:12,.1f} GFLOP  loop bodies once"),
        ("main memory traffic", f"{found.memory_traffic / MIB:12,.1f} MiB"),
    )
    print_rows(
        *((kind, f"{size / MIB:12,.3f} MiB sent") for kind, size in sorted(found.sent.items())),
        ("sent in all", f"{sum(found.sent.values()) / MIB:12,.3f} MiB"),
    )
    if to.chip:
        print_roofline(trial, to)
    if not trial.fits:
        print(f"does not fit: {to.chip.name} has {to.chip.memory / GIB:.2f} GiB")


def print_roofline(trial, to) -> None:
    """Prints the terms of the roofline, and what they mean for samples per second."""
    from lb_jax.training import plan

    line, found = plan.roofline(trial.figures, to.chip), trial.figures
    batch = sum(trial.cfg.batch_sizes.values())
    mfu = found.model_flops / (to.chip.flops * line.seconds)
    usual = found.model_flops / (0.4 * to.chip.flops)
    print_rows(
        *(
            (f"least time, {name}", f"{seconds * 1e3:12,.3f} ms")
            for name, seconds in dataclasses.asdict(line).items()
        ),
        ("least time of a step", f"{line.seconds * 1e3:12,.3f} ms  bound by {line.bound}"),
        ("samples/s at most", f"{batch / line.seconds:12,.0f}     at an MFU of {mfu:.0%}"),
        ("samples/s at MFU 40 %", f"{batch / max(usual, line.seconds):12,.0f}"),
    )


def print_search(found, to) -> None:
    """Prints the largest batch of every way of saving memory."""
    from lb_jax.training import plan

    if not found:
        print(f"\nnothing fits on {to.name}, not even the smallest batch; take more devices, or")
        print("spread the parameters: --config.mesh.fsdp=N")
        return
    print(f"\nlargest global batch that fits on {to.name}")
    print(
        f"{'remat':8}{'accumulate':>11}{'batch':>10}{'MiB':>12}{'of memory':>11}{'samples/s':>12}"
    )
    for one in found:
        batch = sum(one.cfg.batch_sizes.values())
        rate = batch / plan.roofline(one.figures, to.chip).seconds
        print(
            f"{one.cfg.remat:8}{one.cfg.accumulate:11}{batch:10,}{one.figures.bytes / MIB:12,.0f}"
            f"{one.figures.bytes / to.chip.memory:11.0%}{rate:12,.0f}"
        )


def print_rows(*rows: tuple[str, str]) -> None:
    """Prints names and values in two columns, and an empty line."""
    for name, value in rows:
        print(f"  {name:24}{value}")
    print()


def tried(trial) -> None:
    """Tells of a setting that was compiled."""
    batch = sum(trial.cfg.batch_sizes.values())
    size = f"{trial.figures.bytes / MIB:,.0f} MiB" if trial.figures else trial.reason
    print(
        f"  {settings(trial)}, batch {batch:,}: {'fits' if trial.fits else 'too large'} ({size})",
        file=sys.stderr,
        flush=True,
    )


def settings(trial) -> str:
    """The settings that save memory."""
    return f"remat {trial.cfg.remat}, accumulate {trial.cfg.accumulate}"


def share(size: float, to) -> str:
    """What part of a device's memory that is, where it is known."""
    if not to.chip:
        return ""
    return f"  {size / to.chip.memory:.0%} of {to.chip.memory / GIB:.2f} GiB"


def as_dict(trial, to) -> dict:
    """A trial as JSON has it."""
    from lb_jax.training import plan

    record = {
        "batch_sizes": trial.cfg.batch_sizes,
        "remat": trial.cfg.remat,
        "accumulate": trial.cfg.accumulate,
        "fits": trial.fits,
        "reason": trial.reason,
        "figures": trial.figures and dataclasses.asdict(trial.figures),
    }
    if trial.figures and to.chip:
        record["roofline_s"] = dataclasses.asdict(plan.roofline(trial.figures, to.chip))
    return record
