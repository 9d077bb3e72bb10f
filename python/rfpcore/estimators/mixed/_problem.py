"""The data of one fit in standard units, sorted by cluster, with folds of clusters; and its covariance."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import _rfpcore
from ._components import EffectData, Floats, Structure, Values, values
from ._laplace import FamilyName, LaplaceLikelihood, LaplaceModel
from ._likelihood import CovarianceEstimate, Likelihood, LinearLikelihood, maximize

# Rows that the covariance's parameters are estimated from: more of a cluster, or of all, would tell little.
ROWS_OF_A_CLUSTER, ROWS_IN_ALL = 50, 20_000


@dataclass(frozen=True, eq=False)
class MixedProblem:
    """What every kind of mean is fitted to.

    Attributes
    ----------
    X, y : float64 (N, d), (N,)
        In standard units, sorted by cluster.
    effects : EffectData
    structure : Structure
    fold : ndarray (C,) of int
        Each cluster's fold.
    seed, n_threads : int
    level : float
        What linear predictors are counted from; 0 for outcomes in standard units.
    """

    X: Floats
    y: Floats
    effects: EffectData
    structure: Structure
    fold: NDArray[np.intp]
    seed: int
    n_threads: int
    level: float = 0.0

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(C + 1,) where clusters start."""
        return self.effects.offsets

    @property
    def n_folds(self) -> int:
        """Folds of clusters."""
        return int(self.fold.max()) + 1

    @cached_property
    def fold_of_row(self) -> NDArray[np.intp]:
        """(N,) each row's fold."""
        return np.repeat(self.fold, np.diff(self.offsets))

    @cached_property
    def covariance(self) -> _rfpcore.Covariance:
        """The structure of V on all rows."""
        return self.structure.covariance(self.effects)

    def sums(self, of_rows: Floats) -> Floats:
        """Sums over each cluster's rows."""
        return np.asarray(np.add.reduceat(of_rows, self.offsets[:-1]))

    def take(self, clusters: NDArray[np.intp]) -> "MixedProblem":
        """Some clusters with all their rows, by positions in increasing order."""
        sizes = np.diff(self.offsets)[clusters]
        offsets = np.r_[0, np.cumsum(sizes)].astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[clusters] - offsets[:-1], sizes)
        effects = self.effects.take(rows, offsets)
        return replace(self, X=self.X[rows], y=self.y[rows], effects=effects, fold=self.fold[clusters])

    @cached_property
    def sample(self) -> "SampledRows":
        """Rows to estimate a covariance from: some of each cluster where there are very many."""
        sizes = np.diff(self.offsets)
        if sizes.max() <= ROWS_OF_A_CLUSTER and sizes.sum() <= ROWS_IN_ALL:
            return SampledRows(np.arange(len(self.y)), self.effects, self.covariance)
        random = np.random.default_rng(self.seed)
        kept = np.minimum(sizes, ROWS_OF_A_CLUSTER)
        clusters = random.permutation(len(sizes))
        count = np.searchsorted(np.cumsum(kept[clusters]), ROWS_IN_ALL, side="right")
        chosen = np.sort(clusters[: max(1, int(count))])
        rows = [self.offsets[c] + np.sort(random.permutation(sizes[c])[: kept[c]]) for c in chosen]
        index = np.concatenate(rows).astype(np.intp)
        effects = self.effects.take(index, np.r_[0, np.cumsum(kept[chosen])].astype(np.int64))
        return SampledRows(index, effects, self.structure.covariance(effects))


class SampledRows(NamedTuple):
    """Some of a problem's rows, by their positions."""

    rows: NDArray[np.intp]
    effects: EffectData
    covariance: _rfpcore.Covariance


@dataclass(frozen=True, eq=False)
class Whitening:
    """V at given parameters, factored on all rows of a problem."""

    problem: MixedProblem
    parameters: Floats
    values: Values
    factors: _rfpcore.Factors

    @classmethod
    def of(cls, problem: MixedProblem, parameters: Floats) -> "Whitening":
        """V at these parameters."""
        found = values(problem.structure, parameters)
        return cls(problem, parameters, found, found.factors(problem.covariance, problem.n_threads))

    def solve(self, columns: Floats) -> Floats:
        """V^-1 times a vector or columns."""
        two = np.ascontiguousarray(columns if columns.ndim == 2 else columns[:, None])
        solved = self.factors.solve(two, self.problem.n_threads)
        return np.asarray(solved if columns.ndim == 2 else solved[:, 0])

    @cached_property
    def scale(self) -> float:
        """What brings V^-1 to a mean diagonal of 1, so that steps and losses are as in ordinary training."""
        return len(self.problem.y) / self.per_noise

    @property
    def per_noise(self) -> float:
        """tr(V^-1 / w)."""
        nothing = np.zeros((len(self.problem.y), 1))
        return 2 * self.factors.gradient(nothing, self.problem.n_threads)[0]

    def loss(self, residual: Floats) -> float:
        """Mean whitened square."""
        return self.scale * float(residual @ self.solve(residual)) / len(residual)

    def fold_grams(self, columns: Floats) -> Floats:
        """(folds, p, p) columns' V^-1 columns, over the rows of each fold."""
        solved, rows = self.solve(columns), self.problem.fold_of_row
        return np.stack([columns[rows == k].T @ solved[rows == k] for k in range(self.problem.n_folds)])


@dataclass(frozen=True, eq=False)
class FittedMean:
    """A kind of mean, fitted.

    Attributes
    ----------
    name : str
    left_out : ndarray (N,)
        Each row's prediction by what its fold had no part in, in standard units.
    mean : object
        Has `predict(X)`, in standard units.
    """

    name: str
    left_out: Floats
    mean: Any


def estimate(
    problem: MixedProblem,
    left_out: Floats,
    family: FamilyName | None = None,
    guess: Floats | None = None,
    *,
    with_hessian: bool = False,
) -> CovarianceEstimate:
    """The covariance of effects beside a mean, by maximum likelihood with a weak prior.

    The mean is on the scale of the link; the likelihood of a family's outcomes is Laplace's.
    """
    rows, effects, covariance = problem.sample
    structure, y, at, n_threads = problem.structure, problem.y[rows], left_out[rows], problem.n_threads
    likelihood: Likelihood
    if family is None:
        none = np.empty((len(rows), 0))
        likelihood = LinearLikelihood(structure, covariance, y - at, none, False, n_threads)
    else:
        counted, own = effects.weights, effects._replace(weights=None)
        likelihood = LaplaceLikelihood(
            LaplaceModel(structure, own, family, y, counted, n_threads, problem.level), at
        )
    return maximize(
        likelihood,
        1.0,
        weak_prior=True,
        exact=False,
        columns=effects.columns,
        guess=guess,
        with_hessian=with_hessian,
    )
