"""Memory of loading one tower of a full-size ImageBind file.

    python benchmarks/imagebind_load.py [--folder=DIR] [--modalities image depth]

Writes a file of the released sizes with random numbers (4.8 GB, removed at the end) as PyTorch
writes it. A process of its own then opens it for one modality and brings the tower to the device;
what counts is the largest resident set from then on above what was resident before, over the
tower's bytes. It may be at most 1.2 for the first of the modalities; of small towers what tracing
and compiling take is the larger part.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MOST = 1.2


def resident(field: str) -> int:
    """Bytes that are resident ("VmRSS"), or were at most since the peak began anew ("VmHWM")."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024


def write(file: Path) -> int:
    """Writes the file; returns its bytes."""
    from lb_jax.convert import imagebind, torch_writer
    from lb_jax.models import imagebind as towers

    cfg, rng = towers.huge(), np.random.default_rng(0)
    shapes = {place.name: place.foreign_shape for place in imagebind.places(cfg)}

    def tensors() -> Iterator[tuple[str, np.ndarray]]:
        for name, shape in shapes.items():
            yield name, np.asarray(rng.random(shape, np.float32) - np.float32(0.5))
        yield imagebind.MASK, imagebind.mask(cfg.text.context)

    torch_writer.write(file, tensors(), {})
    return file.stat().st_size


def load(file: str, modality: str) -> dict[str, float]:
    """Peak of loading a tower, and its bytes."""
    import jax

    import lb_jax

    opened, device = lb_jax.load, jax.devices()[0]  # imports and the backend
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    model = opened(file, modalities=[modality], devices=[device])
    leaves = jax.tree.leaves(jax.block_until_ready(model._tower(modality)))
    peak, size = resident("VmHWM"), sum(leaf.nbytes for leaf in leaves)
    return {"tower": size, "peak": peak, "above": peak - before, "ratio": (peak - before) / size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the file is for a time")
    parser.add_argument("--modalities", nargs="+", default=["image"])
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)  # what a child does
    given = parser.parse_args()
    if given.load:
        print(json.dumps(load(*given.load)))
        return
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="lb_jax-imagebind-") as scratch:
        file = Path(scratch) / "imagebind_huge.pth"
        found["bytes"] = write(file)
        print(f"{file.name}: {file.stat().st_size / 1e9:.2f} GB", flush=True)
        for modality in given.modalities:
            command = [sys.executable, __file__, "--load", str(file), modality]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            one = json.loads(done.stdout.splitlines()[-1])
            found[modality] = one
            print(
                f"{modality:8} tower {one['tower'] / 1e9:.3f} GB, peak {one['peak'] / 1e9:.3f} GB, "
                f"{one['above'] / 1e9:.3f} GB above what was: {one['ratio']:.3f} x the tower",
                flush=True,
            )
    first = found[given.modalities[0]]
    print(f"{'within' if first['ratio'] <= MOST else 'MISSES'} {MOST} x the tower")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
