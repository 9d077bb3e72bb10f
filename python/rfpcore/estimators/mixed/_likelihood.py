"""Maximum likelihood of a cluster covariance: ML, or REML with a linear mean."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from ... import _rfpcore
from ._components import Floats, Structure, bounds, chain, prior, start, values, without_unseen

LOG_2_PI = float(np.log(2 * np.pi))
POLISH, DIFFERENCE = 20, 1e-4
EXACT = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-6}
COARSE = {"maxiter": 40, "ftol": 1e-7}  # where a hundredth of the log-likelihood does not matter
LEAST_SIZE = 1e-9  # of an eigenvalue over the largest, where rounding has spoilt the smallest

Objective = Callable[[Floats], tuple[float, Floats]]


@dataclass(frozen=True, eq=False)
class CovarianceEstimate:
    """A covariance's parameters, and what the likelihood says of them.

    Attributes
    ----------
    parameters : ndarray
        u of `_components`.
    log_likelihood : float
        At them, without the prior.
    coefficients, coefficient_covariance : ndarray (p,), (p, p)
        Of a linear mean, by generalized least squares; empty without one.
    hessian : ndarray or None
        Of the objective in the parameters, by central differences of its gradient.
    """

    parameters: Floats
    log_likelihood: float
    coefficients: Floats
    coefficient_covariance: Floats
    hessian: Floats | None


class LinearLikelihood:
    """Minus the log-likelihood of y ~ N(B b, V) with b profiled out, and its gradient in V's parameters.

    ML: 1/2 [r'V^-1 r + log|V| + n log 2 pi]; REML adds log|B'V^-1 B| - p log 2 pi, as lme4 counts.
    """

    def __init__(
        self,
        structure: Structure,
        covariance: _rfpcore.Covariance,
        outcome: Floats,
        design: Floats,
        reml: bool,
        n_threads: int,
    ) -> None:
        self.structure, self.covariance, self.n_threads = structure, covariance, n_threads
        self.reml = reml and design.shape[1] > 0
        self.columns = np.ascontiguousarray(np.column_stack([design, outcome]))

    def __call__(self, u: Floats) -> tuple[float, Floats]:
        value, gradient, _, _ = self.at(u)
        return value, gradient

    def at(self, u: Floats) -> tuple[float, Floats, Floats, Floats]:
        """Value, gradient, b and its covariance."""
        factors = values(self.structure, u).factors(self.covariance, self.n_threads)
        solved = factors.solve(self.columns, self.n_threads)
        gram = self.columns.T @ solved
        p, n = len(gram) - 1, len(solved)
        root = positive_root(gram[:p, :p])
        b = solve_by(root, gram[:p, p])
        squares = gram[p, p] - gram[:p, p] @ b
        value = 0.5 * (squares + factors.log_determinant.sum() + n * LOG_2_PI)
        weights = solved[:, p] - solved[:, :p] @ b
        A = weights[:, None]
        if self.reml:
            value += np.log(np.diag(root)).sum() - 0.5 * p * LOG_2_PI
            A = np.column_stack([solve_triangular(root, solved[:, :p].T, lower=True).T, weights])
        gradient = chain(self.structure, u, factors.gradient(np.ascontiguousarray(A), self.n_threads))
        return float(value), gradient, b, solve_by(root, np.eye(p))


class Likelihood(Protocol):
    """Minus the log-likelihood in a covariance's parameters."""

    structure: Structure

    def __call__(self, u: Floats) -> tuple[float, Floats]:
        """Value and gradient."""

    def at(self, u: Floats) -> tuple[float, Floats, Floats, Floats]:
        """Value, gradient, coefficients of a linear mean and their covariance."""


def maximize(
    likelihood: Likelihood,
    variance: float,
    *,
    weak_prior: bool,
    exact: bool,
    columns: Floats,
    guess: Floats | None = None,
    with_hessian: bool = False,
) -> CovarianceEstimate:
    """The parameters of the largest likelihood of rows with these columns of Z.

    With `exact` the search ends with Newton's steps, so that the parameters are right to many digits, and the
    Hessian is returned.
    """
    structure = likelihood.structure
    limits = bounds(structure, variance)

    def objective(u: Floats) -> tuple[float, Floats]:
        value, gradient = likelihood(u)
        if weak_prior:
            more, its_gradient = prior(structure, u, variance)
            value, gradient = value + more, gradient + its_gradient
        return value, gradient

    first = start(structure, variance) if guess is None else guess
    options = EXACT if exact else COARSE
    found = minimize(objective, first, jac=True, method="L-BFGS-B", bounds=limits, options=options)
    u, hessian = np.asarray(found.x), None
    if exact:
        u = polished(objective, u, limits)
    if exact or with_hessian:
        u = without_unseen(structure, u, columns)
        hessian = hessian_of(objective, u)
    value, _, b, b_covariance = likelihood.at(u)
    return CovarianceEstimate(u, -value, b, b_covariance, hessian)


def positive_root(gram: Floats) -> Floats:
    """The Cholesky factor; of a matrix that rounding has made indefinite, of the nearest that is not."""
    if gram.size == 0:  # of a mean without columns: SciPy takes none before 1.14
        return gram
    try:
        return np.asarray(cholesky(gram, lower=True))
    except np.linalg.LinAlgError:
        size, directions = np.linalg.eigh((gram + gram.T) / 2)
        size = np.maximum(size, max(LEAST_SIZE * size[-1], np.finfo(float).tiny))
        return np.asarray(cholesky((directions * size) @ directions.T, lower=True))


def solve_by(root: Floats, right: Floats) -> Floats:
    """The matrix whose `positive_root` this is, solved for right sides."""
    return np.asarray(cho_solve((root, True), right)) if root.size else right


def polished(objective: Objective, u: Floats, limits: list[tuple[float | None, float | None]]) -> Floats:
    """Newton's steps on parameters that are not at a bound, as long as they help."""
    low = np.array([-np.inf if one is None else one for one, _ in limits])
    value, gradient = objective(u)
    for _ in range(POLISH):
        H = hessian_of(objective, u)
        # A variance that vanishes has neither slope nor curvature in its logarithm.
        free = (u > low + 6) & (np.diag(H) > 1e-5)
        step = np.zeros_like(u)
        try:
            step[free] = -np.linalg.solve(H[np.ix_(free, free)], gradient[free])
        except np.linalg.LinAlgError:
            break
        size = np.abs(step).max(initial=0.0)
        if size < 1e-9 or size > 1:
            break
        new_value, new_gradient = objective(u + step)
        if not new_value <= value + 1e-9 * abs(value):
            break
        u, value, gradient = u + step, new_value, new_gradient
    return u


def hessian_of(objective: Objective, u: Floats) -> Floats:
    """By central differences of the gradient."""
    rows = []
    for i in range(len(u)):
        step = np.zeros_like(u)
        step[i] = DIFFERENCE
        rows.append((objective(u + step)[1] - objective(u - step)[1]) / (2 * DIFFERENCE))
    H = np.array(rows)
    return (H + H.T) / 2
