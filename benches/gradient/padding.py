"""Ragged clusters as a few dense arrays, for peers that need them."""

from typing import NamedTuple

import numpy as np


class Bucket(NamedTuple):
    """Similar clusters: (clusters, rows, d), (clusters, rows), and a mask unless all are equally long."""

    x: np.ndarray
    y: np.ndarray
    mask: np.ndarray | None


def buckets(X: np.ndarray, y: np.ndarray, sizes: np.ndarray, factor: float = 1.5) -> list[Bucket]:
    """Rows sorted by cluster, in buckets: in each, none has over `factor` times the rows of another.

    On workload E JAX is 10 % faster with 1.5 than with 2, and 50 % slower to compile; below there is no gain.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    found, left = [], np.argsort(sizes, kind="stable")
    while len(left):
        taken = sizes[left] <= factor * sizes[left[0]]
        found.append(_pad(X, y, starts[left[taken]], sizes[left[taken]]))
        left = left[~taken]
    return found


def _pad(X: np.ndarray, y: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> Bucket:
    inside = np.arange(sizes.max()) < sizes[:, None]
    rows = np.where(inside, starts[:, None] + np.arange(sizes.max()), starts[:, None])
    return Bucket(X[rows], y[rows], None if inside.all() else inside.astype(X.dtype))
