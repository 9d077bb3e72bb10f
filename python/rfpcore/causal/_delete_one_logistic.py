"""Ridge logistic regression without each cluster, and sums over clusters that its odds weigh.

Each of G fits gives every one of G clusters other odds: G x G numbers. But leaving one cluster out moves the
coefficients by about 1 / G, and the odds exp(index + move) are exp(index) times a short series in the move.
Where moves are too large for that, sums are taken number by number, some fits at a time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import expit

from .._arrays import Array
from ._linear_fits import logistic_coefficients
from ._replicates import pieces
from ._series import Monomials, make_monomials, moments, n_monomials, series

SMALL = 1e-13  # relative error of a series, and the move of an index at which Newton's method stops
MAX_STEPS = 40
HIGHEST = 8  # degree of a series
BY_NUMBER = 40  # what an odds costs, in products

Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Full:
    """All clusters' fit, in coordinates in which its penalized Hessian is the identity.

    Attributes
    ----------
    points : ndarray (G, q)
        Intercept and covariates.
    length : ndarray (G,)
        Of the points: an index moves by no more than this times the length of a move.
    treated, log_odds, p : ndarrays (G,)
        The arm, and what is fitted.
    penalty : ndarray (q, q)
    gradient : ndarray (q,)
        What rounding has left of it.
    """

    points: Array
    length: Array
    treated: NDArray[np.int64]
    log_odds: Array
    p: Array
    penalty: Array
    gradient: Array


@dataclass(frozen=True, eq=False)
class LogisticWithoutEach:
    """What `logistic_without_each` returns.

    Attributes
    ----------
    solved : ndarray (G,) of bool
        False where the fit without the cluster was not found.
    full : _Full
    moves : ndarray (G, q)
        Of the coefficients.
    far : ndarray (G,) of bool
        Clusters whose odds are taken by number, as their series would be long.
    serial : ndarray (G,) of bool
        Fits under which the other clusters' odds are series.
    monomials : Monomials
    bounds : (low, high)
        Of the odds.
    """

    solved: NDArray[np.bool_]
    full: _Full
    moves: Array
    far: NDArray[np.bool_]
    serial: NDArray[np.bool_]
    monomials: Monomials
    bounds: tuple[float, float]

    def sums(self, power: int, values: Array) -> Array:
        """(1 + G, M) sums of odds^power * values over all clusters, then over all but each.

        Parameters
        ----------
        power : {1, -1}
        values : ndarray (G, M)
        """
        full, some = self.full, np.asarray(values.any(axis=1))
        found = np.zeros((1 + len(values), values.shape[1]))
        found[0] = self._odds(full.log_odds, power) @ values
        by_series, by_number = np.flatnonzero(self.serial), np.flatnonzero(self.solved & ~self.serial)
        found[1 + by_number] = self._by_number(by_number, np.flatnonzero(some), power, values)
        if len(by_series):
            found[1 + by_series] = self._by_series(by_series, some, power, values)
        own = full.log_odds + np.sum(full.points * self.moves, axis=1)
        found[1:] -= self._odds(own, power)[:, None] * values
        return found

    def _odds(self, index: Array, power: int) -> Array:
        """Clipped odds to this power."""
        low, high = (math.log(bound) for bound in self.bounds)
        return np.asarray(np.exp(power * np.clip(index, low, high)))

    def _by_number(self, fits: Index, clusters: Index, power: int, values: Array) -> Array:
        found = np.zeros((len(fits), values.shape[1]))
        points, index = self.full.points[clusters], self.full.log_odds[clusters]
        for part in pieces(len(fits), len(clusters)):
            odds = self._odds(index + self.moves[fits[part]] @ points.T, power)
            found[part] = odds @ values[clusters]
        return found

    def _by_series(self, fits: Index, some: NDArray[np.bool_], power: int, values: Array) -> Array:
        """Clipped clusters have the same odds under all fits; those that some fits clip go by number."""
        full = self.full
        reach = full.length * np.linalg.norm(self.moves[fits], axis=1).max()
        low, high = (math.log(bound) for bound in self.bounds)
        at_a_bound = np.minimum(abs(full.log_odds - low), abs(full.log_odds - high)) <= reach
        inside = (full.log_odds > low) & (full.log_odds < high)
        odd, series_of = self.far | at_a_bound, ~(self.far | at_a_bound)
        found = self._by_number(fits, np.flatnonzero(some & odd), power, values)
        fixed = some & series_of & ~inside
        found += self._odds(full.log_odds[fixed], power) @ values[fixed]
        chosen = np.flatnonzero(some & series_of & inside)
        weighed = self._odds(full.log_odds[chosen], power)[:, None] * values[chosen]
        found += series(
            self.monomials,
            moments(self.monomials, full.points[chosen], lambda _, part: weighed[part], weighed.shape[1]),
            power * self.moves[fits],
        )
        return found


def logistic_without_each(
    Z: Array, treated: NDArray[np.int64], clip: tuple[float, float]
) -> LogisticWithoutEach:
    """Ridge logistic regressions of the treatment, those of `ridge_logistic`, without each of G clusters.

    Parameters
    ----------
    Z : ndarray (G, q)
        Covariates of the clusters, of order 1.
    treated : ndarray (G,) of 0 and 1
    clip : (low, high)
        Bounds of the probability.
    """
    full = _fit(Z, treated)
    n, q = full.points.shape
    solved = np.bincount(treated, minlength=2)[treated] > 1
    first = _step(full, slice(None), (full.p - treated)[:, None] * full.points)
    # Points far out would make all series long. There are few.
    far = full.length > np.partition(full.length, n - 1 - math.isqrt(n))[n - 1 - math.isqrt(n)]
    reach = 1.5 * np.linalg.norm(first, axis=1) * full.length[~far].max()
    degree = _degree(reach, q)
    serial = solved & (_error(reach, degree) <= SMALL)
    monomials = make_monomials(q, degree if serial.any() else 0)
    moves = np.zeros((n, q))
    for chosen, change in (
        (serial, _change_by_series(full, monomials, far)),
        (solved & ~serial, _change_by_number(full, np.arange(n))),
    ):
        fits = np.flatnonzero(chosen)
        moves[fits], solved[fits] = _newton(full, fits, first[fits], change)
    serial &= solved & (full.length[~far].max() * np.linalg.norm(moves, axis=1) <= reach)
    return LogisticWithoutEach(
        solved, full, moves, far, serial, monomials, (clip[0] / (1 - clip[0]), clip[1] / (1 - clip[1]))
    )


def _fit(Z: Array, treated: NDArray[np.int64]) -> _Full:
    design = np.column_stack([np.ones(len(Z)), Z])
    beta = logistic_coefficients(design, treated, np.ones((1, len(Z))))[0]
    index = design @ beta
    p = expit(index)
    penalty = np.diag(np.r_[0.0, np.ones(Z.shape[1])])
    hessian = (design * (p * (1 - p))[:, None]).T @ design + penalty
    root = np.linalg.cholesky(hessian)

    def turned(columns: Array) -> Array:
        return np.asarray(solve_triangular(root, columns, lower=True))

    step = turned(design.T @ (p - treated) + penalty @ beta)
    points, turned_penalty = turned(design.T).T, turned(turned(penalty).T)
    # One more step, and what it leaves: the fit stops at gradients far above rounding.
    index = index - points @ step
    beta = beta - solve_triangular(root.T, step)
    p = expit(index)
    gradient = turned(design.T @ (p - treated) + penalty @ beta)
    return _Full(points, np.linalg.norm(points, axis=1), treated, index, p, turned_penalty, gradient)


def _step(full: _Full, fits: Index | slice, gradient: Array) -> Array:
    """The Newton step for a gradient (n, q), with the Hessian of all clusters less the one left out."""
    points, p = full.points[fits], full.p[fits]
    curvature = p * (1 - p)
    left = 1 - curvature * np.sum(points**2, axis=1)
    along = curvature * np.sum(points * gradient, axis=1) / left
    return np.asarray(gradient + along[:, None] * points)


def _newton(
    full: _Full, fits: Index, start: Array, change: Callable[[Array], Array]
) -> tuple[Array, NDArray[np.bool_]]:
    """(n, q) the moves of some fits, (n,) whether Newton's method has settled.

    `change` gives what a move adds to the sum over all clusters of (p - treated) * points.
    """
    moves, settled = start.copy(), np.zeros(len(fits), bool)
    points, index, treated = full.points[fits], full.log_odds[fits], full.treated[fits]
    for _ in range(MAX_STEPS):
        left = np.flatnonzero(~settled)
        if not len(left):
            break
        move, own = moves[left], points[left]
        residual = expit(index[left] + np.sum(own * move, axis=1)) - treated[left]
        gradient = full.gradient + change(move) + move @ full.penalty - residual[:, None] * own
        step = _step(full, fits[left], gradient)
        moves[left] -= step
        settled[left] = full.length.max() * np.linalg.norm(step, axis=1) <= SMALL
    moves[~settled] = 0.0
    return moves, settled


def _change_by_number(full: _Full, clusters: Index) -> Callable[[Array], Array]:
    points, index, p = full.points[clusters], full.log_odds[clusters], full.p[clusters]

    def change(moves: Array) -> Array:
        found = np.zeros_like(moves)
        for part in pieces(len(moves), len(clusters)):
            found[part] = (expit(index + moves[part] @ points.T) - p) @ points
        return found

    return change


def _change_by_series(full: _Full, monomials: Monomials, far: NDArray[np.bool_]) -> Callable[[Array], Array]:
    points, derivatives = full.points[~far], _derivatives(full.p[~far], len(monomials.starts) - 2)
    derivatives[0] = 0.0  # what a move adds
    table = moments(
        monomials, points, lambda k, part: derivatives[k, part, None] * points[part], points.shape[1]
    )
    others = _change_by_number(full, np.flatnonzero(far))
    return lambda moves: series(monomials, table, moves) + others(moves)


def _derivatives(p: Array, highest: int) -> Array:
    """(1 + highest, n) the derivatives of the logistic function where it is p: polynomials in p."""
    found, polynomial = np.empty((1 + highest, len(p))), Polynomial([0.0, 1.0])
    for row in found:
        row[:] = polynomial(p)
        polynomial = polynomial.deriv() * Polynomial([0.0, 1.0, -1.0])
    return found


def _error(reach: Array, degree: int) -> Array:
    """Bound of the first term that a series leaves out: of exp, and of the logistic function (radius pi)."""
    n = degree + 1
    return np.asarray(np.maximum(reach**n / math.factorial(n), (reach / 3) ** n))


def _degree(reach: Array, n_variables: int) -> int:
    """The degree with the least work, as some fits are left to be taken by number."""

    def work(degree: int) -> float:
        terms, n = n_monomials(n_variables, degree), len(reach)
        by_number = np.sum(_error(reach, degree) > SMALL)
        return float(n * terms * n_variables + by_number * n * (BY_NUMBER + n_variables))

    return min(range(HIGHEST + 1), key=work)
