"""The part of h that an estimate has missed: a linear regression with instruments of its residuals."""

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.gaussian_process.kernels import Matern
from sklearn.kernel_approximation import Nystroem

from .._arrays import Array
from ._ridge import leave_one_out_ridge
from ._select import bandwidth

LANDMARKS = 100
"""Rows that span the kernels' features (Nyström): enough where the functions are smooth."""


def _matern(points: Array, count: int, random: np.random.RandomState) -> Nystroem:
    kernel = Matern(1 / np.sqrt(2 * bandwidth(points)), nu=2.5)
    return Nystroem(kernel, n_components=count, random_state=random).fit(points)


def _gaussian(points: Array, count: int, random: np.random.RandomState) -> Nystroem:
    return Nystroem(gamma=bandwidth(points), n_components=count, random_state=random).fit(points)


class _Features:
    """Those of a kernel on all columns, and of one on the columns that are no covariates alone."""

    def __init__(
        self,
        points: Array,
        n_covariates: int,
        fit: Callable[[Array, int, np.random.RandomState], Nystroem],
        random: np.random.RandomState,
    ) -> None:
        count = min(LANDMARKS, len(points))
        width = points.shape[1]
        widths = [width, width - n_covariates] if n_covariates else [width]
        self._parts = [(wide, fit(points[:, :wide], count, random)) for wide in widths]

    def __call__(self, points: Array) -> Array:
        return np.hstack([part.transform(points[:, :wide]) for wide, part in self._parts])


class Correction:
    """Kernel instrumental-variables regression of residuals y - h(X) on X, light on its penalty.

    Stage one is a ridge regression of the features of X on those of Z, at the ridge with the smallest
    leave-one-out error; stage two one of the residuals on what stage one predicts [1]_. X has a Matérn kernel
    of smoothness 5/2, which leaves more to find than the Gaussian one of Z; both have the median distance as
    length. That of X beside many covariates is long, and h of a kernel on all of them smooth in X: kernels of
    X alone and of Z alone, with lengths of their own, are added. Features, lengths, landmarks and the first
    ridge are those of the sample: another weighting of the rows, such as a bootstrap's, costs two small
    systems of equations.

    For an estimate h that is anything and a correction S (linear in the residuals, T the conditional mean
    given Z), h + S(y - h) has the bias (I - ST)(h - truth): that of h, without what S can see of it.

    Parameters
    ----------
    inputs : ndarray (n, d)
        Standardised X and covariates.
    instruments : ndarray (n, q)
        Standardised Z and covariates.
    weights : ndarray (n,)
        Of the sample's rows, 0 for those that are not to be used.
    penalty : float
        Of stage two, against the sum of squares: that of a Gaussian process prior with 1 / penalty times the
        variance of the residuals.
    random : RandomState
        Draws the landmarks.
    n_covariates : int
        Last columns of both that are covariates.

    References
    ----------
    .. [1] Singh, Sahani and Gretton (2019), "Kernel instrumental variable regression", NeurIPS, algorithm 1.
    """

    def __init__(
        self,
        inputs: Array,
        instruments: Array,
        weights: Array,
        penalty: float,
        random: np.random.RandomState,
        n_covariates: int = 0,
    ) -> None:
        used = weights > 0
        self._features = _Features(inputs[used], n_covariates, _matern, random)
        of_instruments = _Features(instruments[used], n_covariates, _gaussian, random)
        self._of_x = self._features(inputs)
        self._of_z = np.hstack([np.ones((len(inputs), 1)), of_instruments(instruments)])
        self._penalty = penalty
        self._scale = 1 / weights[used].mean()
        self._ridge = leave_one_out_ridge(self._of_z[used], self._of_x[used], self._scale * weights[used])

    def at(self, points: Array) -> Array:
        """Features of points (m, d), for `values`."""
        return self._features(points)

    def values(self, residuals: Array, weights: Array, features: Array) -> Array:
        """What to add to h at points.

        Parameters
        ----------
        residuals : ndarray (n,)
            y - h(X).
        weights : ndarray (n,)
            Of the rows: those of the sample times how often a bootstrap has drawn them.
        features : ndarray (m, p)
            Of the points.

        Returns
        -------
        correction : ndarray (m,)
        """
        share = self._scale * weights
        weighted = (self._of_z * share[:, None]).T
        gram = weighted @ self._of_z
        gram[np.diag_indices_from(gram)] += self._ridge
        predicted = self._of_z @ cho_solve(cho_factor(gram), weighted @ self._of_x)
        centre, mean = np.average(predicted, axis=0, weights=share), np.average(residuals, weights=share)
        predicted -= centre
        weighted = (predicted * share[:, None]).T
        gram = weighted @ predicted
        gram[np.diag_indices_from(gram)] += self._penalty
        try:
            factor = cho_factor(gram)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"penalty={self._penalty:g} is lost in rounding beside squares of {np.trace(gram):.3g}; "
                "a larger one is needed"
            ) from None
        coefficients = cho_solve(factor, weighted @ (residuals - mean))
        return np.asarray(mean + (features - centre) @ coefficients)
