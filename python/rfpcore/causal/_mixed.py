"""A mixed model of outcomes: a Gaussian process beside the clusters' own effects, for many counts of them.

y = f(x) + u_c(x) + e, where u_c is a level and slopes of the cluster's own. Lengths and variances are those
of the largest marginal likelihood of a stratum's clusters. Once they are learnt they are held, as a choice of
model is: what is left is linear in y, and every fit is a sum over clusters.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ..estimators.mixed.held import HeldProcess, coefficients, learn_process
from ._linear_fits import LARGEST
from ._sample import Sample

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Learnt:
    """Of one stratum: its clusters (G,), and the process with its variances."""

    clusters: NDArray[np.bool_]
    process: HeldProcess


@dataclass(frozen=True)
class Mixed:
    """A mixed model; its fits hold the variances of the strata that it has learnt.

    Attributes
    ----------
    seed : int
    strata : tuple of Learnt
    """

    seed: int
    strata: tuple[Learnt, ...] = ()

    def learn(self, sample: Sample, y: Array, strata: NDArray[np.int64]) -> "Mixed":
        """With lengths and variances of each stratum of clusters (G,); y of order 1."""
        found = []
        for stratum in np.unique(strata[strata >= 0]):
            clusters = strata == stratum
            rows = _rows(sample, clusters)
            found.append(Learnt(clusters, learn_process(*_sorted(sample, y, rows), self.seed)))
        return replace(self, strata=tuple(found))

    def predictions(self, sample: Sample, y: Array, counts: NDArray[np.int64]) -> Array:
        """(S, N) of the population's function under each row of counts (S, G).

        If nothing is learnt yet, each row of counts learns from the clusters that it counts.
        """
        if not self.strata:
            each = (self.learn(sample, y, np.where(count > 0, 0, -1)) for count in counts)
            pairs = zip(each, counts, strict=True)
            return np.concatenate([own.predictions(sample, y, count[None]) for own, count in pairs])
        predicted, seen = np.empty((len(counts), len(y))), counts.argmax(axis=1)
        done = np.zeros(len(counts), bool)
        for learnt in self.strata:
            fits = np.flatnonzero(learnt.clusters[seen])
            if len(fits):
                features = learnt.process.features(sample.X)
                predicted[fits] = _coefficients(learnt, sample, y, counts[fits], self.seed) @ features.T
                done[fits] = True
        assert done.all(), "a fit of clusters whose variances were not learnt"
        return predicted


def _coefficients(learnt: Learnt, sample: Sample, y: Array, counts: NDArray[np.int64], seed: int) -> Array:
    """(S, m) of the process's features; a cluster that counts twice is two clusters."""
    rows = _rows(sample, learnt.clusters)
    columns, solved, starts = learnt.process.whitened(*_sorted(sample, y, rows), seed)
    m = columns.shape[1]
    times = counts[:, sample.codes[rows[starts[:-1]]]].astype(np.float64)
    found, size = np.empty((len(counts), m - 1)), max(1, LARGEST // m**2)
    for first in range(0, len(counts), size):
        some = times[first : first + size]
        gram = np.zeros((len(some), m * m))
        for at in range(0, len(starts) - 1, size):
            own = zip(starts[at : at + size], starts[at + 1 : at + size + 1], strict=False)
            each = np.array([(columns[low:high].T @ solved[low:high]).ravel() for low, high in own])
            gram += some[:, at : at + size] @ each
        found[first : first + size] = [coefficients(one.reshape(m, m)) for one in gram]
    return found


def _rows(sample: Sample, clusters: NDArray[np.bool_]) -> Rows:
    """Rows of some clusters that have a weight, sorted by cluster."""
    rows = np.flatnonzero(clusters[sample.codes] & (sample.weight > 0))
    return rows[np.argsort(sample.codes[rows], kind="stable")]


def _sorted(sample: Sample, y: Array, rows: Rows) -> tuple[Array, Array, Array, Array | None]:
    """Columns, outcomes, clusters' codes from 0 and weights of sorted rows."""
    codes, weight = np.unique(sample.codes[rows], return_inverse=True)[1], sample.weight[rows]
    weights = None if (weight == 1).all() else weight / weight.mean()
    return sample.X[rows], y[rows], codes, weights
