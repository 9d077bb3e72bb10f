"""Locally efficient difference-in-differences for repeated cross-sections."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._nuisance import CHUNK, Models, _predictions, propensities, with_left_out
from ._sample import Sample


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

    def _estimates(self, counts: NDArray[np.int64]) -> Array:
        """tau_2 of Sant'Anna and Zhao (2020), equation 3.4, with normalised weights."""
        sample, after = self.sample, self.after
        m = self._outcomes(counts)
        weight = counts[:, sample.codes] * sample.weight
        p = propensities(sample, self.models, counts)[:, sample.codes]
        treated, control = weight * sample.treated, weight * ~sample.treated * p / (1 - p)
        residual = sample.y - np.where(after, m[0, 1], m[0, 0])
        effect = np.zeros(len(counts))
        for sign, period, t in ((1, after, 1), (-1, ~after, 0)):
            effect += sign * (_means(treated * period, residual) - _means(control * period, residual))
            gap = m[1, t] - m[0, t]
            effect += sign * (_means(treated, gap) - _means(treated * period, gap))
        return effect

    def _outcomes(self, counts: NDArray[np.int64]) -> dict[tuple[int, int], Array]:
        """(S, N) predictions of the outcome models, by arm and period; all distinct fits are one batch."""
        sample, n, twice = self.sample, self.sample.n_clusters, _twice(self.sample, self.after)
        kinds = [(arm, t) for arm in (0, 1) for t in (0, 1)]
        own = np.zeros((len(kinds), len(counts), 2 * n), np.int64)
        for rows, (arm, t) in zip(own, kinds, strict=True):
            rows[:, t * n : (t + 1) * n] = counts * (sample.arm == arm)
        unique, inverse = np.unique(own.reshape(-1, 2 * n), axis=0, return_inverse=True)
        found = _predictions(twice, self.models, unique)[inverse.reshape(len(kinds), len(counts))]
        return dict(zip(kinds, found, strict=True))


def pooled_periods(sample: Sample, after: NDArray[np.bool_], models: Models) -> PooledPeriods:
    """The models learn what they say of clusters left out, by arm and period."""
    strata = np.where(sample.arm >= 0, sample.arm, -1)
    twice = np.concatenate([strata, np.where(strata >= 0, strata + 2, -1)])
    return PooledPeriods(sample, after, with_left_out(_twice(sample, after), models, twice))


def _twice(sample: Sample, after: NDArray[np.bool_]) -> Sample:
    """To the outcome models a cluster is two: its rows before, and those after."""
    labels = np.tile(sample.labels, 2)
    return replace(sample, codes=sample.codes + sample.n_clusters * after, labels=labels)


def _means(weight: Array, values: Array) -> Array:
    """(S,) weighted means of the rows."""
    return np.asarray((weight * values).sum(axis=1) / weight.sum(axis=1))
