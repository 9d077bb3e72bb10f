"""Standard errors and tests from clusters: jackknife, bootstrap, sandwich, wild bootstrap.

All take numbers only, so that each can be compared with a formula.
"""

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array

Weights = Literal["rademacher", "webb"]
WEBB = np.sqrt([1.5, 1.0, 0.5])


def jackknife_error(estimate: float, without: Array) -> float:
    """Standard error from estimates without each of G clusters, centred at the estimate (conservative, CV3).

    sqrt((G - 1) / G * sum_c (estimate_(-c) - estimate)^2). Hansen (2025), "Jackknife standard errors for
    clustered regression", shows that for linear models it is never too small on average.
    """
    n = len(without)
    return float(np.sqrt((n - 1) / n * np.sum((without - estimate) ** 2)))


def stratified_jackknife_error(without: Array, arm: NDArray[np.int64]) -> float:
    """Standard error from estimates without each cluster, each arm a stratum.

    sqrt(sum over arms of (G_a - 1) / G_a * sum_{c in a} (estimate_(-c) - mean_a)^2): the sum of two
    jackknife variances (Efron and Tibshirani, 1993, "An introduction to the bootstrap", equation 11.5). For a
    difference of means the square is exactly unbiased, where that of the jackknife over all clusters is too
    large by about G_a / (G_a - 1) in each arm.
    """
    total = 0.0
    for value in np.unique(arm):
        own = without[arm == value]
        total += (len(own) - 1) / len(own) * float(np.sum((own - own.mean()) ** 2))
    return float(np.sqrt(total))


def sandwich_error(influence: Array) -> float:
    """CR1: sqrt(G / (G - 1) * sum_c u_c^2) for the clusters' influence u_c, which sums to 0."""
    n = len(influence)
    return float(np.sqrt(n / (n - 1) * np.sum(influence**2)))


def wild_signs(
    n_clusters: int, n_draws: int, weights: str, random: np.random.Generator
) -> NDArray[np.float64]:
    """(B, G) random weights of mean 0 and variance 1; all 2^G Rademacher vectors where they are fewer.

    The first draw is all ones, the data as they are, so that no p-value is 0.
    """
    if weights == "rademacher" and n_clusters < 30 and 2**n_clusters <= n_draws:
        return np.array(list(itertools.product([1.0, -1.0], repeat=n_clusters)))
    signs = random.choice([-1.0, 1.0], (n_draws, n_clusters))
    if weights == "webb":
        signs *= WEBB[random.integers(0, 3, (n_draws, n_clusters))]
    signs[0] = 1.0
    return signs


def wild_statistics(influence: Array, signs: Array) -> Array:
    """(B,) t statistics of the wild cluster bootstrap of the score (Kline and Santos, 2012).

    t*_b = sum_c v_bc u_c / CR1(v_bc u_c - their mean): the score of each cluster is perturbed, nothing is
    fitted again.
    """
    n = len(influence)
    moved = signs * influence
    total = moved.sum(axis=1)
    centred = moved - total[:, None] / n
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / np.sqrt(n / (n - 1) * np.sum(centred**2, axis=1)))


def bootstrap_counts(arm: NDArray[np.int64], n_draws: int, random: np.random.Generator) -> NDArray[np.int64]:
    """(B, G) how often each cluster is drawn: with replacement, each arm keeping its number of clusters.

    Clusters whose arm is negative are never drawn.
    """
    counts = np.zeros((n_draws, len(arm)), np.int64)
    for value in np.unique(arm[arm >= 0]):
        own = np.flatnonzero(arm == value)
        counts[:, own] = random.multinomial(len(own), np.full(len(own), 1 / len(own)), n_draws)
    return counts
