"""A linear mean, by generalized least squares."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import lstsq, solve_triangular

from ..._scaling import basis_of
from ._components import Floats
from ._likelihood import LOG_2_PI, CovarianceEstimate, LinearLikelihood, maximize
from ._problem import FittedMean, MixedProblem, Whitening

ALMOST = 1e-3  # of a column's length outside the others' span: its square leaves ten digits of sixteen


@dataclass(frozen=True, eq=False)
class LinearMean:
    """b_0 + x'b; 0 for columns that say nothing new."""

    coefficients: Floats

    def predict(self, X: Floats) -> Floats:
        """The mean at rows."""
        return np.asarray(self.coefficients[0] + X @ self.coefficients[1:])


def independent(X: Floats) -> list[int]:
    """Columns that are no combination of the intercept and those before."""
    return basis_of(X).kept if X.shape[1] else []


def design(X: Floats, kept: list[int]) -> Floats:
    """Intercept and columns."""
    return np.ascontiguousarray(np.column_stack([np.ones(len(X)), X[:, kept]]))


class SoughtColumns(NamedTuple):
    """Intercept and columns as their coefficients are sought.

    Attributes
    ----------
    values : ndarray (N, p)
        What `design` has; where some are nearly a combination of those before, which the squares of normal
        equations cannot tell, an orthogonal basis instead.
    turn : ndarray (p, p) or None
        Upper triangle by which that basis becomes the columns.
    """

    values: Floats
    turn: Floats | None

    def coefficients(self, found: Floats) -> Floats:
        """Of the columns, from those of the values (p,) or (p, m)."""
        return found if self.turn is None else np.asarray(solve_triangular(self.turn, found))

    @property
    def log_unit(self) -> float:
        """What log |B'B| / 2 of the columns has more than that of the values."""
        return 0.0 if self.turn is None else float(np.log(np.abs(np.diag(self.turn))).sum())


def sought(X: Floats, kept: list[int]) -> SoughtColumns:
    """Of independent columns."""
    columns = design(X, kept)
    new = np.abs(np.diag(np.linalg.qr(columns, mode="r")))  # the lengths of what each column adds
    if (new > ALMOST * np.linalg.norm(columns, axis=0)).all():
        return SoughtColumns(columns, None)
    vectors, R = np.linalg.qr(columns)
    size = np.sqrt(len(X))
    return SoughtColumns(np.ascontiguousarray(size * vectors), R / size)


def require_rows(columns: Floats) -> None:
    """ValueError where coefficients leave nothing to estimate variances from."""
    n, p = columns.shape
    if n <= p:
        raise ValueError(
            f"mean='linear' has {p} coefficients (the intercept's too) for {n} rows, which leave nothing to "
            "estimate variances from; take fewer columns, or mean='gp'"
        )


def fit(
    problem: MixedProblem, reml: bool, exact: bool, variance: float = 1.0
) -> tuple[FittedMean, CovarianceEstimate, "LinearUncertainty"]:
    """The mean as a candidate, the estimate of its covariance, and how sure the mean is."""
    kept = independent(problem.X)
    basis = sought(problem.X, kept)
    columns = basis.values
    rows, effects, covariance = problem.sample
    if exact:
        require_rows(columns)
        rows, effects, covariance = np.arange(len(problem.y)), problem.effects, problem.covariance
    likelihood = LinearLikelihood(
        problem.structure, covariance, problem.y[rows], columns[rows], reml, problem.n_threads
    )
    found = maximize(likelihood, variance, weak_prior=not exact, exact=exact, columns=effects.columns)
    grams = Whitening.of(problem, found.parameters).fold_grams(np.column_stack([columns, problem.y]))
    total, left_out = grams.sum(axis=0), np.empty(len(problem.y))
    for k, gram in enumerate(grams):
        own = problem.fold_of_row == k
        left_out[own] = columns[own] @ _solved(total - gram)
    coefficients = np.zeros(problem.X.shape[1] + 1)
    coefficients[[0, *(j + 1 for j in kept)]] = basis.coefficients(_solved(total))
    uncertainty = LinearUncertainty(found.coefficient_covariance, kept, basis.turn)
    found = replace(
        found,
        log_likelihood=found.log_likelihood - reml * basis.log_unit,
        coefficients=basis.coefficients(found.coefficients),
        coefficient_covariance=basis.coefficients(basis.coefficients(found.coefficient_covariance).T),
    )
    return FittedMean("linear", left_out, LinearMean(coefficients)), found, uncertainty


def _solved(gram: Floats) -> Floats:
    """Coefficients; the shortest where rows left in say too little."""
    p = len(gram) - 1
    return np.asarray(lstsq(gram[:p, :p], gram[:p, p], cond=1e-12)[0])


@dataclass(frozen=True, eq=False)
class LinearUncertainty:
    """Of a linear mean, from the covariance of its coefficients.

    Attributes
    ----------
    covariance : ndarray (p, p)
    kept : list of int
        Columns in use.
    turn : ndarray (p, p) or None
        Of `SoughtColumns`, of whose values the coefficients are.
    """

    covariance: Floats
    kept: list[int]
    turn: Floats | None = None

    def deviations(self, X: Floats) -> Floats:
        """(N, p) by which the mean at rows is off, times independent normal numbers."""
        size, directions = np.linalg.eigh(self.covariance)
        return np.asarray(self._columns(X) @ (directions * np.sqrt(np.maximum(size, 0.0))))

    def _columns(self, X: Floats) -> Floats:
        columns = design(X, self.kept)
        return columns if self.turn is None else solve_triangular(self.turn, columns.T, trans="T").T

    def spread(self, X: Floats) -> Floats:
        """The standard deviation of the mean at rows."""
        columns = self._columns(X)
        return np.asarray(np.sqrt(np.maximum(((columns @ self.covariance) * columns).sum(axis=1), 0.0)))


def least_squares_log_likelihood(
    y: Floats, basis: SoughtColumns, weights: Floats | None, reml: bool
) -> float:
    """Of least squares with independent noise, counted as `LinearLikelihood` does."""
    columns = basis.values
    w = np.ones(len(y)) if weights is None else weights
    root = np.sqrt(w)
    p = columns.shape[1]
    rest = root * y
    if p:
        rest = rest - (root[:, None] * columns) @ lstsq(root[:, None] * columns, root * y)[0]
    n = len(y) - p if reml else len(y)
    s2 = max(float(rest @ rest) / n, 1e-300)
    value = n * (np.log(s2) + 1 + LOG_2_PI) - np.log(w).sum()
    if reml and p:
        value += np.linalg.slogdet((columns * w[:, None]).T @ columns)[1] + 2 * basis.log_unit
    return -0.5 * float(value)
