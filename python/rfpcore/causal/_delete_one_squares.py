"""Least squares without each cluster, from one decomposition and the clusters' own sums."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._replicates import PIECE, pieces

# Singular values relative to the largest: scikit-learn drops those below 1e-6, with and without a cluster.
DEPENDENT, INDEPENDENT = 1e-9, 1e-5
LEAST_LEFT = 1e-2  # share of every direction's square that the other clusters have: values shrink by its root


class Coefficients(NamedTuple):
    """Intercept and slopes (1 + G, 1 + d): of all clusters, then without each; and which of them are good."""

    table: Array
    solved: NDArray[np.bool_]


def least_squares_without_each(
    X: Array, y: Array, weight: Array, codes: NDArray[np.intp], n_clusters: int
) -> Coefficients | None:
    """Weighted least squares with an intercept from all rows, and without those of each cluster.

    With Q an orthonormal basis of the weighted columns and e the residuals, leaving out the rows c moves the
    coefficients of Q by -(I - Q_c'Q_c)^-1 Q_c'e_c (Belsley, Kuh and Welsch, 1980, "Regression diagnostics",
    section 2.1). Dependent columns have the coefficients of least norm, as scikit-learn's.

    Parameters
    ----------
    X, y, weight, codes : ndarrays (N, d), (N,), (N,), (N,)
    n_clusters : int
        G; clusters without rows leave the coefficients as they are.

    Returns
    -------
    Coefficients or None
        None where columns are so nearly dependent that only a solver of the whole can tell. A row is not
        solved where the others cannot do without the cluster.
    """
    root = np.sqrt(weight)
    total = weight.sum()
    centre, level = weight @ X / total, float(weight @ y / total)
    triangle = np.zeros((0, X.shape[1]))
    for rows in pieces(len(X), X.shape[1]):
        weighted = root[rows, None] * (X[rows] - centre)
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, weighted]), mode="r"))
    _, values, vectors = np.linalg.svd(triangle, full_matrices=False)
    relative = values / (values.max(initial=0.0) or 1.0)
    if ((relative > DEPENDENT) & (relative < INDEPENDENT)).any():
        return None
    kept = relative >= INDEPENDENT
    to_slopes = vectors[kept].T / values[kept]
    columns = _Columns(X, centre, root, to_slopes, float(np.sqrt(total)))
    beta = np.zeros(1 + int(kept.sum()))
    for rows in pieces(len(X), 1 + X.shape[1]):
        beta += columns.at(rows).T @ (root[rows] * (y[rows] - level))
    moved, solved = _moves(columns, y - level, beta, codes, n_clusters)
    found = beta + np.vstack([np.zeros(len(beta)), moved])
    slopes = found[:, 1:] @ to_slopes.T
    intercepts = level + found[:, 0] / columns.size - slopes @ centre
    return Coefficients(np.column_stack([intercepts, slopes]), solved)


class _Columns(NamedTuple):
    """The orthonormal columns of the weighted design, the constant first."""

    X: Array
    centre: Array
    root: Array
    to_slopes: Array
    size: float

    def at(self, rows: slice | NDArray[np.intp]) -> Array:
        root = self.root[rows, None]
        return np.hstack([root / self.size, root * ((self.X[rows] - self.centre) @ self.to_slopes)])


def _moves(
    columns: _Columns, y: Array, beta: Array, codes: NDArray[np.intp], n_clusters: int
) -> tuple[Array, NDArray[np.bool_]]:
    """(G, r) what leaving out each cluster does to the coefficients, (1 + G,) whether it can be told."""
    n = len(beta)
    moved, solved = np.zeros((n_clusters, n)), np.ones(1 + n_clusters, bool)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=n_clusters)
    for rows in _whole_clusters(sizes, n * n):
        own, inverse = np.unique(codes[order[rows]], return_inverse=True)
        gram, score = np.zeros((len(own), n, n)), np.zeros((len(own), n))
        for part in pieces(rows.stop - rows.start, n * n):
            index = order[rows][part]
            q, to = columns.at(index), inverse[part]
            residual = columns.root[index] * y[index] - q @ beta
            starts = np.flatnonzero(np.r_[True, np.diff(to) > 0])
            gram[to[starts]] += np.add.reduceat(q[:, :, None] * q[:, None, :], starts)
            score[to[starts]] += np.add.reduceat(q * residual[:, None], starts)
        left = np.eye(n) - gram
        good = np.linalg.eigvalsh(left)[:, 0] > LEAST_LEFT
        moved[own[good]] = -np.linalg.solve(left[good], score[good][:, :, None])[:, :, 0]
        solved[1 + own[~good]] = False
    return moved, solved


def _whole_clusters(sizes: NDArray[np.intp], each: int) -> Iterator[slice]:
    """Ranges of sorted rows, of whole clusters, with about a piece of clusters and rows of `each` numbers."""
    ends = np.cumsum(sizes)
    for clusters in pieces(len(sizes), each):
        start = clusters.start
        while start < clusters.stop:
            before = ends[start] - sizes[start]
            stop = int(np.searchsorted(ends, before + max(1, PIECE // each), "right"))
            stop = min(max(stop, start + 1), clusters.stop)
            if ends[stop - 1] > before:
                yield slice(int(before), int(ends[stop - 1]))
            start = stop
