"""What metrics ask of their arrays."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import checks


def test_what_fits_comes_back():
    rows = np.eye(3)
    assert checks.finite(rows, "rows") is rows
    np.testing.assert_array_equal(checks.indices([0, 2], 2, 3, "truth"), [0, 2])
    np.testing.assert_array_equal(checks.groups(np.array([1, 0, 1]), 3), [1, 0, 1])


@pytest.mark.parametrize("count", [None, 4])
def test_a_group_without_rows_is_named(count):
    with pytest.raises(errors.DataError, match="have no member, such as a text; the first is 1"):
        checks.groups(np.array([0, 2]), 2, count)


@pytest.mark.parametrize("values", [[0, 3], [-1, 0], [0], [0.0, 1.0]])
def test_indices_that_do_not_fit_are_refused(values):
    with pytest.raises(errors.DataError, match="truth"):
        checks.indices(np.array(values), 2, 3, "truth")
