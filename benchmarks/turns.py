"""Sides of a benchmark that are processes of their own and take turns: nothing of one is another's.

The parent writes a line to a side and waits for its answer, so one works at a time. Answers come
over descriptor 3, since libraries write to stdout.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def answer(run: Callable[[int], Any]) -> None:
    """A side: for every line that it reads, writes what `run` returns of the number of the turn."""
    answers = open(3, "w", buffering=1)  # noqa: SIM115 - open as long as the process
    for turn, _ in enumerate(sys.stdin):
        print(json.dumps(run(turn)), file=answers)


def take(commands: Mapping[str, Sequence[str]], count: int) -> Iterator[tuple[int, str, Any]]:
    """Starts a process for each side, and yields the turn, the side and its answer in their order.

    Args:
      commands: side -> program and arguments, which end in `answer`.
      count: turns of each.

    Raises:
      SystemExit: naming a side that ended.
    """
    children = {
        side: subprocess.Popen(
            ["bash", "-c", 'exec "$@" 3>&1 >&2', "bash", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for side, command in commands.items()
    }
    for turn in range(count):
        for side, child in children.items():
            child.stdin.write("\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if not line:
                raise SystemExit(f"{side}: ended")
            yield turn, side, json.loads(line)
    for child in children.values():
        child.stdin.close()
        child.wait()
