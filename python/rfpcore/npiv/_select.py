"""Choosing λ and the checkpoint: the held-out stage-two error of h, regressed on the instruments."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import rbf_kernel

from .._arrays import Array

RIDGES = 10.0 ** np.arange(-7, 1)
"""Ridges that a kernel regression chooses from, times the number of rows."""

MOST_ROWS = 1500
"""Rows a kernel regression is fitted on: its cost grows with their cube."""


def bandwidth(points: Array) -> float:
    """Gamma = 1 / (2 s^2), with s the median distance between (at most 1000 of the) points."""
    some = points[:: max(1, len(points) // 1000)]
    squares = ((some[:, None] - some[None]) ** 2).sum(axis=2)[np.triu_indices(len(some), 1)]
    median = float(np.median(squares))
    return 1.0 / (2.0 * median) if median > 0 else 1.0


class KernelRegression:
    """Ridge regression with a Gaussian kernel of many targets on the same rows.

    The ridge of each target is the one with the smallest error on the rows held out, where the target is known
    too.
    """

    def __init__(self, z: Array, z_held: Array, weights: Array | None, random: np.random.RandomState) -> None:
        self._rows: NDArray[np.intp] = np.arange(len(z))
        if len(z) > MOST_ROWS:
            self._rows = np.sort(random.choice(len(z), MOST_ROWS, replace=False))
        fitted = z[self._rows]
        gamma = bandwidth(fitted)
        self._root = np.ones(len(fitted)) if weights is None else np.sqrt(weights[self._rows])
        kernel = rbf_kernel(fitted, gamma=gamma) * np.outer(self._root, self._root)
        self._values, self._vectors = np.linalg.eigh(kernel)
        self._held = (rbf_kernel(z_held, fitted, gamma=gamma) * self._root) @ self._vectors

    def predict(self, targets: Array, targets_held: Array) -> Array:
        """Regressions (C, held) of targets (C, n), whose ridges suit `targets_held` (C, held)."""
        centre = targets[:, self._rows].mean(axis=1, keepdims=True)
        parts = ((targets[:, self._rows] - centre) * self._root) @ self._vectors
        best = np.full(len(targets), np.inf)
        found = np.zeros_like(targets_held)
        for ridge in RIDGES * len(self._rows):
            values = centre + (parts / (np.maximum(self._values, 0) + ridge)) @ self._held.T
            errors = ((values - targets_held) ** 2).mean(axis=1)
            better = errors < best
            best[better], found[better] = errors[better], values[better]
        return found


def stage_two_errors(
    targets: Array,
    y: Array,
    z: Array,
    weights: Array | None,
    parts: list[NDArray[np.intp]],
    random: np.random.RandomState,
) -> Array:
    """Held-out mean of (y - E[h(x) | z])^2 for each candidate, (C,).

    targets (C, n) is h at the rows, y (n,), z (n, q); parts are the rows fitted on and those held out. Without
    the regression the error would be that of h itself, which the naive fit makes smallest.
    """
    fitted, held = parts
    of_fitted = None if weights is None else weights[fitted]
    regression = KernelRegression(z[fitted], z[held], of_fitted, random)
    values = regression.predict(targets[:, fitted], targets[:, held])
    of_held = None if weights is None else weights[held]
    return np.asarray(np.average((y[held] - values) ** 2, axis=1, weights=of_held))
