"""Choosing λ and the checkpoint: the held-out stage-two error of h, regressed on the instruments."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel

from .._arrays import Array
from ._background import interruptible
from ._ridge import RIDGES, errors_left_out

MOST_ROWS = 1500
"""Rows a kernel regression is fitted on: its cost grows with their cube."""


def bandwidth(points: Array) -> float:
    """Gamma = 1 / (2 s^2), with s the median distance between (at most 1000 of the) points."""
    if len(points) < 2:
        return 1.0
    some = points[:: max(1, len(points) // 1000)]
    squares = pdist(some, "sqeuclidean")
    median = float(np.median(squares))
    return 1.0 / (2.0 * median) if median > 0 else 1.0


def largest_as_good(errors: Array) -> int:
    """The last candidate whose mean error is within one standard error of the smallest.

    Errors are (n, candidates). The standard error is that of the difference to the best, row by row.
    """
    mean = errors.mean(axis=0)
    excess = errors - errors[:, [mean.argmin()]]
    tolerance = excess.std(axis=0) / np.sqrt(len(errors))
    return int(np.flatnonzero(excess.mean(axis=0) <= tolerance)[-1])


class KernelRegression:
    """Ridge regression with a Gaussian kernel of many targets on the same rows.

    The ridge of each target is the one with the smallest leave-one-out error.
    """

    def __init__(self, z: Array, z_held: Array, weights: Array | None, random: np.random.RandomState) -> None:
        self._rows: NDArray[np.intp] = np.arange(len(z))
        if len(z) > MOST_ROWS:
            self._rows = np.sort(random.choice(len(z), MOST_ROWS, replace=False))
        fitted = z[self._rows]
        gamma = bandwidth(fitted)
        self._root = np.ones(len(fitted)) if weights is None else np.sqrt(weights[self._rows])
        kernel = rbf_kernel(fitted, gamma=gamma) * np.outer(self._root, self._root)
        values, self._vectors = interruptible(np.linalg.eigh, kernel)
        self._values = np.maximum(values, 0)
        self._held = (rbf_kernel(z_held, fitted, gamma=gamma) * self._root) @ self._vectors

    def predict(self, targets: Array) -> Array:
        """Regressions (C, held) of targets (C, n)."""
        centre = targets[:, self._rows].mean(axis=1, keepdims=True)
        known = (targets[:, self._rows] - centre) * self._root
        parts = known @ self._vectors
        best = np.full(len(targets), np.inf)
        found = np.empty((len(targets), len(self._held)))
        for ridge in RIDGES * len(self._rows):
            kept = self._values / (self._values + ridge)
            residual = known - (parts * kept) @ self._vectors.T
            errors = errors_left_out(residual, self._vectors, kept).mean(axis=1)
            better = errors < best
            best[better] = errors[better]
            found[better] = centre[better] + (parts[better] / (self._values + ridge)) @ self._held.T
        return found


class HeldOut:
    """A split of the rows, and the regression on their instruments that judges a structural function."""

    def __init__(
        self,
        z: Array,
        weights: Array | None,
        parts: list[NDArray[np.intp]],
        random: np.random.RandomState,
    ) -> None:
        self.fitted, self.held = parts
        of_fitted = None if weights is None else weights[self.fitted]
        self._of_held = None if weights is None else weights[self.held]
        self._regression = KernelRegression(z[self.fitted], z[self.held], of_fitted, random)

    def regress(self, targets: Array) -> Array:
        """E[target | z] on the held-out rows, (C, held), of targets (C, n)."""
        return self._regression.predict(targets[:, self.fitted])

    def errors(self, targets: Array, y: Array) -> Array:
        """Stage two: the held-out mean of (y - E[target | z])^2 for each of targets (C, n), (C,).

        Without the regression the error would be that of h itself, which the naive fit makes smallest.
        """
        return np.asarray(self.squares(targets, y).mean(axis=1))

    def squares(self, targets: Array, y: Array) -> Array:
        """What `errors` is the mean of, (C, held)."""
        squares = (y[self.held] - self.regress(targets)) ** 2
        if self._of_held is None:
            return np.asarray(squares)
        return np.asarray(squares * (self._of_held / self._of_held.mean()))
