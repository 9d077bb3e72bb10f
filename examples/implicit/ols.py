"""Least squares stopped early, in closed form and by descent: what figures 4 and 7 share.

The loss is |y − Xβ|²/2n and descent starts at 0, so that after k steps of ε the weights are the optimum of
loss + ½ β′Q_kβ with Q_k = V diag(s a/(1−a)) V′, a = (1−εs)ᵏ, for X′X/n = V diag(s) V′.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import rfpcore
from rfpcore.exceptions import DesignWarning
from rfpcore.implicit import Equations, GradientMatching, Quadratic

EPSILON = 0.01


class Problem(NamedTuple):
    """Rows of one regression."""

    X: np.ndarray
    y: np.ndarray


def design(n: int, p: int, random: np.random.Generator) -> np.ndarray:
    """Standard normal rows; the last column is the constant, as the network has an intercept."""
    return np.column_stack([random.standard_normal((n, p - 1)), np.ones(n)])


def outcomes(X: np.ndarray, random: np.random.Generator, noise: float = 1.0) -> np.ndarray:
    """Of new coefficients, with noise."""
    return X @ random.standard_normal(X.shape[1]) + noise * random.standard_normal(len(X))


def implied(X: np.ndarray, steps: int, epsilon: float = EPSILON) -> np.ndarray:
    """Q_k, by its formula; 1 − a without cancellation."""
    s, V = np.linalg.eigh(X.T @ X / len(X))
    log_a = steps * np.log1p(-epsilon * s)
    found: np.ndarray = (V * (s * np.exp(log_a) / -np.expm1(log_a))) @ V.T
    return found


def network(p: int) -> rfpcore.MLP:
    """A linear model of p parameters."""
    return rfpcore.MLP(p - 1, ())


def clusters(problems: Sequence[Problem]) -> rfpcore.Clusters:
    """One cluster for each, of p − 1 features: the network adds the constant."""
    groups = np.repeat(np.arange(len(problems)), [len(one.y) for one in problems])
    X = np.concatenate([one.X[:, :-1] for one in problems])
    return rfpcore.Clusters(X, np.concatenate([one.y for one in problems]), groups)


def descend(problems: Sequence[Problem], steps: int, epsilon: float = EPSILON, start=None) -> np.ndarray:
    """Weights (m, p) after so many steps on the rows of each, all in one call."""
    p = problems[0].X.shape[1]
    begin = np.zeros(p) if start is None else start
    # The package's squared loss has no ½, so half the step is the same descent.
    return rfpcore.adapt(network(p), begin, clusters(problems), steps, epsilon / 2)[0]


def endpoints(thetas: np.ndarray, problems: Sequence[Problem]) -> Equations:
    """−∇L(β) = Qβ of each endpoint on its own rows, for the loss with ½."""
    net = network(thetas.shape[1])
    found = Equations.endpoint(net, thetas, [clusters([one]) for one in problems])
    return Equations(found.points, found.targets / 2, net=net)


def matrix_of(equations: Equations, shape: str = "symmetric", constraint: str | None = None) -> np.ndarray:
    """The estimated Q; with too few endpoints the one of least norm."""
    penalty = Quadratic(shape)
    return penalty.matrix(fit(equations, penalty, constraint).coef_)


def fit(equations: Equations, penalty: Quadratic, constraint: str | None = None) -> GradientMatching:
    """The least-squares estimate, whatever is identified: too few endpoints leave Q open."""
    estimator = GradientMatching([penalty], constraint=constraint, identified="minimum_norm", rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return estimator.fit(equations)


def distance(found: np.ndarray, true: np.ndarray) -> float:
    """Relative, by Frobenius' norm."""
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))
