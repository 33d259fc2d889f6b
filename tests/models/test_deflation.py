"""Deflation: equal to the video tower away from the ends, the swap, the borders, the gates."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import paths
from lb_jax.models import deflation, resnet, s3d, tsm
from lb_jax.models.mmv import TOWERS

CFG = tsm.TSMConfig(channels=(16, 32), blocks=(2, 1), stem=8)
BLOCKS = sum(CFG.blocks)


def images(items=2, side=16):
    """Smooth pictures in [0, 1]."""
    small = jax.random.uniform(jax.random.key(3), (items, 4, 4, 3))
    return jax.image.resize(small, (items, side, side, 3), "linear")


@functools.cache
def graph(cfg):
    kind = TOWERS[type(cfg)]
    return nnx.split(nnx.eval_shape(lambda: kind(cfg, rngs=nnx.Rngs(params=0))))


def leaves(cfg):
    """Drawn leaves whose batch norms let through what comes."""
    rng = np.random.default_rng(0)
    flat = paths.flatten(nnx.to_pure_dict(graph(cfg)[1]))
    for path, leaf in flat.items():
        size = np.prod(leaf.shape[:-1]) ** -0.5 if path.endswith("kernel") else 0.3
        middle = 1.0 if path.endswith(("scale", "var/average")) else 0.0
        noise = 0.0 if path.endswith("var/average") else size
        flat[path] = (middle + noise * rng.standard_normal(leaf.shape)).astype(np.float32)
    return paths.unflatten(flat)


def maps(cfg, params, clips, name):
    made, _ = graph(cfg)
    return jax.jit(lambda params, x: nnx.merge(made, params)(x).maps[name])(params, clips)


def apart(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def of_clip(frames, cfg=CFG, name=resnet.LAST):
    """The middle frame of a clip in which nothing moves."""
    found = maps(cfg, leaves(cfg), deflation.stills(cfg, images(), frames), name)
    return found[:, found.shape[1] // 2]


def of_image(cfg=CFG, name=resnet.LAST):
    small, params = deflation.deflated(cfg, leaves(cfg))
    return maps(small, params, deflation.stills(small, images()), name)[:, 0]


def test_tsm_without_time_is_the_middle_of_a_long_enough_clip():
    assert apart(of_image(), of_clip(2 * BLOCKS + 1)) < 1e-5


def test_borders_reach_one_frame_further_with_every_block():
    assert apart(of_image(), of_clip(2 * BLOCKS)) > 5e-5


def test_leaving_the_shift_out_without_the_swap_is_wrong():
    cfg, _ = deflation.deflated(CFG, leaves(CFG))
    found = maps(cfg, leaves(CFG), deflation.stills(cfg, images()), resnet.LAST)[:, 0]
    assert apart(found, of_clip(2 * BLOCKS + 1)) > 0.1


@pytest.mark.parametrize("folds", [False, True])
def test_s3d_without_time_is_the_middle_of_a_clip_unless_it_has_gates(folds):
    cfg = s3d.S3DConfig(space_to_depth=folds, gated_from=None)
    assert apart(of_image(cfg, "pool_3a"), of_clip(16, cfg, "pool_3a")) < 1e-5
    gated = s3d.S3DConfig(space_to_depth=folds)
    assert apart(of_image(gated, "pool_3a"), of_clip(16, gated, "pool_3a")) > 1e-4


def test_a_still_has_as_few_frames_as_the_tower_takes():
    assert deflation.stills(CFG, images()).shape == (2, 1, 16, 16, 3)
    folded = s3d.S3DConfig(space_to_depth=True)
    for shaped in (images(), images()[:, None]):
        found = deflation.stills(folded, shaped)
        assert found.shape == (2, 2, 16, 16, 3)
        np.testing.assert_array_equal(found[:, 0], images())


def test_a_fit_may_move_batch_norms_alone():
    for cfg in (CFG, s3d.S3DConfig()):
        flat = paths.flatten(nnx.to_pure_dict(graph(cfg)[1]))
        moving = {path for path in flat if paths.match_one(deflation.AFFINE, path)}
        norms = {path.partition("/running/")[0] for path in flat if "/running/" in path}
        assert moving == {f"{norm}/{leaf}" for norm in norms for leaf in ("scale", "bias")}
