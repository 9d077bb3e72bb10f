"""Ridge regressions: with what their gradients need, and judged by the rows left out, each in its turn."""

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.linear_model import RidgeCV

from .._arrays import Array

__all__ = ["RIDGES", "Ridge", "errors_left_out", "leave_one_out_ridge"]

RIDGES = 10.0 ** np.arange(-7, 2)
"""Ridges that a regression chooses from, times the number of rows."""


class Ridge(NamedTuple):
    """Ridge regression of targets on features, with what its gradient needs."""

    coefficients: Array
    """(features, targets)"""
    factor: Any
    residual: Array
    """targets − fitted, (n, targets)"""

    @classmethod
    def of(cls, features: Array, targets: Array, penalty: float) -> "Ridge":
        """Min |targets − features·B|² + penalty·|B|²."""
        gram = features.T @ features
        gram[np.diag_indices_from(gram)] += penalty
        try:
            factor = cho_factor(gram, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"a ridge of {penalty:g} is lost in rounding beside features of up to "
                f"{np.abs(features).max():.3g}; larger penalties are needed"
            ) from None
        coefficients = cho_solve(factor, features.T @ targets, check_finite=False)
        return cls(coefficients, factor, targets - features @ coefficients)

    def in_features(self) -> Array:
        """The loss's gradient in the features: by the envelope theorem, with the coefficients held fixed."""
        return -2 * self.residual @ self.coefficients.T

    def in_targets(self, features: Array, upstream: Array) -> Array:
        """What a gradient in the coefficients (features, targets) is in the targets they were fitted to."""
        return np.asarray(features @ cho_solve(self.factor, upstream, check_finite=False))


def leave_one_out_ridge(features: Array, targets: Array, weights: Array) -> float:
    """The ridge of the grid with the smallest error of all targets (n, t) on the rows left out."""
    model = RidgeCV(RIDGES * len(features), fit_intercept=False)
    return float(model.fit(features, targets, sample_weight=weights).alpha_)


def errors_left_out(residual: Array, basis: Array, shrinkage: Array) -> Array:
    """Squared errors on the rows left out: a row's residual over 1 minus its leverage.

    Parameters
    ----------
    residual : ndarray
        Of the fits on all rows.
    basis : ndarray (n, r)
        Orthogonal features of the rows.
    shrinkage : ndarray (r,) or (r, penalties)
        What each of them is multiplied by, squared, in the leverage: 1 / (eigenvalue + penalty) where they
        are the features in their eigenbasis.
    """
    return np.asarray((residual / (1 - basis**2 @ shrinkage)) ** 2)
