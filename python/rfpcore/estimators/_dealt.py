"""Folds of whole clusters, as estimators deal them."""

import numpy as np
from numpy.typing import NDArray


def dealt(n_clusters: int, n_folds: int, seed: int) -> NDArray[np.intp]:
    """(C,) a fold for each cluster, equally many each."""
    folds = np.empty(n_clusters, np.intp)
    folds[np.random.default_rng(seed).permutation(n_clusters)] = np.arange(n_clusters) % n_folds
    return folds


def held_out_clusters(n_clusters: int, fraction: float, rng: np.random.RandomState) -> NDArray[np.intp]:
    """The clusters held out, at least one and not all."""
    if n_clusters < 2:
        raise ValueError(
            f"early_stopping holds out whole clusters, so it needs at least 2; got {n_clusters} "
            "(without groups, all rows are one cluster)"
        )
    count = min(max(1, round(fraction * n_clusters)), n_clusters - 1)
    return rng.permutation(n_clusters)[:count]
