"""Fine-grained loss, value and gradient, by tiles and in one piece.

    python benchmarks/fine_grained.py [--batch 512] [--tiles 32] [--repetitions 5]

32 words against 8 frames and 4 clips of sound at width 512 (group T-AV), float32, one device. Each
side is a process of its own and both are there at once, so that they take turns; the ratio is the
median over the turns. Memory is what the compiler plans beside arguments and results, and by how
much the process grows at its peak, results included, over what it had when all was compiled.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

WORDS, FRAMES, CLIPS, WIDTH = 32, 8, 4, 512
TEMPERATURE = 0.07
MIB = 2**20
PLAIN = 0  # in place of a tile


def sides(batch: int):
    """Unit vectors of texts of 8 to 32 words, of frames and of clips, float32."""
    from lb_jax.objectives.fine_grained import Side

    draw = np.random.default_rng(0)

    def side(parts, lengths):
        features = draw.standard_normal((batch, parts, WIDTH), np.float32)
        features /= np.linalg.norm(features, axis=-1, keepdims=True)
        logits = draw.standard_normal((batch, parts), np.float32)
        mask = np.broadcast_to(np.arange(parts) < lengths, logits.shape)
        return Side(features, mask, logits)

    words = draw.integers(8, WORDS + 1, (batch, 1))
    return side(WORDS, words), (side(FRAMES, FRAMES), side(CLIPS, CLIPS))


def loss_of(tile: int):
    """Loss of rows and columns: in one piece, or as training computes it."""
    import jax

    from lb_jax.objectives import contrastive, fine_grained, ring
    from lb_jax.training import sharding

    if tile == PLAIN:
        return lambda rows, columns: contrastive.of_scores(
            fine_grained.early_fusion(rows, columns), TEMPERATURE
        )
    mesh = sharding.make_mesh(dict.fromkeys(sharding.AXES, 1), devices=jax.devices()[:1])
    around = ring.make_contrastive(mesh, "infonce", tile, fine_grained.early_fusion)
    return lambda rows, columns: around(rows, columns, -np.log(np.float32(TEMPERATURE)))


def peak_bytes() -> int:
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def serve(batch: int, tile: int) -> None:
    """A child: for each line it reads one value and gradient; prints a line of figures."""
    import jax

    loss = loss_of(tile)

    def of(arrays, masks):
        rows, *columns = (
            one._replace(features=features, logits=logits)
            for one, (features, logits) in zip(masks, arrays, strict=True)
        )
        return loss(rows, tuple(columns))

    rows, columns = jax.device_put(sides(batch))
    masks = [one._replace(features=None, logits=None) for one in (rows, *columns)]
    arrays = [(one.features, one.logits) for one in (rows, *columns)]
    run = jax.jit(jax.value_and_grad(of)).lower(arrays, masks).compile()
    planned, before = run.memory_analysis().temp_size_in_bytes, peak_bytes()
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        value, gradient = jax.block_until_ready(run(arrays, masks))
        seconds, used = time.perf_counter() - start, time.process_time() - used
        norm = float(sum((x.astype(float) ** 2).sum() for x in jax.tree.leaves(gradient)) ** 0.5)
        del gradient
        found = [seconds, used, planned, peak_bytes() - before, float(value), norm]
        print(json.dumps(found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--tiles", type=int, nargs="+", default=[32])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.batch, given.serve)
        return
    children = {
        tile: subprocess.Popen(
            [sys.executable, __file__, f"--batch={given.batch}", f"--serve={tile}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for tile in (PLAIN, *given.tiles)
    }
    found = {tile: [] for tile in children}
    for turn in range(given.repetitions + 1):  # the first is not counted
        for tile, child in children.items():
            child.stdin.write("\n")
            child.stdin.flush()
            figures = json.loads(child.stdout.readline())
            if turn:
                found[tile].append(figures)
    for child in children.values():
        child.stdin.close()
        child.wait()
    print(f"batch {given.batch}, {WORDS} words, {FRAMES} + {CLIPS} items, width {WIDTH}")
    print(f"{'':12}{'seconds':>9}{'of CPU':>9}{'planned MiB':>13}{'peak MiB':>10}{'ratios':>25}")
    plain, report = np.array(found[PLAIN]), {}
    for tile, rows in found.items():
        rows = np.array(rows)
        median = np.median(rows, axis=0)
        seconds, used = (np.median(rows[:, i] / plain[:, i]) for i in (0, 1))
        planned, peak = rows[-1, 2:4] / plain[-1, 2:4]
        np.testing.assert_allclose(rows[:, 4:], plain[:, 4:], rtol=1e-5)
        name = f"tiles of {tile}" if tile else "one piece"
        print(
            f"{name:12}{median[0]:9.2f}{median[1]:9.2f}{rows[-1, 2] / MIB:13.0f}"
            f"{rows[-1, 3] / MIB:10.0f}{seconds:10.2f}{used:6.2f}{planned:6.3f}{peak:6.3f}"
        )
        report[name] = {
            "seconds": median[0],
            "cpu_seconds": median[1],
            "planned_bytes": int(rows[-1, 2]),
            "peak_bytes": int(rows[-1, 3]),
            "ratios": {"seconds": seconds, "cpu": used, "planned": planned, "peak": peak},
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
