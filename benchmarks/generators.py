"""Depth by GLPN at the size of glpn-nyu, and infrared by sRGB-TIR's translator, beside PyTorch.

    python benchmarks/generators.py [--batch 1] [--repetitions 5] [--only glpn|munit]

float32 on all sides, weights drawn once from a seed, the same for both sides of a network; frames
of the scripts' sizes, 768 x 448 and 400 x 640. PyTorch's GLPN is that of transformers, its
translator plain functions, both in inference mode. Every side is a process of its own; they take
turns, and a ratio is the median over the turns. That both compute one function is checked first.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import turns

FIRST = 2  # the turn that counts first: those before compile and use things once
SIDES = {"glpn": ("ours glpn", "torch glpn"), "munit": ("ours munit", "torch munit")}
SIZES = {"glpn": (768, 448), "munit": (400, 640)}
APART = {"glpn": 2e-3, "munit": 2e-3}  # metres; of a range of 2
EVERY = 16  # rows and columns that are compared


def frames(network: str, size: int) -> np.ndarray:
    """Pictures [b, h, w, 3] that a network takes."""
    shape = (size, *SIZES[network], 3)
    rng = np.random.default_rng(1)
    if network == "glpn":
        return rng.integers(0, 256, shape, np.uint8)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def drawn(shapes) -> dict[str, np.ndarray]:
    """Path -> array, of the size that keeps activations about 1."""
    rng, found = np.random.default_rng(0), {}
    for path, shape in shapes.items():
        values = rng.standard_normal(shape, np.float32)
        if path.endswith("kernel"):
            inputs = shape[-2] if "blocks" in path and len(shape) == 3 else np.prod(shape[-4:-1])
            values *= np.float32(inputs**-0.5)
        else:
            values = values * np.float32(0.05) + np.float32(path.endswith(("scale", "var")))
        found[path] = values
    return found


def glpn_weights():
    from lb_jax.convert import glpn
    from lb_jax.core import paths
    from lb_jax.models.glpn import GlpnConfig

    cfg = GlpnConfig()
    return cfg, paths.unflatten(drawn(glpn.leaf_shapes(cfg)))


def munit_weights():
    from lb_jax.convert import munit
    from lb_jax.core import paths
    from lb_jax.models.munit import MunitConfig

    cfg = MunitConfig()
    return cfg, paths.unflatten(drawn(munit.leaf_shapes(cfg)))


def styles(cfg, size: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((size, cfg.style_dim), np.float32)


def ours_glpn(size: int) -> Callable[[], np.ndarray]:
    from lb_jax.builder import depth

    model = depth.GlpnDepth(*glpn_weights(), source="drawn", batch_size=size)
    x = frames("glpn", size)
    return lambda: model(x)


def torch_glpn(size: int) -> Callable[[], np.ndarray]:
    import torch
    import transformers

    from lb_jax.convert import glpn

    with tempfile.TemporaryDirectory() as folder:
        glpn.save(f"{folder}/glpn", *glpn_weights())
        load = transformers.GLPNForDepthEstimation.from_pretrained
        model = load(f"{folder}/glpn", local_files_only=True).eval()
    x = torch.from_numpy(frames("glpn", size)).permute(0, 3, 1, 2) / 255

    @torch.inference_mode()
    def run() -> np.ndarray:
        return model(x).predicted_depth.numpy()

    return run


def ours_munit(size: int) -> Callable[[], np.ndarray]:
    from lb_jax.builder import infrared

    cfg, params = munit_weights()
    both = {"a": params, "b": params}
    model = infrared.Translator(cfg, both, source="drawn", batch_size=size)
    x, style = frames("munit", size), styles(cfg, size)
    return lambda: model(x, style)


def torch_munit(size: int) -> Callable[[], np.ndarray]:
    """The same by plain functions of PyTorch."""
    import torch
    from torch.nn import functional

    from lb_jax.convert import munit

    cfg, params = munit_weights()
    state = {name: torch.from_numpy(array) for name, array in munit.named(params, cfg)}
    x = torch.from_numpy(frames("munit", size)).permute(0, 3, 1, 2).contiguous()
    style = torch.from_numpy(styles(cfg, size))

    def conv(x, name: str, padding: int, stride: int = 1):
        x = functional.pad(x, (padding,) * 4, mode="reflect")
        return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride)

    def block(x, name: str, affine=(None, None)):
        y = x
        for i, one in enumerate(affine):
            y = functional.instance_norm(conv(y, f"{name}.model.{i}.conv", 1))
            if one is not None:
                bias, scale = one
                y = y * scale[..., None, None] + bias[..., None, None]
            y = functional.relu(y) if not i else y
        return x + y

    def layer_norm(x, name: str):
        mean, std = x.mean((1, 2, 3), keepdim=True), x.std((1, 2, 3), keepdim=True)
        gamma, beta = (state[f"{name}.{one}"][:, None, None] for one in ("gamma", "beta"))
        return (x - mean) / (std + 1e-5) * gamma + beta

    @torch.inference_mode()
    def run() -> np.ndarray:
        y = functional.relu(functional.instance_norm(conv(x, "enc_content.model.0.conv", 3)))
        for i in range(cfg.halvings):
            y = functional.instance_norm(conv(y, f"enc_content.model.{i + 1}.conv", 1, 2))
            y = functional.relu(y)
        for i in range(cfg.blocks):
            y = block(y, f"enc_content.model.{cfg.halvings + 1}.model.{i}")
        z = style
        for i in range(3):
            fc = f"mlp.model.{i}.fc"
            z = functional.linear(z, state[f"{fc}.weight"], state[f"{fc}.bias"])
            z = functional.relu(z) if i < 2 else z
        parts = z.reshape(size, cfg.blocks, 2, 2, cfg.content_dim)
        for i in range(cfg.blocks):
            affine = [(parts[:, i, m, 0], parts[:, i, m, 1]) for m in range(2)]
            y = block(y, f"dec.model.0.model.{i}", affine)
        for i in range(cfg.halvings):
            name = f"dec.model.{2 + 2 * i}"
            y = conv(functional.interpolate(y, scale_factor=2.0), f"{name}.conv", 2)
            y = functional.relu(layer_norm(y, f"{name}.norm"))
        y = torch.tanh(conv(y, f"dec.model.{1 + 2 * cfg.halvings}.conv", 3))
        return y.permute(0, 2, 3, 1).numpy()

    return run


MAKE = {
    "ours glpn": ours_glpn,
    "torch glpn": torch_glpn,
    "ours munit": ours_munit,
    "torch munit": torch_munit,
}


def serve(side: str, size: int) -> None:
    """A child: answers with seconds of both clocks, and in the first turn with what it made."""
    run = MAKE[side](size)

    def measured(turn: int) -> list[Any]:
        start, used = time.perf_counter(), time.process_time()
        found = run()
        figures = [time.perf_counter() - start, time.process_time() - used]
        return [*figures, [] if turn else found[:, ::EVERY, ::EVERY].tolist()]

    turns.answer(measured)


def measure(network: str, size: int, repetitions: int) -> dict[str, np.ndarray]:
    """Side -> [turns, 2]: seconds and CPU seconds.

    Raises:
      SystemExit: where the two sides compute two functions.
    """
    options = ("--batch", str(size))
    sides = SIDES[network]
    commands = {side: (sys.executable, __file__, "--serve", side, *options) for side in sides}
    found: dict[str, list[list[float]]] = {side: [] for side in sides}
    made: dict[str, np.ndarray] = {}
    for turn, side, (*figures, rows) in turns.take(commands, FIRST + repetitions):
        if turn >= FIRST:
            found[side].append(figures)
        elif not turn:
            made[side] = np.array(rows)
            if len(made) == len(sides):
                apart = float(np.abs(np.subtract(*made.values())).max())
                print(f"{network}: both sides differ by {apart:.1e}", flush=True)
                if apart > APART[network]:
                    raise SystemExit("ours is another function than PyTorch's")
    return {side: np.array(rows) for side, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=tuple(SIDES), help="one of the networks")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.batch)
        return
    for network in [given.only] if given.only else SIDES:
        found = measure(network, given.batch, given.repetitions)
        for side, rows in found.items():
            seconds, used = np.median(rows, axis=0)
            print(f"{side:12} {given.batch / seconds:7.3f} frames/s, {used:7.2f} s of CPU a batch")
        ours, theirs = found.values()
        ratio = np.median(theirs / ours, axis=0)
        print(
            json.dumps(
                {
                    "network": network,
                    "of_torch": ratio[0],
                    "of_torch_cpu": ratio[1],
                    "batch": given.batch,
                    "turns": given.repetitions,
                }
            )
        )


if __name__ == "__main__":
    main()
