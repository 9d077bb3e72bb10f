"""Least squares and ridge logistic regression under many counts of the clusters, as a few products.

A jackknife or bootstrap of a small linear model is thousands of fits of microseconds each; called one by one
they cost milliseconds. Sums over the rows of a cluster do not depend on how often the cluster counts, so that
the normal equations of all fits are one product of the counts with the clusters' own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LinearRegression

from .._arrays import Array
from .._scaling import basis_of, centred

LARGEST = 8_000_000  # numbers held at a time
CONDITION = 1e6  # of normal equations: above it their rounding, about 2e-16 times this, would be seen
MAX_STEPS = 100  # of Newton's method, which takes about 6; halved steps on flat ground take more
FLAT = 1e-12  # gradient of the mean loss at which Newton's method stops


def is_least_squares(model: Any) -> bool:
    """Whether a model is least squares with an intercept and nothing else."""
    return type(model) is LinearRegression and bool(model.fit_intercept) and not model.positive


def least_squares(
    X: Array, y: Array, weight: Array, codes: NDArray[np.intp], counts: NDArray[np.int64]
) -> tuple[Array, NDArray[np.bool_]]:
    """Predictions of least squares with an intercept under each row of counts, and which of them are good.

    Parameters
    ----------
    X, y, weight, codes : ndarrays (N, d), (N,), (N,), (N,)
        All rows.
    counts : ndarray (S, G)
        How often each cluster counts.

    Returns
    -------
    predictions : ndarray (S, N)
    solved : ndarray (S,) of bool
        False where columns are nearly or exactly dependent in the clusters that count, but not in all:
        normal equations are no way to solve these. All False where there is no room for the clusters'
        equations.
    """
    design = np.sqrt(len(X)) * basis_of(X).vectors  # of order 1; only counts make them dependent
    q, (n_fits, n_clusters) = design.shape[1], counts.shape
    predictions, solved = np.empty((n_fits, len(X))), np.zeros(n_fits, bool)
    if max(len(X), n_clusters) * q * (q + 1) > LARGEST:
        return predictions, solved
    rest, exponent, mean = centred(y)
    moments = np.column_stack([design, rest])
    equations = np.zeros((n_clusters, q, q + 1))
    np.add.at(equations, codes, (weight[:, None] * design)[:, :, None] * moments[:, None, :])
    for part in _pieces(n_fits, q * (q + 1)):
        sums = (counts[part] @ equations.reshape(n_clusters, -1)).reshape(-1, q, q + 1)
        gram, right = sums[:, :, :-1], sums[:, :, -1:]
        eigenvalues = np.linalg.eigvalsh(gram)
        good = eigenvalues[:, 0] * CONDITION > eigenvalues[:, -1]
        beta = np.linalg.solve(gram[good], right[good])[:, :, 0]
        predictions[part][good] = np.ldexp(mean + beta @ design.T, exponent)
        solved[part] = good
    return predictions, solved


def ridge_logistic(Z: Array, treated: NDArray[np.int64], counts: NDArray[np.int64]) -> Array:
    """Probabilities of treatment by logistic regression under each row of counts.

    Minimizes sum_c counts_c log-loss_c + |beta|^2 / 2 with a free intercept, scikit-learn's
    `LogisticRegression(C=1)`, by Newton's method to rounding error. Each fit has to see both arms.

    Parameters
    ----------
    Z : ndarray (G, q)
        Covariates of the clusters, of order 1.
    treated : ndarray (G,) of 0 and 1
    counts : ndarray (S, G)
        How much each cluster, or whatever a row of Z is, counts.

    Returns
    -------
    p : ndarray (S, G)
    """
    design = np.column_stack([np.ones(len(Z)), Z])
    probability = np.empty(counts.shape)
    for part in _pieces(len(counts), design.shape[1] ** 2):
        beta = logistic_coefficients(design, treated, counts[part].astype(np.float64))
        probability[part] = expit(beta @ design.T)
    return probability


def logistic_coefficients(design: Array, treated: NDArray[np.int64], weight: Array) -> Array:
    """(S, q) coefficients; every step that does not lower its own objective is halved."""
    q = design.shape[1]
    blocks = _pieces(len(design), q * q)
    kept = _outer(design) if len(blocks) == 1 else None
    penalty = np.r_[0.0, np.ones(q - 1)]
    total = weight.sum(axis=1)
    share = weight @ treated / total
    beta = np.zeros((len(weight), q))
    beta[:, 0] = np.log(share / (1 - share))
    value = _logistic_objective(design, treated, weight, beta)
    size = np.ones(len(weight))
    for _ in range(MAX_STEPS):
        p = expit(beta @ design.T)
        gradient = (weight * (p - treated)) @ design + penalty * beta
        if (np.abs(gradient).max(axis=1) <= FLAT * total).all():
            break
        curved = weight * p * (1 - p)
        if kept is None:
            sums = np.sum([curved[:, rows] @ _outer(design[rows]) for rows in blocks], axis=0)
        else:
            sums = curved @ kept
        hessian = sums.reshape(-1, q, q) + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        moved = beta - size[:, None] * step
        found = _logistic_objective(design, treated, weight, moved)
        lower = found <= value + 1e-14 * np.abs(value)  # at the minimum, rounding decides which is lower
        beta, value = np.where(lower[:, None], moved, beta), np.where(lower, found, value)
        size = np.where(lower, 1.0, size / 2)
    return beta


def _outer(design: Array) -> Array:
    """(N, q * q) the products of each row's entries."""
    return (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)


def _logistic_objective(design: Array, treated: NDArray[np.int64], weight: Array, beta: Array) -> Array:
    index = beta @ design.T
    loss = np.logaddexp(0.0, index) - treated * index
    return np.asarray((weight * loss).sum(axis=1) + 0.5 * (beta[:, 1:] ** 2).sum(axis=1))


def _pieces(n: int, each: int) -> list[slice]:
    """Ranges of fits, so many at a time as keep `each` numbers for all of them within bounds."""
    size = max(1, LARGEST // each)
    return [slice(start, start + size) for start in range(0, n, size)]
