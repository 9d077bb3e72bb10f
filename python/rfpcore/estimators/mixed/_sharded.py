"""A mixed model's fit to shards: networks by passes over all rows, their covariance from sampled clusters."""

from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..._arrays import Array, shown
from ..._shards.keys import Keys, fold_edges
from ..._shards.moments import together
from ..._shards.passes import Passes
from ..._shards.sums import WeightedSum, totals
from ..._shards.way import Way, require_whole, travelling
from . import _gaussian_process, _networks
from . import _shard_work as on_shard
from ._components import Floats
from ._effects import ClusterEffects
from ._fit import MixedFit, choose
from ._model import Drawn
from ._networks import EVERY, NetworkMean, NetworkTraining
from ._problem import ROWS_IN_ALL, ROWS_OF_A_CLUSTER, FittedMean, MixedProblem, estimate
from ._rows import Grouping, StandardUnits, require_repeats
from ._settings import MixedSettings, settings, structure
from ._shard_work import MixedReader, MixedSurvey, NetworkRuns


class MixedShardsFit(NamedTuple):
    """What a fit to shards led to.

    Attributes
    ----------
    problem : MixedProblem
        Of the sampled clusters, and `before` their effects before anything is known of them.
    before : ClusterEffects
    scales : StandardUnits
    fitted : MixedFit
    n_clusters : int
        Of all shards.
    drawn : Drawn
    """

    problem: MixedProblem
    before: ClusterEffects
    scales: StandardUnits
    fitted: MixedFit
    n_clusters: int
    drawn: Drawn


def check_before(estimator: Any, way: Way, given: dict[str, Any]) -> None:
    """Refuse what no rows could mend, before any are read."""
    columns, mean = way.shards.columns, given["mean"]
    if not isinstance(mean, str) or mean != "network":
        raise ValueError(
            f"mean={shown(mean)} needs all rows at once; on shards the population's function is a network: "
            "pass mean='network'. For another kind call fit on some of the clusters"
        )
    if estimator._family is not None:
        raise ValueError(
            f"loss={estimator.loss!r} is not fitted on shards, loss='squared' is; call fit on some of the "
            "clusters"
        )
    if columns.several and len(columns.y) > 1:
        raise ValueError(f"y names {len(columns.y)} columns; a mixed model has one outcome")
    structure(given, len(columns.X), columns.X, 1)


def fit_shards(estimator: Any, way: Way, given: dict[str, Any]) -> MixedShardsFit:
    """Fit networks to all clusters; the estimator gets the names of the features."""
    check_before(estimator, way, given)
    columns = way.shards.columns
    surveys: list[MixedSurvey] = way.survey(on_shard.survey, estimator)
    n_clusters = require_whole([each.keys for each in surveys], way.shards)
    sizes = np.concatenate([each.sizes for each in surveys])
    require_repeats(sizes)
    keys, seed = np.concatenate([each.keys for each in surveys]), given["random_state"]
    scales = _scales(surveys, int(sizes.sum()))
    reader = MixedReader(
        travelling(estimator),
        scales,
        structure(given, len(columns.X), columns.X, 1),
        fold_edges(on_shard.dealt_keys(keys, seed), min(given["n_folds"], n_clusters)),
        seed,
        way.n_threads(given["n_jobs"], estimator.n_jobs),
        bool(given["cluster_means"]),
    )
    estimator.n_features_in_ = len(columns.X)
    estimator.feature_names_in_ = np.array(columns.X, object)
    fold = reader.fold(keys)
    rows, counts = (
        np.bincount(fold, each, reader.n_folds).astype(np.float64)
        for each in (sizes, _counts(surveys, sizes))
    )
    problem, before = _sampled(way, reader, _highest(keys, sizes, seed), given["n_jobs"])
    fitted = _Fitting(way, reader, problem, settings(given), rows, counts).run()
    drawn = Drawn(int(sizes.sum()), int(sizes.min()), int(sizes.max()), len(problem.fold), len(problem.y))
    return MixedShardsFit(problem, before, scales, fitted, n_clusters, drawn)


def _scales(surveys: list[MixedSurvey], n_rows: int) -> StandardUnits:
    """As `StandardUnits.of` has them, of all shards."""
    x, y = (together([getattr(each, name) for each in surveys], plain=True) for name in ("x", "y"))
    sums = [float(each.weights.sum()) for each in surveys if each.weights is not None]
    weight = float(np.sum(sums)) / n_rows if sums else 1.0
    scales = StandardUnits(x, float(y.level[0]), float(y.spread[0]), weight)
    scales.require_variances()
    return scales


def _counts(surveys: list[MixedSurvey], sizes: Array) -> Floats:
    """(C,) how much clusters count in ordinary training, likewise."""
    sums = [each.weights for each in surveys if each.weights is not None]
    return np.concatenate(sums) if sums else sizes.astype(np.float64)


def _highest(keys: Keys, sizes: Array, seed: int) -> np.uint64:
    """The highest sampling key of clusters that variances come from: of as many rows as `fit` takes."""
    own = on_shard.sampling_keys(keys, seed)
    order = np.argsort(own)
    kept = np.minimum(sizes, ROWS_OF_A_CLUSTER)[order]
    count = int(np.searchsorted(np.cumsum(kept), ROWS_IN_ALL, side="right"))
    return np.uint64(own[order[max(1, count) - 1]])


def _sampled(
    way: Way, reader: MixedReader, highest: np.uint64, n_threads: int
) -> tuple[MixedProblem, ClusterEffects]:
    """The problem of the sampled clusters, and their effects before anything is known of them."""
    with closing(way.passes(reader, once=True)) as passes:
        parts = list(passes.map(on_shard.draw, highest, range(len(way.shards))))
    Z, y, keys, sizes, means = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("Z", "y", "keys", "sizes", "means")
    )
    weights = None
    if parts[0].weights is not None:
        weights = np.concatenate([part.weights for part in parts])
    found = Grouping(np.arange(len(keys)), np.repeat(np.arange(len(keys)), sizes), None, [])
    return replace(reader, n_threads=n_threads).problem(found, Z, y, weights, keys, means)


class _Fitting:
    """Of one fit: its shards, its sampled clusters and what it is told.

    Parameters
    ----------
    rows, counts : ndarray (folds,)
        Of all shards: rows, and how much they count in ordinary training.
    """

    def __init__(
        self,
        way: Way,
        reader: MixedReader,
        problem: MixedProblem,
        chosen: MixedSettings,
        rows: Floats,
        counts: Floats,
    ) -> None:
        self.way, self.reader, self.problem, self.settings = way, reader, problem, chosen
        self.rows, self.counts = rows, counts
        self.every = range(len(way.shards))

    def run(self) -> MixedFit:
        """As `_fit.run`, with sums over all shards where it has sums over all rows."""
        problem, training = self.problem, self.settings.training
        with closing(self.way.passes(self.reader)) as passes:
            ordinary = self._fitted("ordinary network", passes, training.without_decay(), self.counts)
            first = estimate(problem, ordinary.left_out).parameters
            process = self._process(passes, first)
            per_noise = sum(passes.map(on_shard.per_noise, first, self.every))
        whitened = replace(self.reader, parameters=first, scale=float(self.rows.sum() / per_noise))
        with closing(self.way.passes(whitened)) as passes:
            network = self._fitted("network", passes, training.of_columns(problem.X.shape[1]), self.rows)

            def differences(chosen: FittedMean) -> Floats:
                means = ordinary.mean, chosen.mean
                return np.concatenate(list(passes.map(on_shard.differences, means, self.every)))

            found = {"network": network}
            return choose(problem, self.settings, first, process, found, ordinary, differences)

    def _fitted(self, name: str, passes: Passes, training: NetworkTraining, counts: Floats) -> FittedMean:
        mean = self._train(passes, training, counts)
        return FittedMean(name, _networks.left_out(self.problem, mean), mean)

    def _process(self, passes: Passes, guess: Floats) -> FittedMean:
        """The posterior, given all rows, of a Gaussian process whose lengths come from the sample."""
        sampled, parameters = _gaussian_process.fit(self.problem, guess)
        own = sampled.mean.process, parameters
        gram = sum(passes.map(on_shard.process_gram, own, self.every))
        mean = _gaussian_process.ProcessMean(own[0], _gaussian_process.posterior(np.asarray(gram)))
        return replace(sampled, mean=mean)

    def _train(self, passes: Passes, training: NetworkTraining, counts: Floats) -> NetworkMean:
        """The networks that `_networks.fit` has: each step's gradients are sums over shards."""
        folds = len(self.rows)
        net, starts = _networks.outset(self.problem.X.shape[1], training, folds, self.reader.seed)
        optimizers = _networks.optimizers(training, folds)
        thetas: list[Array | None] = list(starts)
        moments = [(np.zeros_like(theta), np.zeros_like(theta)) for theta in starts]
        losses, looks = [], []
        for step in range(training.max_iter):
            sums = self._sums(passes, on_shard.gradients, net, thetas)
            for run, (theta, found) in enumerate(zip(list(thetas), sums, strict=True)):
                measured = found.mean(starts.dtype)
                if theta is None or measured.gradient is None or not np.isfinite(measured.value):
                    thetas[run] = None
                    continue
                thetas[run], *after = optimizers[run].step(
                    step, measured.gradient, theta, *moments[run], architecture=net._architecture
                )
                moments[run] = after[0], after[1]
            if (step + 1) % EVERY == 0 or step + 1 == training.max_iter:
                sums = self._sums(passes, on_shard.losses_left_out, net, thetas)
                losses.append([found.mean(starts.dtype).value for found in sums])
                looks.append([np.zeros_like(starts[0]) if theta is None else theta for theta in thetas])
        every_loss = np.array(losses).T
        every_loss[~np.isfinite(every_loss)] = np.inf
        return _networks.best(net, training, counts, every_loss, np.stack(looks, axis=1))

    def _sums(self, passes: Passes, work: Any, net: Any, thetas: list[Array | None]) -> list[WeightedSum]:
        """What the shards have for each run, added in their order."""
        runs = NetworkRuns(net, thetas, self.reader.n_threads)
        return totals(passes.map(work, runs, self.every), len(thetas))
