"""The two splits a fit draws: whole clusters held out, and query rows within each cluster."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array, group_codes, row_weights
from ...clusters import Clusters
from .._dealt import held_out_clusters


@dataclass(frozen=True)
class ClusteredRows:
    """A user's data, still in the user's order."""

    X: Array
    y: Array
    groups: Any
    sample_weight: Any

    def clusters(self, query: NDArray[np.bool_] | None = None) -> Clusters:
        """Sorted by cluster; a row of weight 2 counts as two rows."""
        return Clusters(self.X, self.y, self.groups, self.sample_weight, query=query, cluster_weight="weight")


def split(
    rows: ClusteredRows,
    validation_fraction: float | None,
    query_fraction: float | None,
    rng: np.random.RandomState,
) -> tuple[Clusters, Clusters | None]:
    """Training clusters and, unless `validation_fraction` is None, held-out ones."""
    if validation_fraction is None and query_fraction is None:
        return rows.clusters(), None
    n = len(rows.X)
    labels, codes = group_codes(rows.groups, n)
    query = None if query_fraction is None else query_rows(codes, query_fraction, rng.permutation(n))
    if validation_fraction is None:
        return rows.clusters(query), None
    rows.clusters(query)  # checks all rows together, so that errors name rows of the user's data
    held_out = _held_out_rows(codes, len(labels), validation_fraction, rng)
    train, test = (_part(rows, labels[codes], query, keep) for keep in (~held_out, held_out))
    return train, test


def _part(
    rows: ClusteredRows, groups: Array, query: NDArray[np.bool_] | None, keep: NDArray[np.bool_]
) -> Clusters:
    """The clusters of some rows."""
    weights = None if rows.sample_weight is None else row_weights(rows.sample_weight, len(keep))[keep]
    part = ClusteredRows(rows.X[keep], rows.y[keep], groups[keep], weights)
    return part.clusters(None if query is None else query[keep])


def _held_out_rows(
    codes: NDArray[np.intp], n_clusters: int, fraction: float, rng: np.random.RandomState
) -> NDArray[np.bool_]:
    """True for the rows of the clusters held out."""
    chosen = np.zeros(n_clusters, bool)
    chosen[held_out_clusters(n_clusters, fraction, rng)] = True
    return chosen[codes]


def query_rows(codes: NDArray[np.intp], fraction: float, shuffled: NDArray[np.intp]) -> NDArray[np.bool_]:
    """True for a share of each cluster's rows, at least one and not all where there are two.

    Of each cluster those that come first in `shuffled` (N,), the rows in a random order.
    """
    by_cluster = shuffled[np.argsort(codes[shuffled], kind="stable")]
    sizes = np.bincount(codes)
    n_query = np.minimum(np.maximum(1, np.rint(fraction * sizes)), sizes - 1)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    mask = np.zeros(len(codes), bool)
    mask[by_cluster] = rank < np.repeat(n_query, sizes)
    return mask
