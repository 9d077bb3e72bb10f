"""A small data set with a cluster-level treatment, and nuisances in closed form."""

import numpy as np

from rfpcore.datasets import make_policy

DATA = make_policy(n_clusters=14, n_per_cluster=9, selection=0.3, heterogeneity=0.5, random_state=22)
X, Y, D, GROUPS, _ = DATA
SIZE = 9
TREATED = D == 1


def linear(X, y, keep, weight=None):
    """Predictions everywhere of least squares with an intercept on the rows to keep."""
    W = np.column_stack([np.ones(len(X)), X])
    root = np.sqrt(np.ones(len(X)) if weight is None else weight)[keep]
    return W @ np.linalg.lstsq(W[keep] * root[:, None], y[keep] * root, rcond=None)[0]
