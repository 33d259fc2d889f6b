"""`kill -9` again and again while files are embedded: is the store that of a run without?

    python benchmarks/embed_kill.py [--files 2000] [--kills 20] [--model demo]

Takes files of all modalities from the demo's corpus, some of them broken and some twice. One run
goes to its end. Others of a second store are killed, the whole process group: one in five at a
random moment before its first rows, the others at one after their first rows were committed, while
files are left. Then a last one goes to the end. Rows are committed by twenties, so that kills fall
between commits as well as into them. Both stores must hold the same rows in the same order, every
column equal, vectors bit by bit. The last line is JSON; status 1 where they differ, or where a run
ended before it was killed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EARLY_S, LATE_S = 3.0, 0.25  # at most, from the start and from the first rows
SUFFIXES = {".jpg", ".png", ".mp4", ".wav"}
RUN = """
import sys
from lb_jax.search import bulk
if __name__ == "__main__":
    media, uri, model = sys.argv[1:]
    bulk.run([media], model, uri, commit_rows=20, shown=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--corpus", type=Path, default=Path("build/demo/corpus"))
    arguments = parser.parse_args()
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write(arguments.corpus, folder / "media", arguments.files, draw)
        start = time.monotonic()
        _run(folder, "unbroken", arguments.model).wait()
        unbroken_s = time.monotonic() - start
        kept = [0]
        for number in range(arguments.kills):
            kept.append(_killed(folder, arguments.model, draw, kept[-1], is_early=number % 5 == 0))
            print(f"{kept[-1]} rows after kill {number + 1}", flush=True)
        start = time.monotonic()
        status = _run(folder, "killed", arguments.model).wait()
        last_s = time.monotonic() - start
        expected, found = _rows(folder / "unbroken"), _rows(folder / "killed")
        listed = [
            sorted((folder / f"{name}.quarantine.jsonl").read_text().splitlines())
            for name in ("unbroken", "killed")
        ]
    equal = status == 0 and expected.equals(found)
    told = {
        "files": arguments.files,
        "rows": len(expected),
        "bad": len(listed[0]),
        "kills": len(kept) - 1,
        "rows_after_each_kill": kept[1:],
        "unbroken_s": round(unbroken_s, 1),
        "last_run_s": round(last_s, 1),
        "equal_row_for_row": equal,
        "equal_quarantine": listed[0] == listed[1],
    }
    print(json.dumps(told))
    sys.exit(not (equal and listed[0] == listed[1]))


def write(corpus: Path, folder: Path, count: int, draw: random.Random) -> None:
    """Files of the corpus in their folders; one in forty cut off, one in forty there before."""
    by_suffix: dict[str, list[Path]] = {}
    for path in sorted(corpus.rglob("*")):
        if path.suffix in SUFFIXES:
            by_suffix.setdefault(path.suffix, []).append(path)
    groups = [draw.sample(found, min(len(found), count)) for found in by_suffix.values()]
    last = b""
    for number in range(count):
        group = groups[number % len(groups)]
        source = group[number // len(groups) % len(group)]
        place = folder / source.parent.name / f"{number:05}{source.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        content = source.read_bytes()
        if number % 40 == 7:
            content = content[: len(content) // 2]
        elif number % 40 == 24:
            content = last
        elif number % 40 == 20:
            last = content
        place.write_bytes(content)


def _run(folder: Path, name: str, model: str) -> subprocess.Popen:
    command = [sys.executable, "-c", RUN, str(folder / "media"), str(folder / name), model]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)


def _killed(folder: Path, model: str, draw: random.Random, before: int, *, is_early: bool) -> int:
    """Rows of the store after a run that was killed while files were left.

    Raises:
      SystemExit: when it ended before.
    """
    run = _run(folder, "killed", model)
    if is_early:
        time.sleep(draw.uniform(0.5, EARLY_S))
    else:
        while run.poll() is None and _count(folder / "killed") <= before:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, LATE_S))
    if run.poll() is not None:
        sys.exit("a run ended before it was killed; give more --files")
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    return _count(folder / "killed")


def _count(uri: Path) -> int:
    found = _rows(uri)
    return 0 if found is None else len(found)


def _rows(uri: Path):
    """The table, None where it was not made yet."""
    import lancedb

    from lb_jax.core import errors
    from lb_jax.search.store import Store

    try:
        name = Store.open(uri).maker.name
        return lancedb.connect(uri).open_table(name).to_arrow().combine_chunks()
    except errors.DataError:
        return None


if __name__ == "__main__":
    main()
