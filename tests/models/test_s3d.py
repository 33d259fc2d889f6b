"""S3D: what space-to-depth, gates and windows in time see; shapes that cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import s3d


def test_space_to_depth_counts_time_then_rows_then_columns_then_colours():
    x = jnp.arange(2 * 4 * 2 * 3.0).reshape(1, 2, 4, 2, 3)
    found = s3d.fold(x)
    assert found.shape == (1, 1, 2, 1, 24)
    for i in range(24):
        t, y, x_, colour = np.unravel_index(i, (2, 2, 2, 3))
        np.testing.assert_array_equal(found[0, 0, :, 0, i], x[0, t, y::2, x_, colour])
    with pytest.raises(ValueError, match="not 3, 5; crop it"):
        s3d.fold(jnp.zeros((1, 3, 4, 5, 3)))


def test_a_gate_says_the_same_of_every_place():
    gate = s3d.Gate(4, rngs=nnx.Rngs(params=0), dtype=jnp.float32)
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 4))
    share = gate(x) / x
    np.testing.assert_allclose(share, np.broadcast_to(share[:, :1, :1, :1], x.shape), rtol=1e-4)
    assert share.min() > 0
    assert share.max() < 1
    still = jnp.repeat(x[:, :1], 3, axis=1)
    np.testing.assert_allclose(gate(still)[:, 0], gate(x[:, :1])[:, 0], rtol=1e-5)


def test_options_say_where_gates_and_windows_in_time_begin():
    cfg = s3d.S3DConfig(gated_from="mixed_4c", temporal_from=None, first_frames=1)
    made = nnx.eval_shape(lambda: s3d.S3D(cfg, rngs=nnx.Rngs(params=0)))
    assert made.conv_1a.conv.kernel.shape == (1, 7, 7, 3, 64)
    assert made.conv_2c.time_conv.kernel.shape == (1, 1, 1, 192, 192)
    assert made.mixed_4b.branch_0.gate is None
    assert made.mixed_4c.branch_0.gate is not None
    assert made.mixed_4c.before_1.gate is None
    assert s3d.S3DConfig(space_to_depth=True).entry == (24, (2, 4, 4), (1, 1, 1))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gated_from": "mixed_4z"}, "Did you mean"),
        ({"temporal_from": "pool_3a"}, "temporal_from 'pool_3a'"),
        ({"first_frames": 0}, "first_frames 0"),
    ],
)
def test_a_shape_that_cannot_be_is_named(changed, said):
    with pytest.raises(errors.ConfigError, match=said):
        s3d.S3DConfig(**changed)
