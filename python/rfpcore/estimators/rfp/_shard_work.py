"""What is done with one shard, here or on a worker: functions of a shard and of what all have in common."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from ... import _rfpcore, functional
from ..._arrays import Array, group_codes, matrix, row_weights, targets
from ..._shards.keys import Keys, below, fold_of, label_keys, shuffled_rows
from ..._shards.moments import ColumnMoments
from ..._shards.parquet import Rows
from ..._shards.sums import NOTHING, Measured
from ...clusters import Clusters
from ...exceptions import DivergenceError
from ...network import MLP
from .._targets import _labels
from ._inner_step import share_raised
from ._settings import Settings
from ._shrinkage import rows_of
from ._splits import ClusteredRows, _part, query_rows


class Survey(NamedTuple):
    """What there is to know of a shard before anything is learnt.

    Attributes
    ----------
    keys : ndarray (C,) of uint64
        Of the clusters' labels.
    x, y : ColumnMoments or None
        Of features, and of outcomes that are numbers; None where no row has a weight, and of classes.
    classes, totals : ndarrays (K,)
        Classes, sorted, and the weight of their rows; empty of numbers.
    """

    keys: Keys
    x: ColumnMoments | None
    y: ColumnMoments | None
    classes: Array
    totals: Array


def survey(rows: Rows, estimator: Any) -> Survey:
    """Check a shard's rows and describe them."""
    X = matrix(rows.X)
    n = len(X)
    labels, codes = group_codes(rows.groups, n)
    if estimator.query_fraction is not None and (single := np.bincount(codes) == 1).any():
        raise ValueError(
            f"query_fraction={estimator.query_fraction:g} parts the rows of each cluster, but "
            f"{single.sum()} of {len(labels)} in this shard have one row, such as cluster "
            f"{labels[single][0]!s}"
        )
    weights = None if rows.sample_weight is None else row_weights(rows.sample_weight, n)
    classes, totals, y = np.empty(0), np.empty(0), None
    if is_classifier(estimator):
        classes, each = np.unique(_labels(rows.y), return_inverse=True)
        totals = np.bincount(each, weights).astype(np.float64)
        if hasattr(estimator, "class_weight_"):
            weights = estimator._weigh(rows.y, weights, learn=False)
    else:
        y = ColumnMoments.of(targets(rows.y, n), weights)
    return Survey(label_keys(labels), ColumnMoments.of(X, weights), y, classes, totals)


class Shard(NamedTuple):
    """A shard's clusters, those to train on (by folds if any) and those held out; None where none are."""

    folds: tuple[Clusters | None, ...]
    held_out: Clusters | None = None

    @property
    def train(self) -> Clusters | None:
        """The clusters to train on, of a shard without folds."""
        (whole,) = self.folds
        return whole

    @property
    def nbytes(self) -> int:
        """Memory of the data and, about as much, of what the kernel keeps of them."""
        parts = (part for part in (*self.folds, self.held_out) if part is not None)
        return 2 * sum(part.X.nbytes + part.y.nbytes for part in parts)


@dataclass(frozen=True)
class Reader:
    """Makes clusters of a shard's rows, as `fit` does of all rows.

    Attributes
    ----------
    estimator : RFPRegressor or RFPClassifier
        Knows classes, class weights and scalings.
    share : float or None
        Of the clusters that are held out.
    query : float or None
        Share of each cluster's rows that do not adapt.
    seed : int
        Of which these are.
    edges : ndarray or None
        Between the folds that clusters are dealt to; then none are held out.
    """

    estimator: Any
    share: float | None
    query: float | None
    seed: int
    edges: Keys | None = None

    def __call__(self, read: Rows) -> Shard:
        """The clusters."""
        rows: ClusteredRows = self.estimator._rows(
            read.X, read.y, read.groups, read.sample_weight, learn=False
        )
        parted = self.share is not None or self.edges is not None
        if not parted and self.query is None:
            return Shard((rows.clusters(),))
        labels, codes = group_codes(read.groups, len(read.X))
        keys, query = label_keys(labels), None
        if self.query is not None:
            query = query_rows(codes, self.query, shuffled_rows(keys, codes, self.seed))
        if not parted:
            return Shard((rows.clusters(query),))

        def part(chosen: NDArray[np.bool_]) -> Clusters | None:
            keep = chosen[codes]
            return _part(rows, labels[codes], query, keep) if keep.any() else None

        if self.edges is not None:
            own = fold_of(keys, self.edges)
            return Shard(tuple(part(own == fold) for fold in range(len(self.edges) + 1)))
        assert self.share is not None  # or there would be nothing to part
        out = below(keys, self.share, self.seed)
        return Shard((part(~out),), part(out))


@dataclass(frozen=True)
class Point:
    """Parameters, and what to measure there."""

    net: MLP
    theta: Array
    settings: Settings
    inner_lr: float | Array
    learns: bool = False
    """Whether the derivative in the inner step is wanted."""

    @classmethod
    def of(
        cls,
        net: MLP,
        theta: Array,
        settings: Settings,
        inner_lr: float | Array | None,
        learns: bool = False,
    ) -> "Point":
        """As it can travel: without what only the outer loop needs."""
        nobody: Any = None
        own = replace(settings, optimizer=nobody, random_state=nobody, callbacks=())
        return cls(net, theta, own, 1.0 if inner_lr is None else inner_lr, learns)


def step(shard: Shard, at: Point) -> Measured:
    """R_k of the clusters to train on, and its gradient. DivergenceError with the cluster's label."""
    return NOTHING if shard.train is None else measured(shard.train, at)


def measured(data: Clusters, at: Point) -> Measured:
    """R_k of clusters, and its gradient. DivergenceError with the cluster's label."""
    settings = at.settings
    weights = rows_of(data)
    inner = settings.inner(at.net.n_parameters, at.inner_lr)
    handle = data.handle(at.net, settings.loss, at.theta.dtype)
    given = (at.net._architecture, at.theta, handle, settings.alpha, inner, settings.loss)
    try:
        if not (settings.skip_diverged or at.learns):
            value, gradient = _rfpcore.value_and_grad(*given, False, settings.n_threads)
            return Measured(float(weights.sum()), value, gradient, 0)
        found = _rfpcore.objective(*given, settings.skip_diverged, at.learns, settings.n_threads)
    except _rfpcore.DivergenceError as error:
        if settings.skip_diverged:  # all of them
            return NOTHING._replace(n_skipped=data.n_clusters)
        raise functional.divergence(error, at.net, at.theta, data, settings.loss, at.inner_lr) from None
    ok = found.diverged_step < 0
    weight, n_skipped = float(weights[ok].sum()), int((~ok).sum())
    return Measured(weight, found.value, found.gradient, n_skipped, found.inner_lr_gradient)


def validate(shard: Shard, at: Point) -> Measured:
    """R_k of the clusters held out; infinite if one of them diverges."""
    return NOTHING if shard.held_out is None else looked_at(shard.held_out, at)


def looked_at(data: Clusters, at: Point) -> Measured:
    """R_k of clusters that are not trained on; infinite if one of them diverges."""
    weight = float(rows_of(data).sum())
    try:
        found = at.settings.objective(at.net, at.theta, data, at.inner_lr)
    except _rfpcore.DivergenceError:  # all of them
        return Measured(weight, np.inf, None, data.n_clusters)
    n_diverged = int((found.diverged_step >= 0).sum())
    return Measured(weight, np.inf if n_diverged else found.value, None, n_diverged)


def raised(shard: Shard, at: Point) -> tuple[float, float]:
    """Weight of the clusters where adaptation raises the loss, and of all."""
    if shard.train is None:
        return 0.0, 0.0
    own = shard.train.support()
    weight = float(rows_of(own).sum())
    return share_raised(at.net, at.theta, own, at.settings, at.inner_lr) * weight, weight


def steepest(shard: Shard, at: Point) -> float:
    """The largest curvature of the clusters to train on: NaN where it is not finite, −∞ without any."""
    settings, found = at.settings, [-np.inf]
    for data in shard.folds:
        if data is None:
            continue
        try:
            each = functional.curvature(
                at.net, at.theta, data, settings.loss, n_jobs=settings.n_threads or None
            )
        except DivergenceError:
            return float("nan")
        found.append(float(each.max()))
    return max(found)
