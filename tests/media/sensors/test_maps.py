"""Which array of a file is the map."""

import io

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import depth, specs
from lb_jax.media.sensors import maps
from tests.media.sensors import scene

SPEC = specs.DepthSpec()


def test_the_map_of_a_file_is_chosen_by_its_name():
    shape = (4, 5), np.dtype("f4")
    assert maps.choose({"a": shape}, "x") == "a"
    assert maps.choose({"a": shape, "Depth_Map": shape}, "x") == "Depth_Map"
    assert maps.choose({"z": shape, "depth": shape}, "x") == "depth"
    assert maps.choose({"conf": shape, "pred_depth": shape}, "x") == "pred_depth"
    with pytest.raises(errors.DataError, match="expected one map"):
        maps.choose({"depth_gt": shape, "depth_pred": shape}, "x")


def test_an_axis_of_one_channel_is_left_out():
    for item in (scene.SCENE[..., None], scene.stored(1000)[..., None]):
        np.testing.assert_allclose(depth.decode(item, SPEC), scene.SCENE, atol=0.001)
        file = io.BytesIO()
        np.save(file, item)
        np.testing.assert_allclose(depth.decode(file.getvalue(), SPEC), scene.SCENE, atol=0.001)
