"""Standard errors and tests from clusters: jackknife, bootstrap, sandwich, wild bootstrap.

All take numbers only, so that each can be compared with a formula.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array

Weights = Literal["rademacher", "webb"]
VALUES = {
    "rademacher": np.array([1.0, -1.0]),
    "webb": np.sqrt([1.5, 1.0, 0.5, 1.5, 1.0, 0.5]) * [1, 1, 1, -1, -1, -1],
}
BLOCK = 1_000_000  # numbers drawn at a time: memory stays small, and Ctrl-C is heard
TIE = 1e-10  # relative; statistics that are equal but for rounding count as equal


def length(values: Array) -> float:
    """sqrt(sum of squares), where the squares may be beyond what numbers can hold."""
    largest = float(np.abs(values).max(initial=0.0))
    if not 0 < largest < np.inf:
        return largest
    return largest * float(np.sqrt(np.sum((values / largest) ** 2)))


def monte_carlo_p(observed: float, draws: Array, noise: float = 0.0) -> float:
    """(1 + how many draws are as large) / (1 + draws): the observed value is one of them (never 0).

    Draws without a value are no draws, and those smaller by `noise` are as large. Davison and Hinkley (1997),
    "Bootstrap methods and their application", equation 4.11.
    """
    if np.isnan(observed):
        return np.nan
    sizes = np.abs(draws[~np.isnan(draws)])
    return float((1 + np.sum(sizes >= abs(observed) * (1 - TIE) - noise)) / (1 + len(sizes)))


def jackknife_error(estimate: float, without: Array) -> float:
    """Standard error from estimates without each of G clusters, centred at the estimate (conservative, CV3).

    sqrt((G - 1) / G * sum_c (estimate_(-c) - estimate)^2). Hansen (2025), "Jackknife standard errors for
    clustered regression", shows that for linear models it is never too small on average.
    """
    n = len(without)
    return float(np.sqrt((n - 1) / n)) * length(without - estimate)


def stratified_jackknife_error(without: Array, arm: NDArray[np.int64]) -> float:
    """Standard error from estimates without each cluster, each arm a stratum.

    sqrt(sum over arms of (G_a - 1) / G_a * sum_{c in a} (estimate_(-c) - mean_a)^2): the sum of two
    jackknife variances (Efron and Tibshirani, 1993, "An introduction to the bootstrap", equation 11.5). For a
    difference of means the square is exactly unbiased, where that of the jackknife over all clusters is too
    large by about G_a / (G_a - 1) in each arm.
    """
    arms = [without[arm == value] for value in np.unique(arm)]
    return length(np.array([np.sqrt((len(a) - 1) / len(a)) * length(a - a.mean()) for a in arms]))


def sandwich_error(influence: Array) -> float:
    """CR1: sqrt(G / (G - 1) * sum_c u_c^2) for the clusters' influence u_c, which sums to 0."""
    n = len(influence)
    return float(np.sqrt(n / (n - 1))) * length(influence)


def wild_signs(
    n_clusters: int, n_draws: int, weights: str, random: np.random.Generator
) -> NDArray[np.float64]:
    """(B, G) random weights of mean 0 and variance 1; all 2^G Rademacher vectors where they are fewer.

    The first draw is all ones, the data as they are.
    """
    return np.concatenate(list(sign_blocks(n_clusters, n_draws, weights, random)))


def sign_blocks(
    n_clusters: int, n_draws: int, weights: str, random: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """The rows of `wild_signs`, some at a time; they do not depend on how many at a time."""
    every = weights == "rademacher" and n_clusters < 30 and 2**n_clusters <= n_draws
    total = 2**n_clusters if every else n_draws
    size = max(1, BLOCK // n_clusters)
    values = VALUES[weights]
    for start in range(0, total, size):
        stop = min(start + size, total)
        if every:
            bits = np.arange(start, stop)[:, None] >> np.arange(n_clusters - 1, -1, -1) & 1
            yield values[bits]
            continue
        signs = values[random.integers(0, len(values), (stop - start, n_clusters))]
        if start == 0:
            signs[0] = 1.0
        yield signs


def wild_statistics(influence: Array, signs: Array) -> Array:
    """(B,) t statistics of the wild cluster bootstrap of the score (Kline and Santos, 2012).

    t*_b = sum_c v_bc u_c / CR1(v_bc u_c - their mean): the score of each cluster is perturbed, nothing is
    fitted again. The influence sums to 0, so that the data as they are have t* = 0.
    """
    n = len(influence)
    moved = signs * (influence / max(np.abs(influence).max(), np.finfo(np.float64).tiny))
    total = moved.sum(axis=1)
    centred = moved - total[:, None] / n
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / np.sqrt(n / (n - 1) * np.sum(centred**2, axis=1)))


def bootstrap_counts(arm: NDArray[np.int64], n_draws: int, random: np.random.Generator) -> NDArray[np.int64]:
    """(B, G) how often each cluster is drawn: with replacement, each arm keeping its number of clusters.

    Clusters whose arm is negative are never drawn.
    """
    return np.concatenate(list(count_blocks(arm, n_draws, random)))


def count_blocks(
    arm: NDArray[np.int64], n_draws: int, random: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """The rows of `bootstrap_counts`, some at a time; they do not depend on how many at a time."""
    arms = [np.flatnonzero(arm == value) for value in np.unique(arm[arm >= 0])]
    each = random.spawn(len(arms))
    size = max(1, BLOCK // len(arm))
    for start in range(0, n_draws, size):
        counts = np.zeros((min(size, n_draws - start), len(arm)), np.int64)
        for own, stream in zip(arms, each, strict=True):
            counts[:, own] = stream.multinomial(len(own), np.full(len(own), 1 / len(own)), len(counts))
        yield counts
