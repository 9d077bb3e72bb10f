"""Estimates without each cluster where models are of rows and have not seen a row's fold of clusters.

As in `_delete_one`, tables have 1 + G rows: all clusters, then all but each. A fold's models do not change
with the clusters inside it; its sums do not change with those outside, but for weights by the odds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .._arrays import Array
from ._delete_one import outcome_without_each
from ._delete_one_logistic import logistic_without_each
from ._delete_one_odds import OddsWithoutEach
from ._nuisance import Models
from ._replicates import without_each
from ._sample import Sample

Rows = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Fold:
    """The rows of a fold, and the odds of their treatment by models that have not seen it.

    Attributes
    ----------
    rows, codes : ndarrays (n,) of int
        Their numbers, and their clusters.
    outside : ndarray (O,) of int
        Clusters that the models see.
    odds : OddsWithoutEach or None
        Of the rows, as each cluster outside is left out. None: all have the same.
    shared : ndarray (1 + G,)
        The odds then; ones where the score has no weights.
    """

    rows: NDArray[np.intp]
    codes: NDArray[np.intp]
    outside: NDArray[np.intp]
    odds: OddsWithoutEach | None
    shared: Array

    @property
    def solved(self) -> Rows:
        """(1 + G,) whether the models without a cluster were found."""
        found = np.ones(len(self.shared), bool)
        if self.odds is not None:
            found[1 + self.outside] = self.odds.fits.solved
        return found

    def sums(self, power: int, values: Array) -> Array:
        """(1 + G, M) of odds^power times values (n, M) over the fold's rows, without each cluster."""
        if power == 0 or self.odds is None:
            weight = self.shared[:, None] ** power
            return np.asarray(weight * without_each(self._by_cluster(values)))
        each = self.odds.sums(power, values)
        table = np.tile(each[0], (len(self.shared), 1))
        table[1 + self.outside] = each[1:]
        table[1:] -= self._by_cluster(self.odds.of_all(power)[:, None] * values)
        return table

    def _by_cluster(self, values: Array) -> Array:
        n_clusters = len(self.shared) - 1
        return np.column_stack([np.bincount(self.codes, each, n_clusters) for each in values.T])

    def chances(self, cluster: int, clip: tuple[float, float]) -> Array:
        """(n,) the probability of treatment by the models without a cluster."""
        if self.odds is None:
            odds = self.shared[1 + cluster]
            return np.full(len(self.rows), odds / (1 + odds))
        index, place = self.odds.log_odds, np.searchsorted(self.outside, cluster)
        if place < len(self.outside) and self.outside[place] == cluster:
            index = index + self.odds.points @ self.odds.fits.moves[place]
        return np.asarray(np.clip(expit(index), *clip))


def default_odds(clusters: Sample, treated: Rows, folds: NDArray[np.intp], models: Models) -> list[Fold]:
    """By fold, the odds of the default propensity. Folds' models see both arms."""
    own = folds[clusters.codes]
    return [_fold(clusters, treated, own == k, models) for k in range(folds.max() + 1)]


def _fold(clusters: Sample, treated: Rows, inside: Rows, models: Models) -> Fold:
    rows, seen = np.flatnonzero(inside), np.flatnonzero(~inside)
    codes, weight = clusters.codes, clusters.weight
    outside, local = np.unique(codes[seen], return_inverse=True)
    shared = np.ones(1 + clusters.n_clusters)
    if models.estimation_method == "regression":
        return Fold(rows, codes[rows], outside, None, shared)
    if clusters.X.shape[1] == 0:
        of_arm = [weight[seen] * (treated[seen] == arm) for arm in (True, False)]
        one, none = (without_each(np.bincount(codes[seen], each, clusters.n_clusters)) for each in of_arm)
        with np.errstate(divide="ignore", invalid="ignore"):  # where a cluster is all there is of an arm
            share = np.clip(one / (one + none), *models.propensity_bounds)
        return Fold(rows, codes[rows], outside, None, share / (1 - share))
    order = np.argsort(local, kind="stable")
    seen = seen[order]
    fits = logistic_without_each(
        clusters.X[seen], treated[seen].astype(np.int64), weight[seen] / weight.mean(), local[order]
    )
    odds = OddsWithoutEach.at(fits, clusters.X[rows], models.propensity_bounds)
    return Fold(rows, codes[rows], outside, odds, shared)


class FoldedScore:
    """The score as sums over folds, for linear outcome models.

    Attributes
    ----------
    solved : ndarray (1 + G,) of bool
        Whether all models without a cluster were found.
    """

    def __init__(self, cells: Sample, clusters: Sample, folds: Sequence[Fold], models: Models) -> None:
        self._cells, self._clusters, self._folds, self._models = cells, clusters, folds, models
        self._nothing = np.zeros((1, 1 + cells.X.shape[1]))
        self.solved = np.all([fold.solved for fold in folds], axis=0)
        self._beta = [self._coefficients(arm) for arm in (0, 1)]

    def _coefficients(self, arm: int) -> list[Array]:
        """By fold, intercept and slopes (1 + G, 1 + d)."""
        if arm not in self._models.arms:
            return [self._nothing for _ in self._folds]
        found = []
        for fold in self._folds:
            seen = self._cells.treated == arm
            seen[fold.rows] = False
            each = outcome_without_each(self._clusters, self._clusters.y, seen)
            if each is None:
                self.solved[:] = False
                each = self._nothing, self.solved
            found.append(each[0])
            self.solved &= each[1]
        return found

    def effects(self, mask: Rows) -> Array:
        """(1 + G,) the terms of `_scores.terms` on some rows (N,)."""
        treated, models, (b0, b1) = self._cells.treated, self._models, self._beta
        y, zeros = self._cells.y, np.zeros(len(mask))
        if models.estimand == "att":
            found = self._mean(mask & treated, y, b0, (0,))
            if models.estimation_method != "regression":
                found -= self._mean(mask & ~treated, y, b0, (1,))
            return found
        found = np.zeros(len(self.solved))
        if models.estimation_method != "ipw":
            found += self._mean(mask, zeros, [c - t for c, t in zip(b0, b1, strict=True)], (0,))
        if models.estimation_method != "regression":  # 1 / p is 1 + (1 - p) / p
            found += self._mean(mask & treated, y, b1, (0, -1))
            found -= self._mean(mask & ~treated, y, b0, (0, 1))
        return found

    def _mean(self, mask: Rows, y: Array, beta: list[Array], powers: tuple[int, ...]) -> Array:
        """(1 + G,) mean of y less the linear index, weighed by the odds to these powers, summed."""
        top, bottom = np.zeros((2, len(self.solved)))
        weight = self._cells.weight * mask
        for fold, coefficients in zip(self._folds, beta, strict=True):
            w, rows = weight[fold.rows], fold.rows
            values = np.column_stack([w * y[rows], w, w[:, None] * self._cells.X[rows]])
            table = np.sum([fold.sums(power, values) for power in powers], axis=0)
            top += table[:, 0] - np.sum(table[:, 1:] * coefficients, axis=1)
            bottom += table[:, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            found = top / bottom
        some = np.bincount(self._clusters.codes, weight, self._clusters.n_clusters) > 0
        found[without_each(some.astype(np.float64)) == 0] = np.nan
        return np.asarray(found)
