"""Features, coefficients and times of gradient descent on linear regression, checked and decomposed."""

from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array, as_floats, matrix
from ._checks import MAX_ENERGY, energy_of, finite_vector, times


class Design(NamedTuple):
    """Checked arguments; X by singular values (r,) and vectors (n, r), (r, d), without its null space."""

    X: Array
    beta: Array
    times: Array
    scales: Array
    noise: float
    singular: Array
    left_vectors: Array
    vectors: Array

    @classmethod
    def of(cls, X: Any, coefficients: Any, when: Any, scales: Any, noise: Any) -> "Design":
        """Errors in the user's words, then the decomposition."""
        rows = matrix(X).astype(np.float64, copy=False)
        if np.abs(rows).max() > MAX_ENERGY:
            raise ValueError(f"X is up to {np.abs(rows).max():.3g}; at most {MAX_ENERGY:g} is possible")
        beta = finite_vector(coefficients, "coefficients")
        if len(beta) != rows.shape[1]:
            raise ValueError(f"coefficients has {len(beta)} numbers; X has {rows.shape[1]} features")
        sizes = as_scales(scales, rows.shape[1])
        variance = energy_of(noise, "noise")
        at = times(when)
        left, singular, vectors = np.linalg.svd(rows, full_matrices=False)
        kept = singular > max(rows.shape) * np.finfo(float).eps * singular[0]
        return cls(rows, beta, at, sizes, variance, singular[kept], left[:, kept], vectors[kept])

    def learnt(self, rate: float | None) -> Array:
        """1 − (1 − ημ)^t along each singular vector at each time, (T, r), exact also where it is tiny."""
        values, when = np.square(self.singular) / len(self.X), self.times[:, None]
        with np.errstate(over="ignore", under="ignore"):
            if rate is None:
                return np.asarray(-np.expm1(-when * values))
            if not rate * values[0] < 2:
                raise ValueError(f"learning_rate={rate:g} diverges on X; below {2 / values[0]:g} is needed")
            if (when != np.floor(when)).any():
                first = when[when != np.floor(when)][0]
                raise ValueError(f"times holds {first:g}; with a learning rate whole steps are needed")
            small = np.minimum(rate * values, 0.5)
            slow = -np.expm1(when * np.log1p(-small))
            return np.where(rate * values <= 0.5, slow, 1 - (1 - rate * values) ** when)

    def risks(self, learnt: Array, noise: Array) -> Array:
        """Excess risks (T,) with noise (n,) of its own in the rows."""
        found = self.vectors @ self.beta + self.left_vectors.T @ noise / self.singular
        error = self.beta - learnt * found @ self.vectors
        return np.asarray(np.square(error * self.scales).sum(axis=1))


def as_scales(scales: Any, d: int) -> Array:
    """Standard deviations (d,), none negative."""
    array = as_floats(scales, "scales").astype(np.float64, copy=False)
    array = finite_vector(np.full(d, array) if array.ndim == 0 else array, "scales")
    if array.shape != (d,) or array.min() < 0:
        raise ValueError(
            f"scales has shape {array.shape} and is {array.min():g} at its lowest; "
            f"a number or ({d},), at least 0, is needed"
        )
    return array
