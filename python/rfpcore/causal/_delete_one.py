"""Estimates without each cluster, from the clusters' own sums: no cluster's rows are looked at twice.

Every estimate is a signed sum of weighted means of y less a linear index, with weights that are the rows' own
times a function of the cluster's propensity. Means are ratios of sums over clusters. Tables here have 1 + G
rows: all clusters, then all but each.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._delete_one_logistic import logistic_without_each
from ._delete_one_odds import OddsWithoutEach
from ._delete_one_squares import least_squares_without_each
from ._nuisance import Models, fit_each, is_linear
from ._replicates import Estimates, leaves_an_arm_empty, refits, without_each
from ._sample import Sample
from ._score_inference import terms_of
from ._scores import WeightedMean, leave_one_out, value

Rows = NDArray[np.bool_]


def has_closed_form(sample: Sample, models: Models) -> bool:
    """Whether the jackknife needs no refits: outcomes by means or least squares, a propensity by default."""
    linear = not models.arms or sample.X.shape[1] == 0 or is_linear(models.outcome, sample)
    logistic = models.estimation_method == "regression" or sample.Z.shape[1] == 0 or models.propensity is None
    return linear and logistic


def closed_form(sample: Sample, models: Models, masks: list[Rows], estimates: Estimates) -> Array:
    """(1 + G, E) the effects on the rows of each mask (N,); NaN where a mean has no cluster left.

    `estimates` takes counts (S, G) to effects (S, E): for the few clusters that a model cannot do without.
    """
    level = float(sample.y.mean())
    centred = sample.y - level
    beta: dict[int, Array] = {}
    odds = Odds(sample, models)
    solved = odds.solved.copy()
    for arm in (0, 1):
        if arm in models.arms:
            coefficients = outcome_without_each(sample, centred, sample.arm[sample.codes] == arm)
            if coefficients is None:
                return refits(estimates, sample.arm, np.arange(1 + sample.n_clusters))
            beta[arm], own = coefficients
            solved &= own
        else:
            beta[arm] = np.zeros((1, 1 + sample.X.shape[1]))
    found = np.column_stack(
        [_score(models, ClusterSums.of(sample, centred, mask), beta, odds) for mask in masks]
    )
    empty = leaves_an_arm_empty(sample.arm)
    found[empty], solved[empty] = np.nan, True
    rest = np.flatnonzero(~solved)
    if len(rest):
        found[rest] = refits(estimates, sample.arm, rest)
    return found


def held_fixed(sample: Sample, models: Models, masks: list[Rows]) -> Array:
    """(1 + G, E) the effects with the models of all clusters: nothing is fitted again."""
    fitted = next(fit_each(sample, models, (sample.arm >= 0).astype(np.int64)[None]))
    parts = [terms_of(sample, models, fitted, sample.weight * mask) for mask in masks]
    found = np.column_stack([of_terms(terms, sample) for terms in parts])
    found[leaves_an_arm_empty(sample.arm)] = np.nan
    return found


def of_terms(terms: list[WeightedMean], sample: Sample) -> Array:
    """(1 + G,) a signed sum of weighted means."""
    without = leave_one_out(terms, sample.codes, sample.n_clusters)
    for term in terms:
        clusters = np.bincount(sample.codes, term.weight, sample.n_clusters) > 0
        without[without_each(clusters.astype(np.float64))[1:] == 0] = np.nan
    return np.concatenate([[value(terms)], without])


class ClusterSums(NamedTuple):
    """Of some rows, by cluster of an arm.

    Attributes
    ----------
    sums : ndarray (G, 2 + d)
        Of the weighted y, weights, and weighted X.
    clusters : ndarray (1 + G,)
        How many clusters have a weight, by row of the table.
    """

    sums: Array
    clusters: Array

    @classmethod
    def of(cls, sample: Sample, y: Array, rows: Rows) -> "ClusterSums":
        """Sums over rows (N,) of bool."""
        weight = sample.weight * rows
        columns = [weight * y, weight, *(weight * column for column in sample.X.T)]
        sums = np.column_stack([np.bincount(sample.codes, each, sample.n_clusters) for each in columns])
        return cls(sums, without_each((sums[:, 1] > 0).astype(np.float64)))

    def of_arm(self, arm: NDArray[np.int64], value: int) -> "ClusterSums":
        """Those of one arm's clusters."""
        sums = self.sums * (arm == value)[:, None]
        return ClusterSums(sums, without_each((sums[:, 1] > 0).astype(np.float64)))

    def mean(self, beta: Array, weighed: Array | None = None) -> Array:
        """(1 + G,) the weighted mean of y less the linear index; `weighed` takes the place of the sums."""
        table = without_each(self.sums) if weighed is None else weighed
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (table[:, 0] - np.sum(table[:, 1:] * beta, axis=1)) / table[:, 1]
        found[self.clusters == 0] = np.nan
        return np.asarray(found)

    def mean_index(self, beta: Array) -> Array:
        """(1 + G,) the weighted mean of the linear index."""
        return self._replace(sums=self.sums * np.r_[0.0, np.ones(self.sums.shape[1] - 1)]).mean(-beta)


class Odds:
    """Sums weighed by functions of the propensity.

    Attributes
    ----------
    arm : ndarray (G,) of int
    solved : ndarray (1 + G,) of bool
    """

    def __init__(self, sample: Sample, models: Models) -> None:
        self.arm, self.solved = sample.arm, np.ones(1 + sample.n_clusters, bool)
        self._odds: OddsWithoutEach | None = None
        self._present = np.flatnonzero(sample.arm >= 0)
        if models.estimation_method != "regression" and sample.Z.shape[1]:
            present = self._present
            fits = logistic_without_each(sample.Z[present], sample.arm[present])
            self._odds = OddsWithoutEach.of_its_own(fits, models.propensity_bounds)
            self.solved[1 + present] = fits.solved

    def sums(self, power: int, by_cluster: Array) -> Array:
        """(1 + G, M) of (p / (1 - p))^power times (G, M).

        Where all clusters have the same propensity it cancels from the means, and is taken for 1/2.
        """
        if self._odds is None:
            return without_each(by_cluster)
        found = self._odds.sums_without_own(power, by_cluster[self._present])
        table = np.tile(found[0], (1 + len(by_cluster), 1))
        table[1 + self._present] = found[1:]
        return table


def outcome_without_each(sample: Sample, y: Array, rows: Rows) -> tuple[Array, Rows] | None:
    """(1 + G, 1 + d) the coefficients of the outcome model on some rows, and which of them are good."""
    return least_squares_without_each(
        sample.X[rows], y[rows], sample.weight[rows], sample.codes[rows], sample.n_clusters
    )


def _score(models: Models, rows: ClusterSums, beta: dict[int, Array], odds: Odds) -> Array:
    """(1 + G,) the terms of `_scores.terms`."""
    treated, control = (rows.of_arm(odds.arm, value) for value in (1, 0))
    if models.estimand == "att":
        found = treated.mean(beta[0])
        if models.estimation_method != "regression":
            found -= control.mean(beta[0], odds.sums(1, control.sums))
        return found
    found = np.zeros(len(rows.clusters))
    if models.estimation_method != "ipw":
        found += rows.mean_index(beta[1] - beta[0])
    if models.estimation_method != "regression":  # 1 / p is 1 + (1 - p) / p
        found += treated.mean(beta[1], without_each(treated.sums) + odds.sums(-1, treated.sums))
        found -= control.mean(beta[0], without_each(control.sums) + odds.sums(1, control.sums))
    return found
