"""A policy that comes by cluster, with a known effect."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .._options import MAX_ROWS, integer, random_source
from ._sizes import cluster_sizes, number, standard_deviation

__all__ = ["PolicyData", "make_policy"]

_ASSIGNMENTS = 1000  # that are drawn until one has enough clusters in each arm


class PolicyData(NamedTuple):
    """What `make_policy` returns.

    Attributes
    ----------
    X : ndarray of shape (N, 3), float64
        Two features of the rows, then one of the cluster.
    y : ndarray of shape (N,), float64
        The outcome.
    treatment : ndarray of shape (N,), int64
        1 in treated clusters.
    groups : ndarray of shape (N,), int64
        The cluster of each row, 0 to n_clusters - 1.
    effect : ndarray of shape (N,), float64
        The effect on each row; its mean over treated rows is the average effect on the treated.
    """

    X: NDArray[np.float64]
    y: NDArray[np.float64]
    treatment: NDArray[np.int64]
    groups: NDArray[np.int64]
    effect: NDArray[np.float64]


def make_policy(
    n_clusters: int = 20,
    n_per_cluster: int = 25,
    *,
    effect: float = 1.0,
    heterogeneity: float = 0.0,
    cluster_scale: float = 0.5,
    selection: float = 1.0,
    noise: float = 0.5,
    least: int = 3,
    random_state: int | np.random.RandomState | None = None,
) -> PolicyData:
    """Clusters that choose a policy by what they are like.

    Z_c ~ N(0, 1) drives both the policy, P(D_c = 1) = 1 / (1 + exp(-selection Z_c)), and the outcome.
    Features X_1 = .5 Z_c + .5 N + .7 N and X_2 = .5 N + .7 N, each with a part common to the cluster and one
    of the row; y = |X_1| + sin 2 Z_c + .5 X_2 + a_c + b_c'(X - mu_c) + D_c tau + noise N, with a_c and b_c
    normal of standard deviation `cluster_scale` and tau = effect + heterogeneity (Z_c + X_2 - mu_2).
    Assignments with fewer than `least` clusters in an arm are drawn again.

    Parameters
    ----------
    n_clusters, n_per_cluster : int
        Clusters, and rows of each.
    effect, heterogeneity : float
        Mean effect at Z = 0, and how it varies.
    cluster_scale : float
        Standard deviation of what is particular to a cluster, in level and slopes.
    selection : float
        How strongly the policy depends on Z; the larger, the less the arms overlap.
    noise : float
        Standard deviation of the noise of a row.
    least : int
        Clusters in each arm, at least.
    random_state : int, RandomState or None, default=None
        Seed of the generator.

    Returns
    -------
    PolicyData
        `(X, y, treatment, groups, effect)`.

    Raises
    ------
    ValueError
        If there are fewer than 2 * `least` clusters or no rows, if a number is not finite, or if in 1000
        assignments none had `least` clusters in each arm.

    Examples
    --------
    >>> from rfpcore.datasets import make_policy
    >>> data = make_policy(n_clusters=12, n_per_cluster=5, random_state=0)
    >>> data.X.shape, data.effect.min(), len(set(data.groups[data.treatment == 1].tolist())) >= 3
    ((60, 3), np.float64(1.0), True)
    """
    n_clusters, n_per_cluster = cluster_sizes(n_clusters, n_per_cluster, least=2)
    least = integer(least, "least", 0, MAX_ROWS)
    if n_clusters < 2 * least:
        raise ValueError(
            f"n_clusters={n_clusters} is too small; at least 2 * least = {2 * least} is needed, "
            f"to have least={least} clusters in either arm"
        )
    effect, heterogeneity = number(effect, "effect"), number(heterogeneity, "heterogeneity")
    selection, noise = number(selection, "selection"), standard_deviation(noise, "noise")
    cluster_scale = standard_deviation(cluster_scale, "cluster_scale")
    rng = random_source(random_state)
    z = rng.standard_normal(n_clusters)
    policy = _assign(z, selection, least, rng)
    centre = 0.5 * rng.standard_normal((n_clusters, 2))
    centre[:, 0] += 0.5 * z
    level = cluster_scale * rng.standard_normal(n_clusters)
    slope = cluster_scale * rng.standard_normal((n_clusters, 2))

    groups = np.repeat(np.arange(n_clusters), n_per_cluster)
    off = 0.7 * rng.standard_normal((len(groups), 2))
    x = centre[groups] + off
    tau = effect + heterogeneity * (z[groups] + off[:, 1])
    y = np.abs(x[:, 0]) + np.sin(2 * z[groups]) + 0.5 * x[:, 1] + level[groups]
    y += (slope[groups] * off).sum(axis=1) + policy[groups] * tau + noise * rng.standard_normal(len(groups))
    return PolicyData(np.column_stack([x, z[groups]]), y, policy[groups], groups, tau)


def _assign(
    z: NDArray[np.float64], selection: float, least: int, rng: np.random.RandomState
) -> NDArray[np.int64]:
    """An assignment with enough clusters in each arm."""
    for _ in range(_ASSIGNMENTS):
        policy: NDArray[np.int64] = (rng.uniform(size=len(z)) < expit(selection * z)).astype(np.int64)
        if least <= policy.sum() <= len(z) - least:
            return policy
    raise ValueError(
        f"none of {_ASSIGNMENTS} assignments of {len(z)} clusters with selection={selection:g} had "
        f"least={least} clusters in each arm; a smaller least or more clusters are needed"
    )
