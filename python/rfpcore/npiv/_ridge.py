"""Ridge regressions judged by the rows left out, each in its turn."""

import numpy as np
from sklearn.linear_model import RidgeCV

from .._arrays import Array

__all__ = ["RIDGES", "errors_left_out", "leave_one_out_ridge"]

RIDGES = 10.0 ** np.arange(-7, 2)
"""Ridges that a regression chooses from, times the number of rows."""


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
