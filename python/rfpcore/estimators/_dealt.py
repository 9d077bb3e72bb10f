"""Folds of whole clusters, as estimators deal them."""

import numpy as np
from numpy.typing import NDArray


def dealt(n_clusters: int, n_folds: int, seed: int) -> NDArray[np.intp]:
    """(C,) a fold for each cluster, equally many each."""
    folds = np.empty(n_clusters, np.intp)
    folds[np.random.default_rng(seed).permutation(n_clusters)] = np.arange(n_clusters) % n_folds
    return folds
