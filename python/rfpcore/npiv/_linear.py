"""The linear part of a structural function: two-stage least squares, as far as the instruments carry it."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular

from .._arrays import Array
from ._data import InstrumentedRows
from ._strength import TINY, orthonormal, residual

HALF = 5.0
"""The first-stage F at which half of the linear part is taken: weight F⁴ / (F⁴ + HALF⁴)."""


HIDDEN = 0.5
"""The share of what instruments and covariates say of X, below which the covariates say the most of it."""


class Linear(NamedTuple):
    """An affine function of inputs."""

    intercept: float
    slopes: Array
    """(d + c,)"""

    def __call__(self, inputs: Array) -> Array:
        return np.asarray(self.intercept + inputs @ self.slopes)

    def times(self, factor: float) -> "Linear":
        """The function times a number."""
        return Linear(factor * self.intercept, factor * self.slopes)

    def __add__(self, other: "Linear") -> "Linear":  # type: ignore[override]
        return Linear(self.intercept + other.intercept, self.slopes + other.slopes)

    @classmethod
    def nothing(cls, n_inputs: int) -> "Linear":
        """0 everywhere."""
        return cls(0.0, np.zeros(n_inputs))


class LinearStage:
    """Two-stage least squares of any outcomes on standardised rows.

    A flexible estimate of h jointly in X and covariates is penalised, and where the instruments move X little
    beside the covariates the penalty takes all of the slope in X: the data hardly object. This part is not
    penalised. It is taken whole in directions of X that the instruments move strongly, with the weight
    F⁴ / (F⁴ + 5⁴) in one where the first-stage F is F, and not at all where they say nothing: there two-stage
    least squares has no moments.

    Parameters
    ----------
    rows : InstrumentedRows
        Standardised.
    weights : ndarray (n,)
        Of the rows, such as how often a bootstrap has drawn them; 0 leaves one out.
    """

    def __init__(self, rows: InstrumentedRows, weights: Array) -> None:
        d = rows.n_endogenous
        self._root = np.sqrt(weights)
        root = self._root[:, None]
        self._x, self._inputs = rows.inputs[:, :d], rows.inputs
        self._controls = np.hstack([np.ones((rows.n, 1)), rows.inputs[:, d:]])
        self._base = orthonormal(root * self._controls)
        scale = float(np.sqrt(weights.sum()))
        x = residual(self._base, root * self._x)
        z = orthonormal(residual(self._base, root * rows.instruments[:, : rows.n_instruments]), scale)
        self._map = _shrunken(x, z, int((weights > 0).sum()) - self._base.shape[1] - z.shape[1])

    def fit(self, y: Array) -> Linear:
        """The function for outcomes (n,)."""
        d = self._x.shape[1]
        slopes = np.zeros(self._inputs.shape[1])
        known = residual(self._base, (self._root * y)[:, None])[:, 0]
        slopes[:d] = self._map @ known
        left = self._root * (y - self._x @ slopes[:d])
        root = self._root[:, None]
        of_controls = np.linalg.lstsq(root * self._controls, left, rcond=TINY)[0]
        slopes[d:] = of_controls[1:]
        return Linear(float(of_controls[0]), slopes)


def is_needed(rows: InstrumentedRows, f: Array) -> bool:
    """Whether covariates hide from a penalised estimate what the instruments do, or h is linear anyway.

    What a second stage sees of X is E[X | Z, W]. Where covariates explain more than half of it, a penalty on
    h jointly in X and W gives to W what belongs to X: a matter of collinearity, whatever y is. Where the
    instruments explain most of it h is found without a linear part, and curvature better so. A first stage
    with an F, f (d,), below that at which half of the part would be taken does not count.

    And where h is linear anyway, or nothing but a line is identified: a single X of two values, or
    instruments of no more than d + 1 values, which tell the constant and d slopes.
    """
    d = rows.n_endogenous
    n_values = len(np.unique(rows.instruments[:, : rows.n_instruments], axis=0))
    if n_values <= d + 1 or (d == 1 and len(np.unique(rows.inputs[:, 0])) == 2):
        return True
    root = np.sqrt(np.ones((rows.n, 1)) if rows.weights is None else rows.weights[:, None])
    x, instruments = rows.inputs[:, :d], rows.instruments
    constant = orthonormal(root)
    centred = residual(constant, root * x)
    by_all = _explained(centred, residual(constant, root * instruments))
    by_controls = _explained(centred, residual(constant, root * instruments[:, rows.n_instruments :]))
    return bool(((by_all - by_controls < HIDDEN * by_all) & (f >= HALF)).any())


def _explained(columns: Array, others: Array) -> Array:
    """Sums of squares of columns (d,) that others explain."""
    return np.asarray(((orthonormal(others).T @ columns) ** 2).sum(axis=0))


def _shrunken(x: Array, z: Array, free: int) -> Array:
    """What maps outcomes to slopes (d, n), from residuals x and orthonormal residuals z of instruments."""
    d, q = x.shape[1], z.shape[1]
    if q == 0 or free < 1:
        return np.zeros((d, len(x)))
    moved = z.T @ x
    noise = (x.T @ x - moved.T @ moved) / free
    # Where X is among the instruments nothing is noise: the floor keeps the root regular.
    floor = 1e-10 * np.maximum(np.diag(x.T @ x) / max(len(x), 1), 1e-10)
    lower = cholesky(noise + np.diag(floor), lower=True)
    white = solve_triangular(lower, moved.T, lower=True)
    sizes, directions = eigh(white @ white.T)
    f = np.maximum(sizes, 0) / q
    kept = f**4 / (f**4 + HALF**4)
    inverse = np.where(f > 1e-6, kept / np.maximum(sizes, 1e-12), 0.0)
    whole = (directions * inverse) @ directions.T @ white @ z.T
    return np.asarray(solve_triangular(lower.T, whole))
