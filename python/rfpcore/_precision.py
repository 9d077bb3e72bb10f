"""A symmetric matrix for each cluster, as the kernel takes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import Array, as_floats, require_finite

__all__ = ["flat_matrices"]


def flat_matrices(precision: Any, sizes: NDArray[np.int64], labels: Array) -> NDArray[np.float64]:
    """All clusters' matrices, one after the other, each with its halves averaged.

    Parameters
    ----------
    precision : sequence of array (n_c, n_c)
        In the order of `labels`.
    sizes : (C,)
        Rows of each cluster.

    Raises
    ------
    TypeError, ValueError
        With the cluster at fault, and what is needed.
    """
    is_sequence = isinstance(precision, Sequence) or (
        isinstance(precision, np.ndarray) and precision.ndim > 0
    )
    if not is_sequence or isinstance(precision, str):
        raise TypeError(
            f"precision is a {type(precision).__name__}; a sequence of matrices (n_c, n_c), one a cluster, "
            "is needed"
        )
    if len(precision) != len(sizes):
        raise ValueError(f"precision has {len(precision)} matrices; there are {len(sizes)} clusters")
    flat = np.empty(int((sizes**2).sum()))
    end = 0
    for matrix, size, label in zip(precision, sizes.tolist(), labels, strict=True):
        name = f"the precision of cluster {label!s}"
        array = as_floats(matrix, name)
        if array.shape != (size, size):
            raise ValueError(
                f"{name} has shape {array.shape}; the cluster has {size} rows, so {(size, size)} is needed"
            )
        require_finite(array, name)
        _require_symmetric(array, name)
        start, end = end, end + size * size
        flat[start:end] = (array / 2 + array.T / 2).ravel()
    return flat


def _require_symmetric(matrix: Array, name: str) -> None:
    """Up to half the digits: inverses are rounded."""
    allowed = np.sqrt(np.finfo(matrix.dtype).eps) * np.abs(matrix).max()
    with np.errstate(over="ignore"):
        gap = np.abs(matrix - matrix.T)
    if gap.max() > allowed:
        i, j = (int(k) for k in np.unravel_index(np.argmax(gap), gap.shape))
        raise ValueError(
            f"{name} must be symmetric, but element ({i}, {j}) is {matrix[i, j]} and ({j}, {i}) is "
            f"{matrix[j, i]}"
        )
