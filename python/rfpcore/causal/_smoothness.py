"""Confidence intervals for an effect if the difference in trends changes its slope by at most M a period.

Rambachan and Roth (2023), "A more credible approach to parallel trends", Review of Economic Studies 90,
section 4.1. With δ_t the difference in trends, t = 0 the reference period (δ_0 = 0), and s_k the changes of
its slope, |s_k| ≤ M, δ_t = g t + Σ_k s_k φ_k(t), with φ_k(t) = max(t - k, 0) for k > 0, else max(k - t, 0).
An estimator v'b, whose weights since adoption are the parameter's l, has a bounded bias only if v sees no
slope g; it is then at most M Σ_k |v'φ_k|. For k > 0 these numbers are l'φ_k; for k ≤ 0 call them w_k: they
are as many as the effects before adoption, and v is linear in them. That there is no slope fixes w_0.

The shortest interval of the form v'b ± (quantile of |N(bias, variance)|) (Armstrong and Kolesár, 2018,
"Optimal inference in a class of regression models", Econometrica 86) thus trades Σ|w| for a variance that is
quadratic in w: it lies on the path of a lasso, which is piecewise linear.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr
from sklearn.linear_model import lars_path_gram

from .._arrays import Array
from ._relative_magnitudes import EventStudy

LARGE = 1e6
FAR = 40.0  # standard deviations, beyond which there is nothing
SINGULAR = 1e-10  # least eigenvalue of a correlation matrix that is more than rounding


class Weights(NamedTuple):
    """An estimator: its weights (K + L,), its bias in units of M, its standard error."""

    weights: Array
    bias: float
    error: float


@dataclass(frozen=True)
class Frontier:
    """Estimators that have the least variance for their largest bias.

    Attributes
    ----------
    knots : ndarray (S, K + L)
        Weights; those between two neighbours are on the frontier, too.
    biases : ndarray (S,)
        In units of M; increasing.
    covariance : ndarray (K + L, K + L)
    """

    knots: Array
    biases: Array
    covariance: Array

    def shortest(self, m: float, alpha: float) -> Weights:
        """The estimator with the shortest interval, for changes of slope up to m."""
        found = [self._at(0, 0.0)]
        for i in range(len(self.knots) - 1):
            best = minimize_scalar(
                lambda share, i=i: self._half(self._at(i, share), m, alpha),
                bounds=(0.0, 1.0),
                method="bounded",
            )
            found += [self._at(i, float(best.x)), self._at(i, 1.0)]
        return min(found, key=lambda own: self._half(own, m, alpha))

    def _length(self, i: int, m: float, alpha: float, share: float) -> float:
        return self._half(self._at(i, share), m, alpha)

    def _half(self, own: Weights, m: float, alpha: float) -> float:
        return folded_quantile(m * own.bias, own.error, 1 - alpha)

    def _at(self, i: int, share: float) -> Weights:
        j = min(i + 1, len(self.knots) - 1)
        weights = self.knots[i] + share * (self.knots[j] - self.knots[i])
        bias = self.biases[i] + share * (self.biases[j] - self.biases[i])
        return Weights(weights, float(bias), math.sqrt(weights @ self.covariance @ weights))


def frontier(study: EventStudy) -> Frontier:
    """From the least bias to the least variance. ValueError if the covariance is singular."""
    sd = np.sqrt(np.diag(study.covariance))
    if not np.linalg.eigvalsh(study.covariance / np.outer(sd, sd))[0] > SINGULAR:
        raise ValueError(
            f"the {len(sd)} effects around adoption are linear functions of each other, as far as their "
            "replicates tell: too few clusters for so many periods"
        )
    K, weights = study.n_before, study.weights
    times = np.arange(1, len(weights) + 1)
    later = sum(abs(float(weights @ np.maximum(times - k, 0))) for k in times)
    to_weights = _second_differences(K)
    first = np.concatenate([float(weights @ times) * to_weights[:, -1], weights])
    others = np.vstack([to_weights[:, :-1], np.zeros((len(weights), K - 1))])
    bends = _lasso(others.T @ study.covariance @ others, -others.T @ study.covariance @ first)
    biases = later + abs(float(weights @ times)) + np.abs(bends).sum(axis=0)
    return Frontier((first[:, None] + others @ bends).T, biases, study.covariance)


def _lasso(gram: Array, moment: Array) -> Array:
    """(K - 1, S) the minima of w'gram w / 2 - moment'w + penalty |w|, where their path bends."""
    if np.abs(moment).max(initial=0.0) == 0:
        return np.zeros((len(gram), 1))
    # The path ends at an absolute penalty of 1e-7: here that is next to nothing.
    scale = LARGE / np.abs(moment).max()
    _, _, found = lars_path_gram(moment * scale, gram, n_samples=1, method="lasso", alpha_min=0.0)
    return np.asarray(found / scale)


def _second_differences(n_before: int) -> Array:
    """(K, K) from w_k, k = 1 - K ... 0, to the weights of the effects at -K ... -1."""
    times = np.arange(-n_before, 0)
    return np.asarray(np.linalg.inv(np.maximum(np.subtract.outer(times + 1, times), 0)))


def folded_quantile(mean: float, error: float, share: float) -> float:
    """Of the absolute value of a normal variable."""
    if error == 0:
        return abs(mean)
    shift = abs(mean) / error

    def excess(c: float) -> float:
        return float(ndtr(c - shift) - ndtr(-c - shift)) - share

    low = max(0.0, shift - FAR)
    return error * (float(brentq(excess, low, shift + FAR, xtol=1e-13)) if excess(low) < 0 else low)


def smooth_interval(study: EventStudy, path: Frontier, m: float, level: float) -> tuple[float, float]:
    """The shortest interval around an estimator that is linear in the estimates."""
    own = path.shortest(m, 1 - level)
    centre, half = float(own.weights @ study.estimates), folded_quantile(m * own.bias, own.error, level)
    return centre - half, centre + half
