"""Seconds and memory of opening a manifest of a million rows, and of reading its rows at random.

    python benchmarks/manifest.py [--rows=1000000] [--folder=DIR] [--repetitions=3]

Each format holds the same five columns: id, video, audio and two captions, some 150 bytes a row.
Every opening runs in a process of its own; the clock starts after the imports; memory is the
largest resident set of the whole process, interpreter and imports included. The rows are then read
in a seeded random order, and once more after the source went through pickle, as a worker gets it.
"""

import argparse
import csv
import json
import pickle
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FORMATS = (".csv", ".jsonl", ".parquet")
MOST_SECONDS, MOST_MIB = 2.0, 500  # what the project promises
READS = 20_000
WORDS = np.array(["cat", "dog", "man", "plays", "barks", "near", "under", "red", "river", "a"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the files are for a time")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)  # what a child opens
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)  # where a child writes
    given = parser.parse_args()
    if given.job:
        print(json.dumps(measure(given.job)))
        return
    if given.write:
        print(json.dumps(write(rows_of(given.write), given.rows)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="lb_jax-manifest-") as scratch:
        paths = rows_of(Path(scratch))
        # in a process of its own: children start with the peak of the memory of their parent
        child("--write", scratch, "--rows", str(given.rows))
        runs = {path: [] for path in paths}
        for _ in range(given.repetitions):
            for path in paths:
                runs[path].append(child("--job", str(path)))
        results = {
            path.suffix: {
                "file_mib": round(path.stat().st_size / 2**20, 1),
                **{key: statistics.median(run[key] for run in found) for key in found[0]},
            }
            for path, found in runs.items()
        }
    print_table(results, given.rows)
    print(json.dumps({"rows": given.rows, "python": platform.python_version(), **results}))


def measure(path: Path) -> dict[str, float]:
    """Opens one manifest and reads rows of it."""
    from lb_jax.corpora.manifest import Manifest

    imported = resident_mib()
    start = time.perf_counter()
    source = Manifest(path)
    opened = time.perf_counter()
    order = np.random.default_rng(0).integers(len(source), size=READS).tolist()
    first = time.perf_counter()
    for number in order:
        source[number]
    read = time.perf_counter()
    peak = resident_mib()
    packed = pickle.dumps(source)
    del source
    again = time.perf_counter()
    pickle.loads(packed)
    return {
        "open_s": round(opened - start, 3),
        "row_us": round((read - first) / READS * 1e6, 1),
        "peak_mib": round(peak),
        "imports_mib": round(imported),
        "pickle_bytes": len(packed),
        "reopen_s": round(time.perf_counter() - again, 3),
    }


def resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rows_of(folder: Path) -> list[Path]:
    return [folder / f"rows{suffix}" for suffix in FORMATS]


def child(*arguments: str) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout)


def write(paths: list[Path], rows: int) -> None:
    """The same rows as CSV, JSONL and Parquet."""
    import pyarrow as pa
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    csv_path, jsonl_path, parquet_path = paths
    names = ["id", "video", "audio", "caption", "raw"]
    columns = {name: [] for name in names}
    with csv_path.open("w", newline="") as one, jsonl_path.open("w") as two:
        writer = csv.writer(one)
        writer.writerow(names)
        for n in range(rows):
            text = " ".join(WORDS[rng.integers(len(WORDS), size=14)])
            file = f"{n % 1000:03d}/{n:08d}"
            values = [f"v{n:08d}", f"clips/{file}.mp4", f"audio/{file}.wav", text, text[:30]]
            writer.writerow(values)
            two.write(json.dumps(dict(zip(names, values, strict=True))) + "\n")
            for name, value in zip(names, values, strict=True):
                columns[name].append(value)
    pa.parquet.write_table(pa.table(columns), parquet_path)


def print_table(results: dict[str, dict[str, float]], rows: int) -> None:
    print(f"{rows:,} rows: at most {MOST_SECONDS} s to open and {MOST_MIB} MiB are promised")
    print("| format | file MiB | open s | peak MiB | of it imports | us per row | reopen s |")
    print("|---|---|---|---|---|---|---|")
    for suffix, r in results.items():
        over = r["open_s"] > MOST_SECONDS or r["peak_mib"] > MOST_MIB
        cells = ("file_mib", "open_s", "peak_mib", "imports_mib", "row_us", "reopen_s")
        row = " | ".join(str(r[cell]) for cell in cells)
        print(f"| {suffix} | {row} |{' missed' if over else ''}")


if __name__ == "__main__":
    main()
