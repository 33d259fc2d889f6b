"""Maps of floating point with a scale; the others are among the sources of one scene."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import depth, specs
from tests.media.sensors import scene

SPEC = specs.DepthSpec()


def test_a_pfm_of_another_scale_is_taken_as_stored_with_a_warning():
    item = scene.pfm(scene.SCENE, "<").replace(b"\n-1\n", b"\n-0.003922\n")
    with pytest.warns(errors.DataWarning, match=r"PFM scale 0\.003922"):
        np.testing.assert_allclose(depth.decode(item, SPEC), scene.SCENE, rtol=1e-6)
