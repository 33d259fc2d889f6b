"""The gaps between MMV's networks and whole models and the golden folder.

`python -m tests.models.mmv_gaps gaps CASE…` prints one JSON object: case -> output -> [the largest
difference, their mean], in shares of the largest expected value; `rounding` the same of what is
stored from float64. A process of its own compiles as
users do: the tests' options round otherwise, which moves `s3d_options` by more than its bar (the
stored numbers lie 2.7e-5 from those in float64).
"""

import functools
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lb_jax.convert import mmv as convert
from lb_jax.core import paths
from lb_jax.models import deflation
from lb_jax.models.mmv import Mmv
from tests import mmv


def video(array):
    """Frames as the networks take them."""
    return np.float32(array) / 255 if array.dtype == np.uint8 else array


@functools.cache
def program(cfg):
    """(leaves, input, counted) -> features and the leaves with new statistics."""
    graph, _ = mmv.module(cfg)

    @jax.jit
    def run(params, x, counted=None):
        module = nnx.merge(graph, params)
        return module(x, counted), nnx.to_pure_dict(nnx.split(module)[1])

    return run


def statistics(case, params, places, prefix):
    """(output, gap) of every statistic that a case stores under a prefix."""
    flat, at = paths.flatten(params), {place.name: place for place in places}
    for name, expected in mmv.arrays(case).items():
        if name.startswith(f"out::{prefix}::"):
            place = at[name.removeprefix(f"out::{prefix}::")]
            yield name, mmv.gap(flat[place.path], place.layout.ours(expected))


def tower(case):
    """(output, gap) of every output of a case of one network."""
    io, cfg, params = mmv.arrays(case), mmv.network(case), mmv.params(case)
    net, run = mmv.settings(case)["net"], program(cfg)
    shapes = sorted(name.removeprefix("in::x") for name in io if name.startswith("in::x"))
    for i in shapes:
        found, _ = run(params, video(io[f"in::x{i}"]))
        yield f"out::y{i}", mmv.gap(found.pooled, io[f"out::y{i}"])
        for name, expected in io.items():
            if i == "0" and name.startswith("out::endpoint::"):
                ours = mmv.endpoint(net, name.removeprefix("out::endpoint::"))
                given = found.pooled if ours is None else found.maps[ours]
                yield name, mmv.gap(given[:1], expected)
    if "out::y0_time_major" in io:
        other = mmv.changed(cfg, layout="time_major")
        found = program(other)(params, video(io["in::x0"]))[0].pooled
        yield "out::y0_time_major", mmv.gap(found, io["out::y0_time_major"])
    for name, change in mmv.settings(case).get("variants", {}).items():
        other = mmv.changed(cfg, shift=change["shift_fraction"])
        found = program(other)(params, video(io["in::x0"]))[0].pooled
        yield f"out::variant::{name}", mmv.gap(found, io[f"out::variant::{name}"])
    for kind in ("fresh", "resume"):
        if f"out::{kind}_train_y0" in io:
            yield from _trained_tower(case, kind)


def _trained_tower(case, kind):
    io, run, places = mmv.arrays(case), program(mmv.network(case)), mmv.leaf_places(case)
    params = mmv.params(case, "fresh" if kind == "fresh" else "rule")
    for i in range(mmv.STEPS):
        x = video(io[f"in::train_x{i}"])
        found, params = run(params, x, jnp.ones(len(x), bool))
        yield f"out::{kind}_train_y{i}", mmv.gap(found.pooled, io[f"out::{kind}_train_y{i}"])
        yield from statistics(case, params, places, f"{kind}_after{i + 1}")
    if f"out::{kind}_after3_eval_y0" in io:
        found, _ = run(params, video(io["in::x0"]))
        yield (
            f"out::{kind}_after3_eval_y0",
            mmv.gap(found.pooled, io[f"out::{kind}_after3_eval_y0"]),
        )


def inputs(case, prefix=""):
    """Modality -> input of a case of whole models."""
    io = mmv.arrays(case)
    names = {"video": "video", "audio": "audio", "text": "word_ids"}
    return {role: video(io[f"in::{prefix}{name}"]) for role, name in names.items()}


def whole(case):
    """(output, gap) of every output of a case of whole models."""
    io, cfg = mmv.arrays(case), mmv.full(mmv.settings(case))
    model = Mmv(cfg, convolution="xla")
    places = convert.places(cfg, convert.norm_name(mmv.tensors(case)))
    run = jax.jit(model.run)

    def compared(prefix, found):
        given = {"vid_repr": "video", "aud_repr": "audio"}
        for name, expected in io.items():
            if not name.startswith(f"out::{prefix}."):
                continue
            last = name.removeprefix(f"out::{prefix}.")
            if last in given:
                yield name, mmv.gap(found.features[given[last]].pooled, expected)
            elif last == "intermediate_audio":
                yield name, mmv.gap(found.features["audio"].maps["groups/3"], expected)
            else:
                yield name, mmv.gap(mmv.output(found.embeddings, last), expected)

    params = mmv.filled(places, mmv.tensors(case))
    yield from compared("eval", run(params, inputs(case)))
    for kind in ("fresh", "resume"):
        if not any(name.startswith(f"out::{kind}_train0") for name in io):
            continue
        params = mmv.filled(places, mmv.tensors(case, "fresh" if kind == "fresh" else "rule"))
        for i in range(mmv.STEPS):
            given = inputs(case, f"train{i}_")
            counted = {role: jnp.ones(len(x), bool) for role, x in given.items()}
            found = run(params, given, counted)
            params = paths.overlay(params, found.state)
            yield from compared(f"{kind}_train{i}", found)
            yield from statistics(case, params, places, f"{kind}_after{i + 1}")
        yield from compared(f"{kind}_after3_eval", run(params, inputs(case)))


def deflated(case):
    """(output, gap) of every output of a case of deflation."""
    io, cfg, params = mmv.arrays(case), mmv.network(case), mmv.params(case)
    given, image = mmv.settings(case), video(io["in::image"])
    at = mmv.endpoint(given["net"], given["frame_endpoint"])
    small, without_time = deflation.deflated(cfg, params)
    alone = deflation.stills(small, image)

    def compared(prefix, suffix, found, frames):
        for kind, one in (("frames", frames), ("frame", frames[:, 0]), ("embedding", found)):
            name = f"out::{prefix}_{kind}{suffix}"
            if name in io:
                yield name, mmv.gap(one, io[name])

    runs = [(f"_T{n}", cfg, params, deflation.stills(cfg, image, n)) for n in given["frames"]]
    for suffix, *run in (*runs, ("", small, without_time, alone)):
        found, _ = program(run[0])(*run[1:])
        prefix = "static" if suffix else "deflated"
        yield from compared(prefix, suffix, found.pooled, found.maps[at])
    if "out::unshifted_without_swap_frame" in io:
        found, _ = program(small)(params, alone)
        yield from compared("unshifted_without_swap", "", found.pooled, found.maps[at])
    if (name := "out::video_network_on_one_frame_embedding") in io:
        yield name, mmv.gap(program(cfg)(params, alone)[0].pooled, io[name])


def gaps(case):
    """(output, gap) of a case."""
    if "image_size" in mmv.settings(case):
        return deflated(case)
    return whole(case) if "model" in mmv.settings(case) else tower(case)


def of_rounding(case):
    """How far the features that a tower's case stores are from float64: output -> the largest gap.

    For a process of its own: the modules' own float32 is called float64 in it.
    """
    jax.config.update("jax_enable_x64", True)
    jnp.float32 = jnp.float64
    cfg = mmv.network(case)
    kind = mmv.TOWERS[type(cfg)]
    graph, _ = nnx.split(
        nnx.eval_shape(lambda: kind(cfg, rngs=nnx.Rngs(params=0), dtype=jnp.float64))
    )
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), mmv.params(case))
    run, found = jax.jit(lambda params, x: nnx.merge(graph, params)(x).pooled), {}
    for name, x in mmv.arrays(case).items():
        stored = mmv.arrays(case).get(f"out::y{name.removeprefix('in::x')}")
        if name.startswith("in::x") and stored is not None:
            exact = np.asarray(run(params, jnp.asarray(video(x), jnp.float64)))
            found[f"out::y{name.removeprefix('in::x')}"] = mmv.gap(exact, stored)
    return found


if __name__ == "__main__":
    measure = {"gaps": lambda case: dict(gaps(case)), "rounding": of_rounding}[sys.argv[1]]
    print(json.dumps({case: measure(case) for case in sys.argv[2:]}))
