"""Generators of clustered data with a known answer."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._options import random_source
from ._sizes import cluster_sizes, standard_deviation

__all__ = ["VeeData", "make_vee"]


class VeeData(NamedTuple):
    """What `make_vee` returns.

    Attributes
    ----------
    X : ndarray of shape (n_clusters * n_per_cluster, 1), float64
        The only feature.
    y : ndarray of shape (n_clusters * n_per_cluster,), float64
        The outcome.
    groups : ndarray of shape (n_clusters * n_per_cluster,), int64
        The cluster of each row, 0 to n_clusters - 1.
    """

    X: NDArray[np.float64]
    y: NDArray[np.float64]
    groups: NDArray[np.int64]


def make_vee(
    n_clusters: int = 20,
    n_per_cluster: int = 25,
    *,
    spread: float = 0.3,
    cluster_scale: float = 0.5,
    noise: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> VeeData:
    """Clusters scattered over a common |x|, each with its own line added.

    y = |x| + a_c + b_c (x - centre_c) + noise, with a_c and b_c normal. Half of the centres are uniform on
    (-1, 1), where many clusters agree on the shape of the 'v'; the other half are at 1.5 to 4 on either side,
    where the nearest neighbours of a row are of its own cluster. So a smoother flexible enough for the 'v'
    learns the clusters' own lines in the tails: the figure that motivates the paper.

    Parameters
    ----------
    n_clusters : int, default=20
        Number of clusters; the first half is in the middle.
    n_per_cluster : int, default=25
        Rows of each.
    spread : float, default=0.3
        Standard deviation of x around its cluster's centre.
    cluster_scale : float, default=0.5
        Standard deviation of the clusters' intercepts a_c and slopes b_c.
    noise : float, default=0.1
        Standard deviation of the noise of a row.
    random_state : int, RandomState or None, default=None
        Seed of the generator.

    Returns
    -------
    VeeData
        `(X, y, groups)`.

    Raises
    ------
    ValueError
        If a size is less than 1 or a standard deviation is negative.

    References
    ----------
    Power and Ghosh (2025), "Regularizing the Forward Pass", section 3.3 and figures 3 and 6.

    Examples
    --------
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> X.shape, y.shape, len(set(groups.tolist()))
    ((500, 1), (500,), 20)
    """
    n_clusters, n_per_cluster = cluster_sizes(n_clusters, n_per_cluster)
    spread, noise = standard_deviation(spread, "spread"), standard_deviation(noise, "noise")
    cluster_scale = standard_deviation(cluster_scale, "cluster_scale")
    rng = random_source(random_state)
    n_tails = n_clusters // 2
    middle = rng.uniform(-1.0, 1.0, n_clusters - n_tails)
    tails = rng.uniform(1.5, 4.0, n_tails) * (-1.0) ** np.arange(n_tails)  # as many on either side
    groups = np.repeat(np.arange(n_clusters), n_per_cluster)
    centre = np.concatenate([middle, tails])[groups]
    intercept = cluster_scale * rng.standard_normal(n_clusters)
    slope = cluster_scale * rng.standard_normal(n_clusters)

    x = centre + spread * rng.standard_normal(groups.size)
    y = (
        np.abs(x)
        + intercept[groups]
        + slope[groups] * (x - centre)
        + noise * rng.standard_normal(groups.size)
    )
    return VeeData(x[:, None], y, groups)
