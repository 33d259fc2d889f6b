"""MMV's video networks on CPU beside PyTorch: forward and a training step, float32.

    python benchmarks/mmv_speed.py [--rows "TSM step" ...] [--repetitions 7] [--batch 4]

TSM-ResNet-50 and S3D-G (with space-to-depth, as released) on clips of 8 frames of 112, with the
same drawn parameters on all sides: ours, ours by XLA's own convolutions and pooling ("xla"), and
the plain modules of `mmv_torch.py`, eager and compiled. A step is batch norm of the batch, the
square distance of the features from drawn ones, the gradient of all parameters and Adam.

First ours and PyTorch are compared: features, and gradients, which may lie no further from
PyTorch's in float64 than three times as far as PyTorch's own in float32. Then every side is a
process of its own; they take turns, and a ratio is the median over the turns. Peak memory is the
process's from the first timed turn on, so without compiling. Needs the extra `test` on Python
3.11 and a C++ compiler, which PyTorch compiles with.
"""

import argparse
import functools
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lb_jax.core import host_memory

OURS = ("ours", "xla")
if {*OURS} & {*sys.argv}:  # the child of one of our sides does as `lb-jax train`, first of all
    host_memory.keep()

import numpy as np  # noqa: E402
import turns  # noqa: E402

from lb_jax.core import paths  # noqa: E402
from lb_jax.models.s3d import S3D, S3DConfig  # noqa: E402
from lb_jax.models.tsm import TSM, TSMConfig  # noqa: E402

FRAMES, SIDE, RATE = 8, 112, 1e-3
FIRST = 2  # the turn that counts first: those before compile and use things once
NETWORKS = {"TSM": (TSM, TSMConfig()), "S3D": (S3D, S3DConfig(space_to_depth=True))}
ROWS = tuple(f"{network} {what}" for network in NETWORKS for what in ("forward", "step"))


def graph_of(network: str, way: str = "planes"):
    """The module without its leaves, and their shapes by path."""
    from flax import nnx

    kind, cfg = NETWORKS[network]
    made = nnx.eval_shape(lambda: kind(cfg, rngs=nnx.Rngs(params=0), convolution=way))
    graph, shapes = nnx.split(made)
    return graph, paths.flatten(nnx.to_pure_dict(shapes))


def drawn(network: str) -> paths.Tree:
    """Parameters of a network whose norms have seen something."""
    draw = np.random.default_rng(0)

    def leaf(path: str, shape: tuple[int, ...]) -> np.ndarray:
        if path.endswith("kernel"):
            return (2 / np.prod(shape[:-1])) ** 0.5 * draw.standard_normal(shape)
        if path.endswith(("scale", "var/average")):
            return draw.uniform(0.5, 1.5, shape)
        return 0.1 * draw.standard_normal(shape)

    shapes = graph_of(network)[1]
    return paths.unflatten({p: leaf(p, one.shape).astype("f") for p, one in shapes.items()})


def batch(network: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips, and the features that they are to have."""
    draw = np.random.default_rng(1)
    clips = draw.random((size, FRAMES, SIDE, SIDE, 3), np.float32)
    return clips, draw.random((size, NETWORKS[network][1].width), np.float32)


# ---- ours ----


def loss_of(network: str, way: str = "planes"):
    """(trained, state, clips, wanted) -> the loss, and the statistics behind it."""
    import jax.numpy as jnp
    from flax import nnx

    from lb_jax.models import convolution

    graph, _ = graph_of(network, way)

    def loss(trained, state, clips, wanted):
        module = nnx.merge(graph, paths.overlay(state, trained))
        features = module(clips, jnp.ones(len(clips), bool)).pooled
        now = convolution.state_of(nnx.to_pure_dict(nnx.split(module)[1]))[0]
        return jnp.square(features - wanted).mean(), now

    return loss


def ours(network: str, what: str, size: int, way: str) -> Callable[[], Any]:
    """Runs once."""
    import jax
    import optax
    from flax import nnx

    from lb_jax.models import convolution

    params, data = jax.device_put((drawn(network), batch(network, size)))
    if what == "forward":
        graph, _ = graph_of(network, way)
        run = jax.jit(lambda params, clips: nnx.merge(graph, params)(clips).pooled)
        return lambda: jax.block_until_ready(run(params, data[0]))
    adam, loss = optax.adam(RATE), loss_of(network, way)
    state, trained = convolution.state_of(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(trained, moments, state, clips, wanted):
        gradient, state = jax.grad(loss, has_aux=True)(trained, state, clips, wanted)
        updates, moments = adam.update(gradient, moments)
        return optax.apply_updates(trained, updates), moments, state

    held = [trained, jax.jit(adam.init)(trained), state]
    run = step.lower(*held, *data).compile()
    needed = run.memory_analysis()
    host_memory.reserve(needed.temp_size_in_bytes + needed.output_size_in_bytes)

    def take() -> None:
        held[:] = jax.block_until_ready(run(*held, *data))

    return take


# ---- PyTorch ----


def tower(network: str):
    import mmv_torch

    return mmv_torch.copied(NETWORKS[network][1], drawn(network))


def tensors(network: str, size: int):
    """`batch`, with the clips as PyTorch takes them."""
    import torch

    clips, wanted = map(torch.from_numpy, batch(network, size))
    return clips.permute(0, 4, 1, 2, 3).contiguous(), wanted


def theirs(network: str, what: str, size: int, *, compiled: bool) -> Callable[[], Any]:
    """Runs once."""
    import torch

    module, (clips, wanted) = tower(network), tensors(network, size)
    run = torch.compile(module) if compiled else module
    if what == "forward":
        module.eval()
        return torch.inference_mode()(lambda: run(clips))
    adam = torch.optim.Adam(module.parameters(), RATE, fused=True)

    def take() -> None:
        adam.zero_grad()
        torch.square(run(clips) - wanted).mean().backward()
        adam.step()

    return take


# ---- both ----

SIDES: dict[str, Callable[[str, str, int], Callable[[], Any]]] = {
    "ours": functools.partial(ours, way="planes"),
    "xla": functools.partial(ours, way="xla"),
    "eager": functools.partial(theirs, compiled=False),
    "compiled": functools.partial(theirs, compiled=True),
}


def far(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """Length of the difference of two gradients, as a share of the expected one's."""
    apart = sum(np.square(found[name] - one).sum() for name, one in expected.items())
    return float(np.sqrt(apart / sum(np.square(one).sum() for one in expected.values())))


def check(network: str, size: int = 2) -> None:
    """Compares ours with PyTorch's.

    Raises:
      SystemExit: naming what differs.
    """
    import jax
    import mmv_torch
    import torch

    from lb_jax.models import convolution

    found = ours(network, "forward", size, "planes")()
    expected = theirs(network, "forward", size, compiled=False)().numpy()
    apart = np.abs(found - expected).max() / np.abs(expected).max()

    def by_torch(kind) -> dict[str, np.ndarray]:
        module, (clips, wanted) = tower(network).to(kind), tensors(network, size)
        torch.square(module(clips.to(kind)) - wanted.to(kind)).mean().backward()
        return {name: one.grad.double().numpy() for name, one in module.named_parameters()}

    state, trained = convolution.state_of(drawn(network))
    gradient, _ = jax.jit(jax.grad(loss_of(network), has_aux=True))(
        trained, state, *batch(network, size)
    )
    exact = by_torch(torch.float64)
    mine, peer = (far(one, exact) for one in (mmv_torch.named(gradient), by_torch(torch.float32)))
    print(
        f"{network}: features differ by {apart:.1e} of the largest; gradients are {mine:.1e} "
        f"(ours) and {peer:.1e} (PyTorch float32) of their length from PyTorch's in float64",
        flush=True,
    )
    if apart > 1e-4 or mine > 3 * peer:
        raise SystemExit(f"{network}: ours is another function than PyTorch's")


def serve(row: str, side: str, size: int) -> None:
    """A child: answers with seconds, CPU seconds and peak MiB of a run."""
    run = SIDES[side](*row.split(), size)

    def measured(turn: int) -> list[float]:
        if turn == FIRST:
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        start, used = time.perf_counter(), time.process_time()
        run()
        figures = [time.perf_counter() - start, time.process_time() - used]
        status = Path("/proc/self/status").read_text()
        return [*figures, int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024]

    turns.answer(measured)


def measure(
    row: str, sides: list[str], size: int, repetitions: int, python: str
) -> dict[str, np.ndarray]:
    """Side -> [turns, 3]: seconds, CPU seconds, peak MiB; `python` runs our sides."""
    options = ("--batch", str(size))
    commands = {
        side: (python if side in OURS else sys.executable, __file__, "--serve", row, side, *options)
        for side in sides
    }
    found: dict[str, list[list[float]]] = {side: [] for side in sides}
    for turn, side, figures in turns.take(commands, FIRST + repetitions):
        if turn >= FIRST:
            found[side].append(figures)
    return {side: np.array(rows) for side, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument(
        "--python", default=sys.executable, help="of our sides, such as one with a newer jax"
    )
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(*given.serve, given.batch)
        return
    for network in dict.fromkeys(row.split()[0] for row in given.rows):
        check(network)
    for row in given.rows:
        found = measure(row, given.sides, given.batch, given.repetitions, given.python)
        base = found[given.sides[0]]
        for side, rows in found.items():
            seconds, used, peak = np.median(rows, axis=0)
            times, of_cpu = np.median(rows[:, :2] / base[:, :2], axis=0)
            print(
                f"{row:12} {side:9}{seconds:7.2f} s {used:7.2f} s of CPU {peak:7.0f} MiB; "
                f"{given.sides[0]} is {times:5.2f} times as fast ({of_cpu:.2f} of CPU)",
                flush=True,
            )


if __name__ == "__main__":
    main()
