"""A Gaussian process in x as the population's function, with cluster effects beside it.

f = a smooth part (RBF, one length a column) at inducing points + a linear part + a constant: f = Phi b with b
~ N(0, I), y - f ~ N(0, V). The hyperparameters and V's are those of the largest marginal likelihood, with
weak priors (Rasmussen and Williams 2006, sections 2.7 and 8.3.3).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from ... import _rfpcore
from ..._arrays import Array
from ._components import Floats, Structure, bounds, chain, log_variances, values
from ._likelihood import COARSE, positive_root
from ._problem import FittedMean, MixedProblem, Whitening

N_INDUCING = 60
CONSTANT = 3.0  # prior standard deviation of the level, in standard deviations of y
JITTER = 1e-4
LENGTH_BOUNDS, VARIANCE_BOUNDS = (-3.0, 5.0), (-12.0, 4.0)


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """Of the population's function: lengths (d,), variances of the smooth and of the linear part."""

    lengths: Floats
    smooth: float
    linear: float

    @classmethod
    def of(cls, h: Floats) -> "Hyperparameters":
        """From the logarithms."""
        return cls(np.exp(h[:-2]), float(np.exp(h[-2])), float(np.exp(h[-1])))


@dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process with its hyperparameters; the posterior of b is another's affair.

    Attributes
    ----------
    inducing : ndarray (m, d)
    hyperparameters : Hyperparameters
    """

    inducing: Floats
    hyperparameters: Hyperparameters

    def features(self, X: Floats) -> Floats:
        """Phi (N, m + 1 + d)."""
        return _features(X, self.inducing, self.hyperparameters)[0]


def _features(X: Floats, inducing: Floats, h: Hyperparameters) -> tuple[Floats, Floats, Floats]:
    """Phi, the kernel between rows and inducing points, the Cholesky factor of the one among points."""
    K = h.smooth * np.exp(-0.5 * _squares(X / h.lengths, inducing / h.lengths))
    among = h.smooth * np.exp(-0.5 * _squares(inducing / h.lengths, inducing / h.lengths))
    root = cholesky(among + JITTER * h.smooth * np.eye(len(inducing)), lower=True)
    smooth = solve_triangular(root, K.T, lower=True).T
    constant = np.full((len(X), 1), CONSTANT)
    return np.ascontiguousarray(np.hstack([smooth, constant, np.sqrt(h.linear) * X])), K, root


def _squares(A: Floats, B: Floats) -> Floats:
    squares = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1) - 2 * A @ B.T
    return np.asarray(np.maximum(squares, 0.0))


@dataclass(frozen=True, eq=False)
class Posterior:
    """Of b: N(mean, (R R')^-1)."""

    mean: Floats
    root: Floats

    def deviations(self, features: Floats) -> Floats:
        """(m, N) by which Phi b is off, times independent normal numbers."""
        return np.asarray(solve_triangular(self.root, features.T, lower=True))

    def spread(self, features: Floats) -> Floats:
        """The standard deviation of Phi b."""
        return np.asarray(np.linalg.norm(self.deviations(features), axis=0))


def posterior(gram: Floats) -> Posterior:
    """From [Phi, y]' V^-1 [Phi, y]."""
    m = len(gram) - 1
    root = positive_root(np.eye(m) + gram[:m, :m])
    return Posterior(cho_solve((root, True), gram[:m, m]), root)


class MarginalLikelihood:
    """Minus the logarithm of the marginal likelihood and of the priors, and its gradient.

    The parameters are those of the population's function, then those of the covariance.
    """

    def __init__(
        self,
        structure: Structure,
        covariance: _rfpcore.Covariance,
        X: Floats,
        outcome: Floats,
        inducing: Floats,
        n_threads: int,
    ) -> None:
        self.structure, self.covariance, self.n_threads = structure, covariance, n_threads
        self.X, self.outcome, self.inducing = X, outcome, inducing
        self.n_own = X.shape[1] + 2

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        h, u = parameters[: self.n_own], parameters[self.n_own :]
        own = Hyperparameters.of(h)
        features, K, root = _features(self.X, self.inducing, own)
        factors = values(self.structure, u).factors(self.covariance, self.n_threads)
        columns = np.column_stack([features, self.outcome])
        solved = factors.solve(columns, self.n_threads)
        gram = columns.T @ solved
        m = len(gram) - 1
        found = posterior(gram)
        value = 0.5 * (gram[m, m] - gram[:m, m] @ found.mean + factors.log_determinant.sum())
        value += np.log(np.diag(found.root)).sum()
        weights = solved[:, m] - solved[:, :m] @ found.mean
        A = np.column_stack([solve_triangular(found.root, solved[:, :m].T, lower=True).T, weights])
        of_covariance = chain(self.structure, u, factors.gradient(np.ascontiguousarray(A), self.n_threads))
        G = cho_solve((found.root, True), solved[:, :m].T).T - np.outer(weights, found.mean)
        of_own = self._own_gradient(own, features, K, root, G)
        more, its_gradient = self._priors(h, u)
        return float(value + more), np.concatenate([of_own, of_covariance]) + its_gradient

    def _own_gradient(
        self, own: Hyperparameters, features: Floats, K: Floats, root: Floats, G: Floats
    ) -> Floats:
        """From the gradient G in Phi; K_xz = K, K_zz = R R'."""
        m, Z = len(self.inducing), self.inducing
        P = solve_triangular(root, G[:, :m].T, lower=True, trans="T").T
        among = root @ root.T
        inner = solve_triangular(root, features[:, :m].T @ G[:, :m], lower=True, trans="T")
        M = -0.5 * solve_triangular(root, inner.T, lower=True, trans="T").T
        W, U = P * K, M * among
        U_far = U - np.diag(np.diag(U))  # points are at no distance from themselves
        lengths = _distance_sums(W, self.X, Z) + _distance_sums(U_far, Z, Z)
        linear = 0.5 * float((G[:, m + 1 :] * features[:, m + 1 :]).sum())
        return np.concatenate([lengths / own.lengths**2, [W.sum() + U.sum(), linear]])

    def _priors(self, h: Floats, u: Floats) -> tuple[float, Floats]:
        away = np.r_[h[:-2], h[-2] + 0.3, h[-1] + 1.0, u + 1.5]
        weight = np.r_[np.full(len(h) - 2, 0.125), 0.1, 0.1, np.zeros(len(u))]
        weight[len(h) + log_variances(self.structure)] = 0.02
        if self.structure.smooth:
            away[-2], weight[-2] = u[-2], 1.0
        return float(weight @ away**2), 2 * weight * away


def _distance_sums(W: Floats, X: Floats, Z: Floats) -> Floats:
    """Of each column, sum_ij W_ij (x_i - z_j)^2."""
    return np.asarray(W.sum(axis=1) @ X**2 + W.sum(axis=0) @ Z**2 - 2 * np.sum(X * (W @ Z), axis=0))


def maximize(
    structure: Structure,
    covariance: _rfpcore.Covariance,
    X: Floats,
    outcome: Floats,
    guess: Floats,
    seed: int,
    n_threads: int,
) -> tuple[Process, Floats]:
    """The process of the largest likelihood, and the covariance's parameters beside it."""
    inducing = _inducing(X, seed)
    likelihood = MarginalLikelihood(structure, covariance, X, outcome, inducing, n_threads)
    d = X.shape[1]
    first = np.r_[np.full(d, 0.5 * np.log(d)), np.log(0.7), np.log(0.3), guess]
    limits = [LENGTH_BOUNDS] * d + [VARIANCE_BOUNDS] * 2 + bounds(structure, 1.0)
    found = minimize(likelihood, first, jac=True, method="L-BFGS-B", bounds=limits, options=COARSE)
    h, u = np.asarray(found.x[: d + 2]), np.asarray(found.x[d + 2 :])
    return Process(inducing, Hyperparameters.of(h)), u


def _inducing(X: Floats, seed: int) -> Floats:
    """Inducing points, spread over the rows."""
    from sklearn.cluster import kmeans_plusplus

    distinct = np.unique(X, axis=0)
    if len(distinct) <= N_INDUCING:
        return np.asarray(distinct)
    chosen: Array = kmeans_plusplus(distinct, N_INDUCING, random_state=seed)[0]
    return np.asarray(chosen, np.float64)


@dataclass(frozen=True, eq=False)
class ProcessMean:
    """The posterior of the population's function."""

    process: Process
    posterior: Posterior

    def predict(self, X: Floats) -> Floats:
        """Its mean."""
        return np.asarray(self.process.features(X) @ self.posterior.mean)

    def spread(self, X: Floats) -> Floats:
        """Its standard deviation."""
        return self.posterior.spread(self.process.features(X))


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """How sure the population's function is, whatever its kind.

    The posterior's variance of a Gaussian process takes its kernel for true; half the squared difference
    between it and the networks, two fits to the same data, stands for what no kernel says.

    Attributes
    ----------
    process : ProcessMean
    other : object or None
        With `predict`.
    """

    process: ProcessMean
    other: Any

    def deviations(self, X: Floats) -> Floats:
        """(N, m) by which the function at rows is off, times independent normal numbers."""
        process = self.process
        found = process.posterior.deviations(process.process.features(X)).T
        if self.other is None:
            return found
        return np.column_stack([found, np.sqrt(0.5) * (process.predict(X) - self.other.predict(X))])

    def spread(self, X: Floats) -> Floats:
        """The standard deviation at rows."""
        variance = self.process.spread(X) ** 2
        if self.other is not None:
            variance = variance + 0.5 * (self.process.predict(X) - self.other.predict(X)) ** 2
        return np.sqrt(variance)


def fit(problem: MixedProblem, guess: Floats) -> tuple[FittedMean, Floats]:
    """The process as a candidate, and the covariance's parameters beside it.

    Predictions of clusters left out take the hyperparameters of all.
    """
    rows, _, covariance = problem.sample
    X, y = problem.X, problem.y
    process, u = maximize(
        problem.structure, covariance, X[rows], y[rows], guess, problem.seed, problem.n_threads
    )
    features = process.features(X)
    grams = Whitening.of(problem, u).fold_grams(np.column_stack([features, y]))
    total, left_out = grams.sum(axis=0), np.empty(len(y))
    for k, gram in enumerate(grams):
        own = problem.fold_of_row == k
        left_out[own] = features[own] @ posterior(total - gram).mean
    mean = ProcessMean(process, posterior(total))
    return FittedMean("gp", left_out, mean), u
