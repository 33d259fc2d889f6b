"""Whether embeddings use the space they have."""

import numpy as np


def effective_rank(rows: np.ndarray) -> float:
    """How many directions rows `[n, e]` use, from 1 to e.

    Exponential of the entropy of the shares of the singular values of the centred rows (Roy and
    Vetterli 2007).
    """
    values = np.linalg.svd(rows - rows.mean(0), compute_uv=False).astype(np.float64)
    if not values.sum():
        return 1.0  # all rows are equal
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def uniformity(rows: np.ndarray) -> float:
    """How evenly unit rows `[n, e]`, n at least 2, lie on the sphere: 0 where all are equal, to -4.

    Logarithm of the mean of exp(-2 |x - y|^2) over pairs (Wang and Isola 2020, arXiv 2005.10242,
    section 4.1.2).
    """
    rows = rows.astype(np.float64)
    pairs = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    return float(np.log(np.mean(np.exp(4 * (pairs - 1)))))  # |x - y|^2 = 2 - 2 x y


def modality_gap(a: np.ndarray, b: np.ndarray) -> float:
    """Distance between the mean embeddings of two modalities (arXiv 2203.02053), from 0 to 2."""
    return float(np.linalg.norm(a.mean(0) - b.mean(0)))
