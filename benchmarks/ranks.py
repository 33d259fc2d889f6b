"""Ranks of 100,000 texts among 100,000 items at width 768, beside PyTorch in the same blocks.

    python benchmarks/ranks.py [--rows 100000] [--width 768] [--repetitions 3]

Every item has one text near it. Both sides take turns, each in a process of its own; the ratio is
the median over the turns. Ours is exact to float64 and breaks ties against the model; PyTorch
counts float32 scores that are at least as high.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def planted(rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows float32 `[n, e]` of items, and of texts that are near them."""
    generator = np.random.default_rng(0)
    items = generator.standard_normal((rows, width), np.float32)
    texts = items + 2 * generator.standard_normal((rows, width), np.float32)
    return tuple(one / np.linalg.norm(one, axis=1, keepdims=True) for one in (items, texts))


def ours(items: np.ndarray, texts: np.ndarray) -> np.ndarray:
    from lb_jax.evaluation.metrics import ranks

    return ranks.ranks(texts, items, np.arange(len(items)))


def theirs(items: np.ndarray, texts: np.ndarray) -> np.ndarray:
    import torch

    from lb_jax.evaluation.metrics import ranks

    items, texts = torch.from_numpy(items), torch.from_numpy(texts)
    found = []
    for first in range(0, len(texts), ranks.QUERIES):
        block = texts[first : first + ranks.QUERIES]
        right = (block * items[first : first + ranks.QUERIES]).sum(1, keepdim=True)
        count = torch.zeros(len(block), dtype=torch.int64)
        for start in range(0, len(items), ranks.CANDIDATES):
            count += (block @ items[start : start + ranks.CANDIDATES].T >= right).sum(1)
        found.append(count)
    return torch.cat(found).numpy()


SIDES = {"ours": ours, "torch": theirs}


def serve(side: str, rows: int, width: int) -> None:
    """A child: ranks once; prints seconds, peak bytes, median rank and the share ranked first."""
    items, texts = planted(rows, width)
    SIDES[side](items[:64], texts[:64])  # compiled, and libraries loaded
    start = time.perf_counter()
    found = SIDES[side](items, texts)
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
    first = float(np.mean(found <= 1))
    print(json.dumps([seconds, peak, float(np.median(found)), first]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.rows, given.width)
        return
    command = [sys.executable, __file__, f"--rows={given.rows}", f"--width={given.width}"]
    found = {side: [] for side in SIDES}
    for _ in range(given.repetitions):
        for side, rows in found.items():
            said = subprocess.run(
                [*command, f"--serve={side}"], check=True, stdout=subprocess.PIPE, text=True
            )
            rows.append(json.loads(said.stdout))
    ratio = float(np.median([b[0] / a[0] for a, b in zip(*found.values(), strict=True)]))
    for side, rows in found.items():
        seconds, peak, median, first = np.median(rows, axis=0)
        print(
            f"{side:6}{seconds:8.1f} s   peak {peak / 2**20:6.0f} MiB   "
            f"median rank {median:g}   first {first:.1%}"
        )
    print(f"ours is {ratio:.2f} times as fast")
    print(json.dumps({"ratio": ratio, "seconds": found}))


if __name__ == "__main__":
    main()
