"""A mixed model of outcomes: a Gaussian process beside the clusters' own effects, for many counts of them.

y = f(x) + u_c(x) + e, where u_c is a level and slopes of the cluster's own. Lengths and variances are those
of the largest marginal likelihood of a stratum's clusters. Once they are learnt they are held, as a choice of
model is: what is left is linear in y, and every fit is a sum over clusters.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ..estimators.mixed._components import Structure, log_variances
from ..estimators.mixed._gaussian_process import Process, maximize, posterior
from ..estimators.mixed._problem import MixedProblem, Whitening
from ..estimators.mixed._rows import centres, effect_data, offsets_of
from ._linear_fits import LARGEST
from ._sample import Sample

EFFECT, NOISE = 0.03, 0.3  # variances that the search starts from, where that of all outcomes is 1

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Learnt:
    """Of one stratum: its clusters (G,), the process, and the parameters of the effects' covariance."""

    clusters: NDArray[np.bool_]
    process: Process
    parameters: Array


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
            problem = _problem(sample, y, _rows(sample, clusters), self.seed)
            rows, _, covariance = problem.sample
            X, first = problem.X[rows], _start(problem.structure)
            own = maximize(problem.structure, covariance, X, problem.y[rows], first, self.seed, 1)
            found.append(Learnt(clusters, *own))
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
    problem = _problem(sample, y, rows, seed)
    columns = np.column_stack([learnt.process.features(problem.X), problem.y])
    solved = Whitening.of(problem, learnt.parameters).solve(columns)
    m, starts = columns.shape[1], problem.offsets
    times = counts[:, sample.codes[rows[starts[:-1]]]].astype(np.float64)
    found, size = np.empty((len(counts), m - 1)), max(1, LARGEST // m**2)
    for first in range(0, len(counts), size):
        some = times[first : first + size]
        gram = np.zeros((len(some), m * m))
        for at in range(0, len(starts) - 1, size):
            own = zip(starts[at : at + size], starts[at + 1 : at + size + 1], strict=False)
            each = np.array([(columns[low:high].T @ solved[low:high]).ravel() for low, high in own])
            gram += some[:, at : at + size] @ each
        found[first : first + size] = [posterior(one.reshape(m, m)).mean for one in gram]
    return found


def _rows(sample: Sample, clusters: NDArray[np.bool_]) -> Rows:
    """Rows of some clusters that have a weight, sorted by cluster."""
    rows = np.flatnonzero(clusters[sample.codes] & (sample.weight > 0))
    return rows[np.argsort(sample.codes[rows], kind="stable")]


def _start(structure: Structure) -> Array:
    """Logarithms of the effects' variances and the noise's.

    Small effects: a covariate of clusters may be in f or in their levels, and from large ones the search ends
    with a flat f.
    """
    u = np.zeros(structure.n_parameters)
    u[log_variances(structure)] = np.log(EFFECT)
    u[-1] = np.log(NOISE)
    return u


def _problem(sample: Sample, y: Array, rows: Rows, seed: int) -> MixedProblem:
    present, codes = np.unique(sample.codes[rows], return_inverse=True)
    X, columns, n = sample.X[rows], tuple(range(sample.X.shape[1])), len(present)
    structure = Structure(True, columns, "shared", True, ())
    weight = sample.weight[rows]
    weights = None if (weight == 1).all() else weight / weight.mean()
    offsets = offsets_of(codes, n)
    effects = effect_data(structure, X, codes, offsets, centres(X, codes, n), None, weights)
    return MixedProblem(X, y[rows], effects, structure, np.arange(n), seed, 1)
