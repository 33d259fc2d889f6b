"""Embedding stills by ImageBind's H/14 image tower: beside ours for ViT-L/14, and beside PyTorch.

    python benchmarks/imagebind_speed.py [--batch 4] [--repetitions 7] [--depth N] [--python PYTHON]

float32 on all sides, weights drawn once from a seed, the same for both sides of H/14. Throughput is
counted in multiplications and additions of the matrix products (`operations`), so that towers of
two sizes compare: H/14's may be at most 10 % below that of L/14 in the same run, and no lower than
PyTorch's on the same weights (plain modules with its fused attention, eager and in inference mode).

Every side is a process of its own; they take turns, and a ratio is the median over the turns. That
both sides compute one function is checked first. `--depth` shortens all towers to try it out.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import turns

FIRST = 2  # the turn that counts first: those before compile and use things once
SIDES = ("H/14", "L/14", "torch H/14")
WITHIN, BESIDE = 0.9, 1.0  # of L/14's throughput, of PyTorch's
SEED = 0


def config(side: str, depth: int | None):
    """The tower of a side, and the name of its weights."""
    from lb_jax.models import imagebind
    from lb_jax.models.architectures import architecture

    is_huge = "H/14" in side
    cfg = imagebind.huge().towers["image"] if is_huge else architecture("ViT-L/14").vision
    return dataclasses.replace(cfg, depth=depth or cfg.depth)


def operations(cfg) -> int:
    """Multiplications and additions of the matrix products for one still."""
    tokens, width = 1 + cfg.grid[0] * cfg.grid[1], cfg.width
    projections = tokens * (4 * width * width + 2 * width * cfg.mlp_dim)
    attention = 2 * tokens * tokens * width
    patches = (tokens - 1) * cfg.patch_size**2 * 3 * width
    return 2 * (cfg.depth * (projections + attention) + patches + width * cfg.embed_dim)


def drawn(cfg) -> dict[str, Any]:
    """Path -> array, of the size that keeps activations about 1."""
    import jax
    from flax import nnx

    from lb_jax.core import paths
    from lb_jax.models.vision import VisionTower

    shapes = nnx.eval_shape(lambda: nnx.split(VisionTower(cfg, rngs=nnx.Rngs(params=0)))[1])
    rng, found = np.random.default_rng(SEED), {}
    for path, leaf in paths.flatten(nnx.to_pure_dict(shapes)).items():
        if path.endswith("scale"):
            found[path] = np.ones(leaf.shape, np.float32)
            continue
        inputs = np.prod(leaf.shape[-2:-1]) if path.endswith("kernel") else 1e4
        inputs = np.prod(leaf.shape[:-1]) if path.startswith("patch_embed") else inputs
        found[path] = rng.standard_normal(leaf.shape, np.float32) * np.float32(inputs**-0.5)
    return jax.tree.map(np.asarray, found)


def pixels(cfg, size: int) -> np.ndarray:
    """Stills [b, h, w, 3]."""
    return np.random.default_rng(1).standard_normal((size, *cfg.frame), np.float32)


def ours(cfg, size: int) -> Callable[[], np.ndarray]:
    """Runs once; gives unit vectors."""
    import jax

    from lb_jax.core import paths
    from lb_jax.models.languagebind import LanguageBind, ModelConfig
    from lb_jax.models.text import TextConfig

    text = TextConfig(8, 1, 1, 8, embed_dim=cfg.embed_dim, vocab=8, context=8)  # not used
    model = LanguageBind(ModelConfig({"image": cfg}, text))
    leaves, x = drawn(cfg), jax.device_put(pixels(cfg, size))
    # one by one, so that each host copy goes before the next leaf comes
    tower = {path: jax.block_until_ready(jax.device_put(leaves.pop(path))) for path in list(leaves)}
    params = {"base": {}, "towers": {"image": paths.unflatten(tower)}}
    run = jax.jit(lambda params, x: model.encode(params, "image", x))
    return lambda: np.asarray(run(params, x))


def theirs(cfg, size: int) -> Callable[[], np.ndarray]:
    """The same by PyTorch."""
    import torch
    from torch.nn import functional

    leaves = {path: torch.from_numpy(array) for path, array in drawn(cfg).items()}
    fused = {  # as nn.MultiheadAttention keeps them
        name: torch.cat([leaves.pop(f"blocks/attn/{one}_proj/{name}") for one in "qkv"], -1)
        for name in ("kernel", "bias")
    }
    fused["kernel"] = fused["kernel"].mT.contiguous()
    x = torch.from_numpy(pixels(cfg, size)).permute(0, 3, 1, 2).contiguous()
    kernel = leaves.pop("patch_embed/kernel")
    if cfg.tube_size:
        kernel = kernel.sum(0)
    kernel = kernel.permute(3, 2, 0, 1).contiguous()
    weights = {}  # a linear layer's lies transposed in torch
    for path in list(leaves):
        leaf = leaves.pop(path)
        weights[path] = leaf.mT.contiguous() if path.endswith("kernel") else leaf

    def norm(x, path: str, layer: int | None = None):
        scale, bias = (pick(f"{path}/{name}", layer) for name in ("scale", "bias"))
        return functional.layer_norm(x, (cfg.width,), scale, bias, cfg.kind.epsilon)

    def pick(path: str, layer: int | None):
        return weights[path] if layer is None else weights[path][layer]

    def block(x, layer: int):
        y = norm(x, "blocks/norm1", layer)
        y = functional.linear(y, fused["kernel"][layer], fused["bias"][layer])
        q, k, v = y.view(*y.shape[:2], 3, cfg.heads, -1).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        path = "blocks/attn/out_proj"
        x = x + functional.linear(y, pick(f"{path}/kernel", layer), pick(f"{path}/bias", layer))
        y = norm(x, "blocks/norm2", layer)
        for name in ("fc1", "fc2"):
            path = f"blocks/mlp/{name}"
            y = functional.linear(y, pick(f"{path}/kernel", layer), pick(f"{path}/bias", layer))
            y = functional.gelu(y) if name == "fc1" else y
        return x + y

    def run():
        y = functional.conv2d(x, kernel, stride=cfg.patch_size).flatten(2).mT
        first = weights["class_embed"].reshape(1, 1, -1).expand(len(y), 1, -1)
        y = torch.cat([first, y], 1) + weights["position_embed"]
        y = norm(y, "pre_norm")
        for layer in range(cfg.depth):
            y = block(y, layer)
        y = functional.linear(norm(y[:, 0], "post_norm"), weights["proj/kernel"])
        return functional.normalize(y, dim=-1)

    return torch.inference_mode()(lambda: run().numpy())


def serve(side: str, size: int, depth: int | None) -> None:
    """A child: answers with seconds of both clocks, and in the first turn with its vectors."""
    run = (theirs if side.startswith("torch") else ours)(config(side, depth), size)

    def measured(turn: int) -> list[Any]:
        start, used = time.perf_counter(), time.process_time()
        found = run()
        figures = [time.perf_counter() - start, time.process_time() - used]
        return [*figures, [] if turn else found.tolist()]

    turns.answer(measured)


def measure(size: int, repetitions: int, depth: int | None, python: str) -> dict[str, np.ndarray]:
    """Side -> [turns, 2]: seconds and CPU seconds; `python` runs our sides.

    Raises:
      SystemExit: where the two sides of H/14 compute two functions.
    """
    options = ("--batch", str(size), *(("--depth", str(depth)) if depth else ()))
    commands = {
        side: (
            *(sys.executable if side.startswith("torch") else python, __file__),
            *("--serve", side, *options),
        )
        for side in SIDES
    }
    found: dict[str, list[list[float]]] = {side: [] for side in SIDES}
    vectors: dict[str, np.ndarray] = {}
    for turn, side, (*figures, rows) in turns.take(commands, FIRST + repetitions):
        if turn >= FIRST:
            found[side].append(figures)
        elif not turn:
            vectors[side] = np.array(rows)
            if len(vectors) == len(SIDES):
                require_same(vectors[SIDES[0]], vectors[SIDES[2]])
    return {side: np.array(rows) for side, rows in found.items()}


def require_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Compares the unit vectors of both sides of H/14."""
    apart = np.abs(ours - theirs).max()
    print(f"unit vectors of both sides of H/14 differ by {apart:.1e}", flush=True)
    if apart > 2e-5:
        raise SystemExit("ours is another function than PyTorch's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--depth", type=int, help="blocks of every tower, fewer than it has")
    parser.add_argument(
        "--python", default=sys.executable, help="of our sides, such as one with a newer jax"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.batch, given.depth)
        return
    found = measure(given.batch, given.repetitions, given.depth, given.python)
    work = {side: given.batch * operations(config(side, given.depth)) for side in SIDES}
    speed = {side: work[side] / found[side] for side in SIDES}  # of both clocks
    for side in SIDES:
        seconds, used = np.median(found[side], axis=0)
        print(
            f"{side:11} {seconds:7.3f} s {used:7.3f} s of CPU for {given.batch} stills of "
            f"{work[side] / given.batch / 1e9:.1f} GFLOP: {work[side] / seconds / 1e9:7.1f} GFLOP/s"
        )
    per, beside = (np.median(speed["H/14"] / speed[side], axis=0) for side in SIDES[1:])
    result = {
        "per_flop_of_l14": per[0],
        "per_flop_of_l14_cpu": per[1],
        "of_torch": beside[0],
        "of_torch_cpu": beside[1],
        "batch": given.batch,
        "depth": given.depth,
        "turns": given.repetitions,
    }
    print(
        f"H/14 has {per[0]:.3f} of L/14's throughput ({'within' if per[0] >= WITHIN else 'MISSES'} "
        f"{WITHIN}), and {beside[0]:.3f} of PyTorch's "
        f"({'within' if beside[0] >= BESIDE else 'MISSES'} {BESIDE})"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
