"""A linear mean, by generalized least squares."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lstsq

from ..._scaling import basis_of
from ._components import Floats
from ._likelihood import LOG_2_PI, CovarianceEstimate, LinearLikelihood, maximize
from ._problem import FittedMean, MixedProblem, Whitening


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
) -> tuple[FittedMean, CovarianceEstimate, list[int]]:
    """The mean as a candidate, the estimate of its covariance, and the columns in use."""
    kept = independent(problem.X)
    columns = design(problem.X, kept)
    rows, _, covariance = problem.sample
    if exact:
        require_rows(columns)
        rows, covariance = np.arange(len(problem.y)), problem.covariance
    likelihood = LinearLikelihood(
        problem.structure, covariance, problem.y[rows], columns[rows], reml, problem.n_threads
    )
    found = maximize(likelihood, variance, weak_prior=not exact, exact=exact)
    grams = Whitening.of(problem, found.parameters).fold_grams(np.column_stack([columns, problem.y]))
    total, left_out = grams.sum(axis=0), np.empty(len(problem.y))
    for k, gram in enumerate(grams):
        own = problem.fold_of_row == k
        left_out[own] = columns[own] @ _solved(total - gram)
    coefficients = np.zeros(problem.X.shape[1] + 1)
    coefficients[[0, *(j + 1 for j in kept)]] = _solved(total)
    return FittedMean("linear", left_out, LinearMean(coefficients)), found, kept


def _solved(gram: Floats) -> Floats:
    """Coefficients; the shortest where rows left in say too little."""
    p = len(gram) - 1
    return np.asarray(lstsq(gram[:p, :p], gram[:p, p], cond=1e-12)[0])


@dataclass(frozen=True, eq=False)
class LinearUncertainty:
    """Of a linear mean, from the covariance of its coefficients."""

    covariance: Floats
    kept: list[int]

    def spread(self, X: Floats) -> Floats:
        """The standard deviation of the mean at rows."""
        columns = design(X, self.kept)
        return np.asarray(np.sqrt(np.maximum(((columns @ self.covariance) * columns).sum(axis=1), 0.0)))


def least_squares_log_likelihood(y: Floats, columns: Floats, weights: Floats | None, reml: bool) -> float:
    """Of least squares with independent noise, counted as `LinearLikelihood` does."""
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
        value += np.linalg.slogdet((columns * w[:, None]).T @ columns)[1]
    return -0.5 * float(value)
