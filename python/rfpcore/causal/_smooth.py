"""Ridge regressions on features of the covariates, under many counts of the clusters at once.

Straight lines and smooth surfaces are one model with different features: y = a + F b + a cluster's
own level + noise, with b, levels and noise normal of known variance. Sums over the rows of a cluster do not
depend on how often the cluster counts, so that the normal equations of all fits are one product.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._linear_fits import LARGEST

MOST_FEATURES = 150  # of a smooth surface; more move no prediction by more than the noise


class Prior(NamedTuple):
    """Variances next to a coefficient's 1: of a row's noise, and of what is common to a cluster's rows."""

    noise: float
    level: float = 0.0


def nothing(X: Array, n_clusters: int) -> Array:
    """No features: the mean."""
    return X[:, :0]


def lines(X: Array, n_clusters: int) -> Array:
    """The covariates as they are."""
    return X


def surface(X: Array, n_clusters: int, reach: float) -> Array:
    """Features whose products are exp(-|x - x'|^2 / (2 d reach^2)), nearly: a Gaussian process with few.

    The incomplete Cholesky factor with pivots: each feature is that of the row which the ones before
    describe worst (Fine and Scheinberg, 2001, "Efficient SVM training using low-rank kernel
    representations", Journal of Machine Learning Research 2).
    """
    n, d = X.shape
    most = min(MOST_FEATURES, n, LARGEST // n, int((LARGEST / n_clusters) ** 0.5))
    scale = 2 * d * reach**2
    factor, left = np.zeros((n, max(most, 1))), np.ones(n)
    for j in range(factor.shape[1]):
        pivot = int(left.argmax())
        if left[pivot] < 1e-6:
            return factor[:, :j]
        distance = ((X - X[pivot]) ** 2).sum(axis=1)
        column = np.exp(-distance / scale) - factor[:, :j] @ factor[pivot, :j]
        factor[:, j] = column / np.sqrt(left[pivot])
        left = np.maximum(left - factor[:, j] ** 2, 0.0)
    return factor


def ridge(
    features: Array,
    y: Array,
    weight: Array,
    codes: NDArray[np.intp],
    counts: NDArray[np.int64],
    prior: Prior,
) -> Array:
    """(S, N) predictions for the population under each row of counts (S, G).

    Parameters
    ----------
    features, y, weight, codes : ndarrays (N, q), (N,), (N,), (N,)
        All rows; y of order 1.
    counts : ndarray (S, G)
        How often each cluster counts; one that counts twice is two clusters.
    prior : Prior
    """
    design = np.column_stack([np.ones(len(features)), features])
    gram, right = _equations(design, y, weight, codes, counts.shape[1], prior)
    q = design.shape[1]
    penalty = np.diag(np.r_[0.0, np.ones(q - 1)])
    found = np.empty((len(counts), len(y)))
    size = max(1, LARGEST // (q * q))
    for start in range(0, len(counts), size):
        part = counts[start : start + size].astype(np.float64)
        left = (part @ gram).reshape(-1, q, q) + penalty
        beta = np.linalg.solve(left, (part @ right)[:, :, None])[:, :, 0]
        found[start : start + size] = beta @ design.T
    return found


def _equations(
    design: Array, y: Array, weight: Array, codes: NDArray[np.intp], n_clusters: int, prior: Prior
) -> tuple[Array, Array]:
    """Each cluster's normal equations, (G, q q) and (G, q), with its rows' covariance inverted.

    The covariance is noise / weight on the diagonal and `level` everywhere (Sherman and Morrison).
    """
    q = design.shape[1]
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(n_clusters + 1))
    gram, right = np.zeros((n_clusters, q, q)), np.zeros((n_clusters, q))
    for c in range(n_clusters):
        rows = order[starts[c] : starts[c + 1]]
        D, w = design[rows], weight[rows]
        weighted = w[:, None] * D
        total, target = weighted.sum(axis=0), float(w @ y[rows])
        share = prior.level / (prior.noise + prior.level * float(w.sum()))
        gram[c] = (weighted.T @ D - share * np.outer(total, total)) / prior.noise
        right[c] = (weighted.T @ y[rows] - share * total * target) / prior.noise
    return gram.reshape(n_clusters, -1), right
