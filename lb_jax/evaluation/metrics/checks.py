"""What every metric asks of its arrays: whole matrices, and indices that fit them."""

import numpy as np

from lb_jax.core import errors


def finite(values: np.ndarray, name: str) -> np.ndarray:
    """Checks that a matrix has rows and columns and no NaN or infinity.

    Raises:
      DataError: it has not.
    """
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape:
        raise errors.DataError(
            name, f"shape {values.shape}, expected a matrix with at least one row and one column"
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        at = tuple(int(i) for i in bad[0])
        raise errors.DataError(
            name,
            f"{len(bad)} of {values.size} values are not finite, the first is "
            f"{values[at]} at {at}; check the model",
        )
    return values


def groups(values: np.ndarray, rows: int, count: int | None = None) -> np.ndarray:
    """Checks that each of `rows` rows has a group, and that no group from 0 on is empty.

    Args:
      values: int `[rows]`.
      rows: how many.
      count: of groups; None takes the largest.

    Raises:
      DataError: there is a row without, or a group without rows.
    """
    values = np.asarray(values)
    count = int(values.max(initial=0)) + 1 if count is None else count
    values = indices(values, rows, count, "group")
    without = np.setdiff1d(np.arange(count), values)
    if len(without):
        raise errors.DataError(
            "group",
            f"{len(without)} of {count} have no member, such as a text; the first is "
            f"{without[0]}; leave them out",
        )
    return values


def indices(values: np.ndarray, rows: int, columns: int, name: str) -> np.ndarray:
    """Checks that there is one integer from 0 to below `columns` for each of `rows` rows.

    Raises:
      DataError: there is not.
    """
    values = np.asarray(values)
    if values.shape != (rows,) or not np.issubdtype(values.dtype, np.integer):
        raise errors.DataError(
            name, f"{values.dtype} {values.shape}, expected one integer for each of {rows} rows"
        )
    if values.min() < 0 or values.max() >= columns:
        raise errors.DataError(
            name, f"values {values.min()} to {values.max()}, expected columns 0 to {columns - 1}"
        )
    return values
