"""Damaged media files, made at random, through preprocessing: the same as tests/media/test_fuzz.py,
for longer.

    python -m benchmarks.fuzz_media [--minutes 10] [--seed 1] [--save DIR]     from the repository
    python -m benchmarks.fuzz_media --seed 1 --case 1234 --save DIR           one case again

Each case is a whole small file of some format with a few random damages. It must decode to finite
numbers, perhaps with an `errors.DataWarning`, or end as `errors.DataError` of one line. Anything
else is a failure: another exception, a crash or a hang of the process, memory that grows by more
than 1 GB, a word on stdout or stderr.
Cases run in a child process, one after the other; a case is the same whatever ran before it.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lb_jax.core import errors, notices
from lb_jax.media import preprocess
from tests.media.formats import FILES, whole

SECONDS = 20.0  # for one case, on a busy machine
GROWTH_BYTES = 1 << 30
ADDRESS_BYTES = 12 << 30  # beyond this the child gets no memory: the machine is to survive
STARTUP_SECONDS = 120.0


# ---- the damages: (bytes, generator) -> bytes ----


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, half the time in the first 200 bytes, where headers are."""
    return int(rng.integers(min(len(data), 200) if rng.random() < 0.5 else len(data)))


def _flip_bits(data: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 20))):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def _cut_off(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(len(data)))]


def _clear(data: bytearray, rng: np.random.Generator) -> bytearray:
    at, length = _place(data, rng), int(rng.integers(1, 300))
    data[at : at + length] = bytes(len(data[at : at + length]))
    return data


def _set_number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Sizes, counts and offsets become extreme or nearly right."""
    at, width = _place(data, rng), int(rng.choice([1, 2, 4, 8]))
    order = "big" if rng.random() < 0.5 else "little"
    old, top = int.from_bytes(data[at : at + width], order), (1 << 8 * width) - 1
    new = [0, 1, top, top >> 1, old + 1, old - 1, old * 2, old >> 1, 1 << int(rng.integers(32))]
    value = int(new[rng.integers(len(new))]) & top
    data[at : at + width] = value.to_bytes(width, order)[: len(data[at : at + width])]
    return data


def _remove(data: bytearray, rng: np.random.Generator) -> bytearray:
    at = _place(data, rng)
    del data[at : at + int(rng.integers(1, 100))]
    return data


def _repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    start, at = _place(data, rng), _place(data, rng)
    return data[:at] + data[start : start + int(rng.integers(1, 500))] + data[at:]


def _splice(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The beginning of this file and the end of another."""
    other = whole(list(FILES)[rng.integers(len(FILES))])
    return data[: int(rng.integers(len(data)))] + other[int(rng.integers(len(other))) :]


DAMAGES = (_flip_bits, _cut_off, _clear, _set_number, _set_number, _remove, _repeat, _splice)


def damaged(seed: int, case: int) -> tuple[str, bytes]:
    """Returns the name of a case's file, and its content after one to three damages."""
    rng = np.random.default_rng([seed, case])
    name = list(FILES)[case % len(FILES)]
    data = bytearray(whole(name))
    for _ in range(int(rng.integers(1, 4))):
        data = DAMAGES[rng.integers(len(DAMAGES))](data, rng) or bytearray(b"\0")
    return name, bytes(data)


# ---- the child ----


def child(seed: int, first: int, report: int) -> None:
    """Runs case after case from `first` on, and writes one line of JSON on each to `report`."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    case = first
    with os.fdopen(report, "w", buffering=1) as lines:
        for name in FILES:  # all libraries are loaded, all files made, before memory is measured
            found = run(FILES[name][0], whole(name))
            if found != (False, ""):
                print(name, found)
        start, written = peak_bytes(), output_bytes()
        print(json.dumps({"said": output(0)} if written else {}), file=lines)
        while True:
            name, data = damaged(seed, case)
            refused, problem = run(FILES[name][0], data)
            growth, written, before = peak_bytes() - start, output_bytes(), written
            if not problem and written > before:
                problem = "it wrote to stdout or stderr: " + output(before)
            if not problem and growth > GROWTH_BYTES:
                problem = f"memory grew by {growth / 1e9:.1f} GB"
            found = {"case": case, "refused": refused, "problem": problem, "growth": growth}
            print(json.dumps(found), file=lines)
            case += 1


def run(modality: str, data: bytes) -> tuple[bool, str]:
    """Returns whether the file was refused, and what is wrong with how it went, or nothing."""
    try:
        with notices.collected():  # a file may be suspicious
            array = preprocess.preprocess(modality, data)
    except errors.DataError as e:
        return True, "an error of several lines" if "\n" in str(e) else ""
    except BaseException as e:
        return True, f"{type(e).__name__}: {e}"
    return False, "" if np.isfinite(array).all() else "numbers that are not finite"


def output_bytes() -> int:
    """Size of the file that stdout and stderr of this process go to."""
    sys.stdout.flush()
    return os.fstat(sys.stdout.fileno()).st_size


def output(start: int) -> str:
    return repr(os.pread(sys.stdout.fileno(), 300, start).decode(errors="replace"))


def peak_bytes() -> int:
    """Of this program; `ru_maxrss` would begin with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


# ---- the parent ----


@dataclasses.dataclass
class Tally:
    """What a run found.

    Attributes:
      files: (modality, "decoded" or "refused") -> how many.
      failures: case -> what happened.
      growth: largest growth of a child's memory in bytes.
    """

    files: Counter = dataclasses.field(default_factory=Counter)
    failures: dict[int, str] = dataclasses.field(default_factory=dict)
    growth: int = 0


def fuzz(seed: int, cases: range, seconds: float = float("inf")) -> Tally:
    """Runs cases until they or the time are over; a child that fails is replaced."""
    tally, case, deadline = Tally(), cases.start, time.monotonic() + seconds
    while case < cases.stop and time.monotonic() < deadline:
        for found in _reports(seed, case):
            name = list(FILES)[case % len(FILES)]
            if found["problem"]:
                tally.failures[case] = f"{name}, seed {seed}, case {case}: {found['problem']}"
            outcome = "refused" if found["refused"] else "decoded"
            tally.files[FILES[name][0], outcome] += 1
            tally.growth = max(tally.growth, found["growth"])
            case += 1
            if found["problem"] or case >= cases.stop or time.monotonic() > deadline:
                break
    return tally


def _reports(seed: int, first: int) -> Iterator[dict]:
    """Yields what a fresh child says on each case, or what its end says."""
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as output, os.fdopen(reader, "rb", buffering=0) as lines:
        command = [sys.executable, "-m", "benchmarks.fuzz_media", "--seed", str(seed)]
        process = subprocess.Popen(
            [*command, "--case", str(first), "--report", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[writer],
            cwd=Path(__file__).parents[1],
        )
        os.close(writer)
        try:
            started = _next(process, lines, STARTUP_SECONDS)
            if started:
                found = os.pread(output.fileno(), 2000, 0).decode(errors="replace")
                raise SystemExit(f"the whole files do not pass: {started} {found}")
            while True:
                yield _next(process, lines, SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def _next(process: subprocess.Popen, lines: io.FileIO, seconds: float) -> dict:
    line, deadline = b"", time.monotonic() + seconds
    while not line.endswith(b"\n"):
        if not select.select([lines], [], [], max(0, deadline - time.monotonic()))[0]:
            return {"refused": True, "growth": 0, "problem": f"took more than {seconds:.0f} s"}
        piece = lines.read(1)
        if not piece:
            status = process.wait()
            name = signal.Signals(-status).name if status < 0 else f"status {status}"
            return {"refused": True, "growth": 0, "problem": f"the process ended ({name})"}
        line += piece
    return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--save", type=Path, help="folder for the files that failed")
    parser.add_argument("--report", type=int, help=argparse.SUPPRESS)  # a child's descriptor
    given = parser.parse_args()
    if given.report is not None:
        child(given.seed, given.case, given.report)
    cases = range(1 << 62) if given.case is None else range(given.case, given.case + 1)
    tally = fuzz(given.seed, cases, 60 * given.minutes)
    for failure in tally.failures.values():
        print(failure)
    if given.save:
        given.save.mkdir(parents=True, exist_ok=True)
        for case in tally.failures if given.case is None else cases:
            name, data = damaged(given.seed, case)
            (given.save / f"{given.seed}-{case} {name}").write_bytes(data)
    files = {" ".join(key): count for key, count in sorted(tally.files.items())}
    for key, count in files.items():
        print(f"{key:18}{count:8}")
    failed = len(tally.failures)
    print(json.dumps({"files": files, "failures": failed, "growth_bytes": tally.growth}))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
