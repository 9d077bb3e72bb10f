"""What is done with one shard for fits that leave clusters out, and at the end of a fit."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._shards.keys import Keys, fold_of, label_keys
from ..._shards.sums import NOTHING, Measured, total
from ...clusters import Clusters
from ...exceptions import DivergenceError
from .._finite import require_finite_fit
from ..mixed import EffectsPrior, effects_prior
from ._folds import outputs_left_out
from ._shard_work import Point, Shard, looked_at, measured
from ._shrinkage import choose_kappa, rows_of

EFFECT_ROWS = 10**5
"""Rows of the first shard, in whole clusters, that the covariance of clusters' effects is estimated on."""

DIVERGED = Measured(1.0, np.nan, None, 1)


def step_of_folds(shard: Shard, points: list[Point | None]) -> list[Measured]:
    """What `step` finds for fits that leave out a fold each; not a number for one that diverges."""
    return [NOTHING if at is None else _without(shard, fold, at) for fold, at in enumerate(points)]


def _without(shard: Shard, fold: int, at: Point) -> Measured:
    others = (data for own, data in enumerate(shard.folds) if own != fold and data is not None)
    try:
        return total((measured(data, at) for data in others), at.theta.dtype)
    except DivergenceError:
        return DIVERGED


def losses_left_out(shard: Shard, points: list[Point | None]) -> list[Measured]:
    """R_k of each fold's clusters at the parameters of the fit that left them out."""
    return [
        NOTHING if at is None or data is None else looked_at(data, at)
        for at, data in zip(points, shard.folds, strict=True)
    ]


def levels(shard: Shard, _: None) -> tuple[Array, Array, Array]:
    """Of each fold the weight of its clusters, of its rows, and the sum of the rows' outcomes."""
    found = []
    for data in shard.folds:
        if data is None:
            found.append((0.0, 0.0, np.zeros(1)))  # which any number of columns takes
            continue
        weights = np.ones(data.n_rows) if data.sample_weight is None else data.sample_weight
        found.append((float(rows_of(data).sum()), float(weights.sum()), weights @ data.y.astype(np.float64)))
    width = max(len(outcomes) for *_, outcomes in found)
    weight, rows = (np.array([each[i] for each in found]) for i in range(2))
    return weight, rows, np.stack([np.broadcast_to(outcomes, width) for *_, outcomes in found])


class FoldsLeftOut(NamedTuple):
    """Fits that left out a fold each: what is between the folds, and parameters (folds, P)."""

    edges: Keys
    thetas: Array

    def folds(self, data: Clusters) -> NDArray[np.intp]:
        """(C,) the fold of each cluster."""
        return fold_of(label_keys(data.labels), self.edges)


def shrinkage(shard: Shard, shared: tuple[Point, FoldsLeftOut]) -> float | None:
    """How far few rows of a cluster should move its parameters, from a shard's clusters."""
    at, left_out = shared
    data = shard.train
    if data is None:
        return None
    settings = replace(at.settings, n_jobs=at.settings.n_threads or None)
    return choose_kappa(at.net, left_out.thetas, data, left_out.folds(data), settings)


def last_look(shard: Shard, shared: tuple[Point, FoldsLeftOut | None]) -> EffectsPrior | None:
    """Whether the network is in range, and the covariance of clusters' effects on its residuals.

    Residuals are those of fits that left the clusters out, where there are any.

    Raises
    ------
    DivergenceError
        If parameters or outputs overflow.
    """
    at, left_out = shared
    data, settings = shard.train, at.settings
    if data is None:
        return None
    require_finite_fit(at.net, at.theta, data.X, settings.max_iter, "outer steps")
    if settings.loss != "squared" or at.net.n_outputs != 1:
        return None
    n_clusters = max(1, int(np.searchsorted(data.offsets, EFFECT_ROWS, "right")) - 1)
    rows = slice(0, int(data.offsets[n_clusters]))
    if left_out is None:
        outputs = at.net.predict(at.theta, data.X[rows]).astype(np.float64)
    else:
        folds = np.repeat(left_out.folds(data), data.sizes)[rows]
        outputs = outputs_left_out(at.net, left_out.thetas, folds, data.X[rows])
    residual = data.y[rows, 0] - outputs[:, 0]
    weights = None if data.sample_weight is None else data.sample_weight[rows]
    return effects_prior(data.X[rows], residual, data.offsets[: n_clusters + 1], weights, settings.n_threads)
