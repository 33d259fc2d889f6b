"""ImageBind's towers against the reference's numbers (golden README of imagebind)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.core.modalities import TEXT
from lb_jax.models import adapt
from lb_jax.models.languagebind import unit
from lb_jax.models.vision import patchify
from tests import imagebind

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(
        not imagebind.FOLDER.is_dir(), reason=f"no golden folder {imagebind.FOLDER}"
    ),
]

CASES = ("vision", TEXT, "audio", "depth", "thermal", "imu")
INPUTS = [
    (case, name)
    for case in CASES
    if imagebind.FOLDER.is_dir()
    for name in imagebind.arrays(case)
    if "_" not in name
]
BARS = {"stem": 2e-5, "tokens": 2e-5, "hidden": 5e-5, "head": 2e-5, "each": 5e-6, "embed": 5e-6}


def fitted(case, x):
    """A tower for inputs of this size: another grid of positions where it is another."""
    cfg = imagebind.config(case)
    if case == TEXT:
        return imagebind.tower(case)
    size = x.shape[-3:-1] if case != "imu" else (1, x.shape[1])
    wanted = dataclasses.replace(cfg, image_size=tuple(size))
    if wanted.grid == cfg.grid:
        return imagebind.tower(case, wanted)
    table = imagebind.leaves(case)[f"{case}/position_embed"]
    table = adapt.resize_positions(jnp.asarray(table), cfg.grid, wanted.grid, "plain_bicubic")
    return imagebind.tower(case, wanted, {"position_embed": table})


def gap(found, expected):
    assert found.shape == expected.shape
    return float(np.abs(np.asarray(found, np.float64) - expected).max())


@jax.default_matmul_precision("highest")
@pytest.mark.parametrize(("case", "name"), INPUTS, ids="-".join)
def test_every_stored_quantity(case, name):
    io = imagebind.arrays(case)
    x, clips = imagebind.ours(case, io[name])
    tower = fitted(case, x)
    out = jax.jit(lambda x: tower(x))(x)
    each = np.asarray(unit(out.embed), np.float64)
    found = {
        "hidden": out.hidden if case == TEXT else out.hidden[:, 0],
        "head": out.embed,
        "each": each,
        "embed": each if clips is None else each.reshape(-1, clips, each.shape[-1]).mean(1),
        **embedded(case, tower, x),
    }
    kinds = [kind for kind in BARS if f"{name}_{kind}" in io]
    assert "embed" in kinds
    for kind in kinds:
        expected = np.asarray(io[f"{name}_{kind}"], np.float64)
        if kind in ("each", "embed"):
            expected /= imagebind.temperature(case)
        assert gap(found[kind], expected) <= BARS[kind], kind


def embedded(case, tower, x):
    """What goes into the blocks, and the patches before class token and positions."""
    if case == TEXT:
        return {"tokens": tower.token_embed(x) + tower.position_embed[: x.shape[1]]}
    stem = tower.patch_embed(patchify(jnp.asarray(x), tower.cfg))[:, 0]  # [b, n, d]
    first = jnp.broadcast_to(tower.class_embed[...], (len(x), 1, stem.shape[-1]))
    tokens = jnp.concatenate([first, stem], axis=1) + tower.position_embed[...]
    return {"stem": stem, "tokens": tokens}


@pytest.mark.parametrize("case", ["audio", "depth", "thermal", "imu"])
@pytest.mark.parametrize("options", [{"scan": False}, {"attention": "head_major"}], ids=str)
def test_ways_to_compute_are_one_function(case, options):
    io = imagebind.arrays(case)
    x, _ = imagebind.ours(case, io["faint"])
    one, other = imagebind.tower(case), imagebind.tower(case, **options)
    assert gap(other(x).embed, np.asarray(one(x).embed)) <= 2e-5


def test_a_still_is_a_clip_of_two_equal_frames():
    x, _ = imagebind.ours("vision", imagebind.arrays("vision")["image"])
    tower = imagebind.tower("vision")
    still = tower(x)
    clip = tower(np.repeat(x[:, None], tower.cfg.frames, axis=1))
    single = tower(x[:, None])
    assert gap(still.embed, np.asarray(clip.embed)) <= 5e-6
    np.testing.assert_array_equal(still.embed, single.embed)


@pytest.mark.parametrize("case", ["audio", "depth", "thermal", "imu"])
def test_the_bias_key_and_value_count(case):
    x, _ = imagebind.ours(case, imagebind.arrays(case)["faint"])
    form = dataclasses.replace(imagebind.config(case).form, bias_kv=None)
    without = imagebind.tower(case, dataclasses.replace(imagebind.config(case), form=form))
    assert gap(without(x).embed, np.asarray(imagebind.tower(case)(x).embed)) > 1e-2


@pytest.mark.parametrize("case", [case for case in CASES if case != TEXT])
def test_other_epsilons_are_other_models(case):
    """A stem's norm has 1e-5, all others 1e-6; which of them shows depends on the tower."""
    cfg = imagebind.config(case)
    name = "image" if case == "vision" else "faint"
    x, _ = imagebind.ours(case, imagebind.arrays(case)[name])
    changes = {"epsilon": 1e-5} if case == "vision" else {"stem_norm": 1e-6}
    other = dataclasses.replace(cfg, form=dataclasses.replace(cfg.form, **changes))
    found = imagebind.tower(case, other)(x).hidden[:, 0]
    assert gap(found, imagebind.arrays(case)[f"{name}_hidden"]) > 1e-3


def test_inputs_that_the_reference_takes_for_others_are_refused():
    vision, audio = imagebind.config("vision"), imagebind.config("audio")
    rows, columns = vision.image_size
    bins, steps = audio.image_size
    for cfg, shape in (
        (vision, (1, rows // 2, columns * 2, 3)),  # as many patches
        (vision, (1, 3, rows, columns, 3)),  # three frames without an axis of clips
        (audio, (1, steps, bins, 1)),  # transposed
        (audio, (1, bins, steps - 4, 1)),  # as many windows
    ):
        with pytest.raises(ValueError, match="where the tower takes"):
            patchify(jnp.zeros(shape), cfg)
