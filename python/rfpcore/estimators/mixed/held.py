"""A Gaussian process beside clusters' levels and slopes, its variances held: many fits in closed form."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._blas import one_blas_thread
from ._components import Floats, Structure, log_variances
from ._gaussian_process import Process, maximize, posterior
from ._problem import MixedProblem, Whitening
from ._rows import centres, effect_data, offsets_of

__all__ = ["HeldProcess", "WhitenedColumns", "coefficients", "learn_process"]

EFFECT, NOISE = 0.03, 0.3  # variances that the search starts from, where that of all outcomes is 1


class WhitenedColumns(NamedTuple):
    """Features and outcome (N, m), the same times V^-1, and where clusters start (C + 1,)."""

    columns: Floats
    solved: Floats
    offsets: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeldProcess:
    """The process, and the parameters of the effects' covariance."""

    process: Process
    parameters: Floats

    def features(self, X: Array) -> Floats:
        """Columns (N, m - 1) in which the population's function is linear."""
        return self.process.features(X)

    def whitened(self, X: Array, y: Array, codes: Array, weights: Array | None, seed: int) -> WhitenedColumns:
        """Of rows sorted by cluster: what sums over clusters are made of."""
        problem = _problem(X, y, codes, weights, seed)
        columns = np.column_stack([self.process.features(problem.X), problem.y])
        solved = Whitening.of(problem, self.parameters).solve(columns)
        return WhitenedColumns(columns, solved, problem.offsets)


def coefficients(gram: Floats) -> Floats:
    """Of the features, from [features, y]'V^-1[features, y]."""
    return posterior(gram).mean


@one_blas_thread
def learn_process(X: Array, y: Array, codes: Array, weights: Array | None, seed: int) -> HeldProcess:
    """Lengths and variances of the largest marginal likelihood, rows sorted by cluster; X, y of order 1."""
    problem = _problem(X, y, codes, weights, seed)
    rows, _, covariance = problem.sample
    first = _start(problem.structure)
    return HeldProcess(
        *maximize(problem.structure, covariance, problem.X[rows], problem.y[rows], first, seed, 1)
    )


def _start(structure: Structure) -> Floats:
    """Logarithms of the effects' variances and the noise's.

    Small effects: a covariate of clusters may be in f or in their levels, and from large ones the search ends
    with a flat f.
    """
    u = np.zeros(structure.n_parameters)
    u[log_variances(structure)] = np.log(EFFECT)
    u[-1] = np.log(NOISE)
    return u


def _problem(X: Array, y: Array, codes: Array, weights: Array | None, seed: int) -> MixedProblem:
    columns, n = tuple(range(X.shape[1])), int(codes.max()) + 1
    structure = Structure(True, columns, "shared", True, ())
    offsets = offsets_of(codes, n)
    effects = effect_data(structure, X, codes, offsets, centres(X, codes, n), None, weights)
    return MixedProblem(X, y, effects, structure, np.arange(n), seed, 1)
