"""What tells models apart: weights and preprocessing."""

import numpy as np

from lb_jax.core import checkpoint
from lb_jax.inference import api
from tests.inference import copies


def test_digest_follows_weights_and_preprocessing(model, copy):
    copies.rewrite(copy)
    assert api.load(copy).digest == model.digest
    copies.rewrite(copy, params={"logit_scale/video": np.float32(1.5)})
    weights = api.load(copy).digest
    preprocess = checkpoint.load_config(copy)["preprocess"]
    preprocess["image"]["antialias"] = not preprocess["image"]["antialias"]
    copies.rewrite(copy, config={"preprocess": preprocess})
    assert len({model.digest, weights, api.load(copy).digest}) == 3


def test_preprocessing_is_the_checkpoints(model, load, copy):
    preprocess = checkpoint.load_config(copy)["preprocess"]
    preprocess["depth"]["max_depth_m"] = 5.0
    copies.rewrite(copy, config={"preprocess": preprocess})
    item = np.full((50, 60), 4000, np.uint16)
    ours, theirs = model.preprocess("depth", item), load(copy).preprocess("depth", item)
    assert np.abs(ours - theirs).max() > 0.1
