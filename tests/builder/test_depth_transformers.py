"""Depth by transformers: its own GLPN on the same weights, and what is no depth model."""

import numpy as np
import pytest

from lb_jax.builder import depth, depth_transformers
from lb_jax.convert import glpn
from lb_jax.core import errors
from tests import generators

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glpn") / "glpn"
    glpn.save(folder, generators.SMALL_GLPN, generators.drawn_glpn())
    return folder


def test_transformers_reads_what_is_written_and_gives_the_same_metres(folder):
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    theirs = depth_transformers.load(str(folder))(frames)
    ours = depth.load(folder)
    np.testing.assert_allclose(theirs, ours(frames), rtol=0, atol=1e-3)


def test_what_is_no_depth_model_is_one_line(tmp_path):
    with pytest.raises(errors.ConfigError, match="opens no depth model") as caught:
        depth_transformers.load(str(tmp_path / "nothing"))
    assert "\n" not in str(caught.value)
