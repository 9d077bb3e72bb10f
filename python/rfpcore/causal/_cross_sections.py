"""Locally efficient difference-in-differences for repeated cross-sections."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._delete_one import (
    ClusterSums,
    Odds,
    has_closed_form,
    of_terms,
    outcome_without_each,
)
from ._nuisance import CHUNK, Models, _predictions, distinct_rows, propensities, with_left_out
from ._replicates import leaves_an_arm_empty, refits
from ._sample import Sample
from ._scores import WeightedMean

KINDS = [(arm, t) for arm in (0, 1) for t in (0, 1)]


@dataclass(frozen=True, eq=False)
class PooledPeriods:
    """Two cross-sections in one sample: the models of each arm and period predict at all rows.

    Attributes
    ----------
    sample : Sample
        The rows of both periods.
    after : ndarray (N,) of bool
        Rows of the second period.
    models : Models
    """

    sample: Sample
    after: NDArray[np.bool_]
    models: Models

    def estimates(self, counts: NDArray[np.int64]) -> Array:
        """(S,) the effect under each row of counts (S, G)."""
        size = max(1, CHUNK // (8 * len(self.after)))
        return np.concatenate([self._estimates(counts[i : i + size]) for i in range(0, len(counts), size)])

    @property
    def has_closed_form(self) -> bool:
        """Whether the estimates without each cluster need no refits."""
        return has_closed_form(self._twice, self.models)

    def without_each(self, held: bool = False) -> Array:
        """(1 + G,) the effect of all clusters, then without each: closed, or with the models held fixed."""
        if not held:
            return self._closed_form()
        parts = self._terms(np.ones((1, self.sample.n_clusters), np.int64))
        return of_terms(
            [WeightedMean(sign, weight[0], values[0]) for sign, weight, values in parts], self.sample
        )

    def _estimates(self, counts: NDArray[np.int64]) -> Array:
        effect = np.zeros(len(counts))
        for sign, weight, values in self._terms(counts):
            effect += sign * (weight * values).sum(axis=1) / weight.sum(axis=1)
        return effect

    def _terms(self, counts: NDArray[np.int64]) -> list[tuple[float, Array, Array]]:
        """tau_2 of Sant'Anna and Zhao (2020), equation 3.4, with normalised weights: terms of (S, N)."""
        sample, after = self.sample, self.after
        m = self._outcomes(counts)
        weight = counts[:, sample.codes] * sample.weight
        p = propensities(sample, self.models, counts)[:, sample.codes]
        treated, control = weight * sample.treated, weight * ~sample.treated * p / (1 - p)
        residual = sample.y - np.where(after, m[0, 1], m[0, 0])
        found = []
        for sign, period, t in ((1.0, after, 1), (-1.0, ~after, 0)):
            gap = m[1, t] - m[0, t]
            found += [(sign, treated * period, residual), (-sign, control * period, residual)]
            found += [(sign, treated, gap), (-sign, treated * period, gap)]
        return found

    @property
    def _twice(self) -> Sample:
        """To the outcome models a cluster is two: its rows before, and those after."""
        sample, n = self.sample, self.sample.n_clusters
        return replace(sample, codes=sample.codes + n * self.after, labels=np.tile(sample.labels, 2))

    def _outcomes(self, counts: NDArray[np.int64]) -> dict[tuple[int, int], Array]:
        """(S, N) predictions of the outcome models, by arm and period; all distinct fits are one batch."""
        sample, n = self.sample, self.sample.n_clusters
        own = np.zeros((len(KINDS), len(counts), 2 * n), np.int64)
        for rows, (arm, t) in zip(own, KINDS, strict=True):
            rows[:, t * n : (t + 1) * n] = counts * (sample.arm == arm)
        unique, inverse = distinct_rows(own.reshape(-1, 2 * n))
        found = _predictions(self._twice, self.models, unique)[inverse.reshape(len(KINDS), len(counts))]
        return dict(zip(KINDS, found, strict=True))

    def _closed_form(self) -> Array:
        sample, odds = self.sample, Odds(self.sample, self.models)
        level = float(sample.y.mean())
        beta, solved = {}, odds.solved.copy()
        for arm, t in KINDS:
            rows = (sample.arm[sample.codes] == arm) & (self.after == t)
            coefficients = outcome_without_each(sample, sample.y - level, rows)
            if coefficients is None:
                return refits(self.estimates, sample.arm, np.arange(1 + sample.n_clusters))
            beta[arm, t], own = coefficients
            solved &= own
        everybody = ClusterSums.of(sample, sample.y - level, np.ones(len(sample.y), bool))
        both, found = everybody.of_arm(sample.arm, 1), np.zeros(1 + sample.n_clusters)
        for sign, period, t in ((1.0, self.after, 1), (-1.0, ~self.after, 0)):
            rows_of = ClusterSums.of(sample, sample.y - level, period)
            treated, control = (rows_of.of_arm(sample.arm, arm) for arm in (1, 0))
            gap = beta[1, t] - beta[0, t]
            found += sign * (treated.mean(beta[0, t]) - control.mean(beta[0, t], odds.sums(1, control.sums)))
            found += sign * (both.mean_index(gap) - treated.mean_index(gap))
        empty = leaves_an_arm_empty(sample.arm)
        found[empty], solved[empty] = np.nan, True
        rest = np.flatnonzero(~solved)
        if len(rest):
            found[rest] = refits(self.estimates, sample.arm, rest)
        return found


def pooled_periods(sample: Sample, after: NDArray[np.bool_], models: Models) -> PooledPeriods:
    """The models learn what they say of clusters left out, by arm and period."""
    strata = np.where(sample.arm >= 0, sample.arm, -1)
    twice = np.concatenate([strata, np.where(strata >= 0, strata + 2, -1)])
    return PooledPeriods(sample, after, with_left_out(_twice(sample, after), models, twice))


def _twice(sample: Sample, after: NDArray[np.bool_]) -> Sample:
    """To the outcome models a cluster is two: its rows before, and those after."""
    labels = np.tile(sample.labels, 2)
    return replace(sample, codes=sample.codes + sample.n_clusters * after, labels=labels)
