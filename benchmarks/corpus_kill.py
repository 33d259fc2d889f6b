"""`kill -9` again and again while a corpus is built: is it that of a run without?

    python benchmarks/corpus_kill.py [--films 200] [--kills 20]

Raw films of `lb-jax corpus demo` go through `lb-jax corpus run` with the sheet corpus_demo. One
run goes to its end. Others of a second folder are killed, the whole process group: one in five at
a random moment before its first commit, the others at one after their next commit or, once all is
looked at, file of the corpus. Then a last one goes to the end. All that both leave but the stores'
own files must be equal, byte for byte. A run that ends before it is killed counts for none; the
folder is then begun anew. The last line is JSON; status 1 where they differ.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpus_speed import drawn

EARLY_S, LATE_S = 4.0, 0.5  # at most, from the start and from the commit
COMMIT_ROWS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    draw, after, begun = random.Random(0), [], 1
    with tempfile.TemporaryDirectory() as folder:
        raw = drawn(Path(folder) / "raw", arguments.films)
        unbroken, killed = Path(folder) / "unbroken", Path(folder) / "killed"
        if _run(raw, unbroken).wait():
            sys.exit("the run that nothing disturbed failed")
        expected = _content(unbroken)
        while len(after) < arguments.kills:
            if _killed(raw, killed, draw, is_early=len(after) % 5 == 0):
                after.append(_written(killed))
                print(f"{after[-1]} files after kill {len(after)}", flush=True)
            else:
                if _content(killed) != expected:
                    break
                shutil.rmtree(killed)
                begun += 1
        status = _run(raw, killed).wait()
        found = _content(killed)
    differ = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    told = {"films": arguments.films, "kills": len(after), "begun": begun, "differ": differ}
    print(json.dumps({**told, "files": len(expected), "files_after_each_kill": after}))
    sys.exit(bool(status or differ or len(after) < arguments.kills))


def _run(raw: Path, out: Path) -> subprocess.Popen:
    command = [
        *(sys.executable, "-m", "lb_jax.cli.main", "corpus", "run", "--config=corpus_demo"),
        f"--config.source.path={raw}",
        f"--config.engine.commit_rows={COMMIT_ROWS}",
        f"--out={out}",
    ]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, start_new_session=True, stdout=quiet, stderr=quiet)


def _killed(raw: Path, out: Path, draw: random.Random, *, is_early: bool) -> bool:
    """Whether a run was killed, and not over before."""
    before, run = _written(out), _run(raw, out)
    if is_early:
        time.sleep(draw.uniform(0.5, EARLY_S))
    else:
        while run.poll() is None and _written(out) <= before:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, LATE_S))
    is_killed = run.poll() is None
    if is_killed:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    return is_killed


def _written(out: Path) -> int:
    """Files of commits and of the corpus."""
    return sum(1 for path in out.rglob("*") if path.is_file()) if out.exists() else 0


def _content(out: Path) -> dict[str, bytes]:
    """Every file by its path but those of the store."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] != "store"
    }


if __name__ == "__main__":
    main()
