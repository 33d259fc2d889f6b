"""Proper deflation beats naive deflation on images that it was not fitted to."""

import dataclasses

import jax
import numpy as np
import pytest

from lb_jax.core import errors, paths
from lb_jax.models import deflation, tsm
from lb_jax.training import deflating
from tests.models.test_deflation import leaves

CFG = tsm.TSMConfig(channels=(16, 32, 64), blocks=(1, 1, 1), stem=8)
FRAMES, STEPS = 8, 80


def pictures(steps, items=8, side=24):
    rng = np.random.default_rng(steps)
    for _ in range(steps):
        small = rng.random((items, 4, 4, 3), np.float32)
        yield np.repeat(np.repeat(small, side // 4, axis=1), side // 4, axis=2)


def test_a_fit_brings_the_image_tower_closer_and_moves_batch_norms_alone():
    params = leaves(CFG)
    fitted = deflating.fit(CFG, params, pictures(STEPS), steps=STEPS, frames=FRAMES)
    assert fitted.config == dataclasses.replace(CFG, shift=0.0)
    assert len(fitted.distances) == STEPS
    small, naive = deflation.deflated(CFG, params)
    held_out = next(pictures(1, items=32))
    video, image = (deflating.tower(cfg) for cfg in (CFG, small))
    target = video(params, deflation.stills(CFG, held_out, FRAMES))
    before, after = (
        float(np.abs(image(one, deflation.stills(small, held_out)) - target).mean())
        for one in (naive, fitted.params)
    )
    assert after < 0.75 * before
    moved = {
        path
        for path, leaf in paths.flatten(fitted.params).items()
        if not np.array_equal(leaf, paths.flatten(naive)[path])
    }
    assert moved
    assert all(paths.match_one(deflation.AFFINE, path) for path in moved)


def test_too_few_images_and_numbers_that_are_not_finite_are_told():
    params = leaves(CFG)
    with pytest.raises(errors.TrainingError, match="images for 1 of 2 steps"):
        deflating.fit(CFG, params, pictures(1), steps=2, frames=2)
    spoilt = jax.tree.map(lambda leaf: leaf * np.nan, params)
    with pytest.raises(errors.TrainingError, match="step 1 of 2: the distance is nan"):
        deflating.fit(CFG, spoilt, pictures(2), steps=2, frames=2)
