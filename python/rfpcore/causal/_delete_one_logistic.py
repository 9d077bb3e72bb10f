"""Ridge logistic regression without each cluster.

Each of G fits gives every one of N points another probability: G x N numbers. But leaving one cluster out
moves the coefficients by about 1 / G, and what a fit needs of the points is a short series in the move. Where
moves are too large for that, sums are taken number by number, some fits at a time.
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
from ._linear_fits import LARGEST, logistic_coefficients
from ._replicates import pieces
from ._series import Monomials, make_monomials, moments, n_monomials, series

SMALL = 1e-13  # relative error of a series, and the move of an index at which Newton's method stops
MAX_STEPS = 40
HIGHEST = 8  # degree of a series
BY_NUMBER = 40  # what an odds costs, in products

Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Full:
    """All clusters' fit, in coordinates in which its penalized Hessian is the identity.

    Attributes
    ----------
    points : ndarray (N, q)
        Intercept and covariates.
    length : ndarray (N,)
        Of the points: an index moves by no more than this times the length of a move.
    treated, weight, log_odds, p : ndarrays (N,)
        The arm, how much a point counts, and what is fitted.
    starts : ndarray (G,) of int
        Where the points of each cluster start.
    beta : ndarray (q,)
    root : ndarray (q, q)
        The triangle that the coordinates come by.
    penalty : ndarray (q, q)
    gradient : ndarray (q,)
        What rounding has left of it.
    own : ndarray (G, q, q) or None
        Of each cluster, its part of the Hessian; None where clusters are single points, or many: each is then
        a small part.
    """

    points: Array
    length: Array
    treated: NDArray[np.int64]
    weight: Array
    log_odds: Array
    p: Array
    starts: Index
    beta: Array
    root: Array
    penalty: Array
    gradient: Array
    own: Array | None

    @property
    def single(self) -> bool:
        """Whether every cluster is one point."""
        return len(self.starts) == len(self.points)

    def by_cluster(self, values: Array) -> Array:
        """(G, q) the sums of (N, q) over each cluster's points."""
        return values if self.single else np.asarray(np.add.reduceat(values, self.starts, axis=0))

    def residual(self, moves: Array) -> Array:
        """(N,) weighted, of each point under the fit without its own cluster; moves (G, q)."""
        each = moves if self.single else np.repeat(moves, np.diff(self.starts, append=len(self.p)), axis=0)
        index = self.log_odds + np.sum(self.points * each, axis=1)
        return np.asarray(self.weight * (expit(index) - self.treated))

    def at(self, Z: Array) -> tuple[Array, Array]:
        """Other covariates (n, q - 1) in these coordinates, (n, q), and their log odds."""
        design = np.column_stack([np.ones(len(Z)), Z])
        return solve_triangular(self.root, design.T, lower=True).T, design @ self.beta


@dataclass(frozen=True, eq=False)
class LogisticWithoutEach:
    """What `logistic_without_each` returns.

    Attributes
    ----------
    solved : ndarray (G,) of bool
        False where the fit without the cluster was not found.
    full : Full
    moves : ndarray (G, q)
        Of the coefficients.
    near : float
        Odds of points longer than this are taken by number, as their series would be long.
    serial : ndarray (G,) of bool
        Fits under which the odds of the other points are series.
    monomials : Monomials
    """

    solved: NDArray[np.bool_]
    full: Full
    moves: Array
    near: float
    serial: NDArray[np.bool_]
    monomials: Monomials


def logistic_without_each(
    Z: Array, treated: NDArray[np.int64], weight: Array | None = None, codes: Index | None = None
) -> LogisticWithoutEach:
    """Ridge logistic regressions of the treatment, those of `ridge_logistic`, without each of G clusters.

    Parameters
    ----------
    Z : ndarray (N, q)
        Covariates, of order 1.
    treated : ndarray (N,) of 0 and 1
    weight : ndarray (N,), optional
        How much each row counts.
    codes : ndarray (N,) of 0 ... G - 1, in ascending order, optional
        The cluster of each row; each has one. None: every row is one.
    """
    full = _fit(Z, treated, np.ones(len(Z)) if weight is None else weight, codes)
    n, q = full.points.shape
    solved = _leaves_both(full)
    residual = (full.weight * (full.p - treated))[:, None] * full.points
    first = _step(full, np.arange(len(full.starts)), full.by_cluster(residual))
    # Points far out would make all series long. There are few.
    far = full.length > np.partition(full.length, n - 1 - math.isqrt(n))[n - 1 - math.isqrt(n)]
    near = full.length[~far].max()
    reach = 1.5 * np.linalg.norm(first, axis=1) * near
    degree = _degree(reach, n, q)
    serial = solved & (_error(reach, degree) <= SMALL)
    monomials = make_monomials(q, degree if serial.any() else 0)
    moves = np.zeros((len(full.starts), q))
    for chosen, change in (
        (serial, _change_by_series(full, monomials, far)),
        (solved & ~serial, _change_by_number(full, np.arange(n))),
    ):
        fits = np.flatnonzero(chosen)
        moves[fits], solved[fits] = _newton(full, fits, first[fits], change)
    serial &= solved & (near * np.linalg.norm(moves, axis=1) <= reach)
    return LogisticWithoutEach(solved, full, moves, near, serial, monomials)


def _leaves_both(full: Full) -> NDArray[np.bool_]:
    """(G,) whether there are points of both arms in the other clusters."""
    counts = full.weight > 0
    kinds = np.column_stack([counts & (full.treated == arm) for arm in (0, 1)]).astype(np.int64)
    own = np.asarray(np.add.reduceat(kinds, full.starts, axis=0))
    return np.asarray((own.sum(axis=0) > own).all(axis=1))


def _fit(Z: Array, treated: NDArray[np.int64], weight: Array, codes: Index | None) -> Full:
    design = np.column_stack([np.ones(len(Z)), Z])
    beta = logistic_coefficients(design, treated, weight[None])[0]
    index = design @ beta
    p = expit(index)
    penalty = np.diag(np.r_[0.0, np.ones(Z.shape[1])])
    hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + penalty
    root = np.linalg.cholesky(hessian)

    def turned(columns: Array) -> Array:
        return np.asarray(solve_triangular(root, columns, lower=True))

    step = turned(design.T @ (weight * (p - treated)) + penalty @ beta)
    points, turned_penalty = turned(design.T).T, turned(turned(penalty).T)
    # One more step, and what it leaves: the fit stops at gradients far above rounding.
    index = index - points @ step
    beta = beta - solve_triangular(root.T, step)
    p = expit(index)
    gradient = turned(design.T @ (weight * (p - treated)) + penalty @ beta)
    length = np.linalg.norm(points, axis=1)
    starts = np.arange(len(Z)) if codes is None else np.flatnonzero(np.diff(codes, prepend=-1))
    own = _own_hessians(points, weight * p * (1 - p), starts)
    return Full(points, length, treated, weight, index, p, starts, beta, root, turned_penalty, gradient, own)


def _own_hessians(points: Array, curvature: Array, starts: Index) -> Array | None:
    n, q = points.shape
    if len(starts) == n or len(starts) * q * q > LARGEST:
        return None
    found = np.empty((len(starts), q, q))
    for j in range(q):
        found[:, j] = np.add.reduceat((curvature * points[:, j])[:, None] * points, starts, axis=0)
    return found


def _step(full: Full, fits: Index, gradient: Array) -> Array:
    """The Newton step for a gradient (n, q), with the Hessian of all clusters less the one left out."""
    if full.single:
        points, p = full.points[fits], full.p[fits]
        curvature = full.weight[fits] * p * (1 - p)
        left = 1 - curvature * np.sum(points**2, axis=1)
        along = curvature * np.sum(points * gradient, axis=1) / left
        return np.asarray(gradient + along[:, None] * points)
    if full.own is None:
        return gradient
    left = np.eye(full.points.shape[1]) - full.own[fits]
    return np.asarray(np.linalg.solve(left, gradient[:, :, None])[:, :, 0])


def _newton(
    full: Full, fits: Index, start: Array, change: Callable[[Array], Array]
) -> tuple[Array, NDArray[np.bool_]]:
    """(n, q) the moves of some fits, (n,) whether Newton's method has settled.

    `change` gives what a move adds to the sum over all clusters of (p - treated) * points.
    """
    moves, settled = start.copy(), np.zeros(len(fits), bool)
    everywhere = np.zeros((len(full.starts), start.shape[1]))
    for _ in range(MAX_STEPS):
        left = np.flatnonzero(~settled)
        if not len(left):
            break
        everywhere[fits] = moves
        own = full.by_cluster(full.residual(everywhere)[:, None] * full.points)[fits[left]]
        move = moves[left]
        gradient = full.gradient + change(move) + move @ full.penalty - own
        step = _step(full, fits[left], gradient)
        moves[left] -= step
        settled[left] = full.length.max() * np.linalg.norm(step, axis=1) <= SMALL
    moves[~settled] = 0.0
    return moves, settled


def _change_by_number(full: Full, rows: Index) -> Callable[[Array], Array]:
    points, index, p = full.points[rows], full.log_odds[rows], full.p[rows]
    weighted = full.weight[rows, None] * points

    def change(moves: Array) -> Array:
        found = np.zeros_like(moves)
        for part in pieces(len(moves), len(rows)):
            found[part] = (expit(index + moves[part] @ points.T) - p) @ weighted
        return found

    return change


def _change_by_series(full: Full, monomials: Monomials, far: NDArray[np.bool_]) -> Callable[[Array], Array]:
    points, derivatives = full.points[~far], _derivatives(full.p[~far], len(monomials.starts) - 2)
    weighted = full.weight[~far, None] * points
    derivatives[0] = 0.0  # what a move adds
    table = moments(
        monomials, points, lambda k, part: derivatives[k, part, None] * weighted[part], points.shape[1]
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


def _degree(reach: Array, n: int, n_variables: int) -> int:
    """The degree with the least work on n points, as some fits are left to be taken by number."""

    def work(degree: int) -> float:
        terms = n_monomials(n_variables, degree)
        by_number = np.sum(_error(reach, degree) > SMALL)
        return float(n * terms * n_variables + by_number * n * (BY_NUMBER + n_variables))

    return min(range(HIGHEST + 1), key=work)
