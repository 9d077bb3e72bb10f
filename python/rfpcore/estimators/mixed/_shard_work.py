"""What a mixed model's fit does with one shard, here or on a worker."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import _rfpcore
from ..._arrays import F64, Array, matrix
from ..._blas import one_blas_thread
from ..._shards.keys import Keys, fold_of, label_keys, mixed, shuffled_rows
from ..._shards.moments import ColumnMoments
from ..._shards.parquet import Rows
from ..._shards.sums import NOTHING, Measured, WeightedSum
from ...network import MLP
from . import _networks
from ._components import Floats, Structure
from ._effects import ClusterEffects
from ._fit import differences_of
from ._gaussian_process import Process
from ._model import effects_of, problem_of
from ._networks import NetworkMean
from ._problem import ROWS_OF_A_CLUSTER, FittedMean, MixedProblem, Whitening
from ._rows import Grouping, StandardUnits, grouping, origin

PIECE_ROWS = 20_000


class MixedSurvey(NamedTuple):
    """What there is to know of a shard before anything is learnt.

    Attributes
    ----------
    keys, sizes : ndarrays (C,)
        Of the clusters' labels, and their numbers of rows.
    x, y : ColumnMoments
    weights : ndarray (C,) or None
        The sums of the clusters' weights.
    """

    keys: Keys
    sizes: NDArray[np.int64]
    x: ColumnMoments
    y: ColumnMoments
    weights: Floats | None


def outcomes(estimator: Any, rows: Rows) -> tuple[Array, Array | None]:
    """A shard's outcomes (N,) and weights, checked."""
    n = len(rows.X)
    return estimator._encode(rows.y.reshape(n), n), estimator._weights(rows.sample_weight, n)


def survey(rows: Rows, estimator: Any) -> MixedSurvey:
    """Check a shard's rows and describe them."""
    X = matrix(rows.X)
    found = grouping(rows.groups, len(X), 1)
    y, weights = outcomes(estimator, rows)
    x_moments, y_moments = (ColumnMoments.of(columns, weights) for columns in (X, y[:, None]))
    assert x_moments is not None  # every row counts
    assert y_moments is not None
    sums = None if weights is None else np.bincount(found.codes, weights).astype(np.float64)
    return MixedSurvey(label_keys(found.labels), np.bincount(found.codes), x_moments, y_moments, sums)


class FoldRows(NamedTuple):
    """A fold's rows of a shard, as networks are trained on them, and how much they count."""

    data: _rfpcore.ClusterData
    weight: float


class MixedShard(NamedTuple):
    """A shard in standard units.

    Attributes
    ----------
    problem : MixedProblem
    keys, means : ndarrays (C,), (C, d)
        Of the clusters, in the problem's order.
    folds : tuple of FoldRows or None
        None where no cluster is.
    nbytes : int
    """

    problem: MixedProblem
    keys: Keys
    means: Floats
    folds: tuple[FoldRows | None, ...]
    nbytes: int


@dataclass(frozen=True)
class MixedReader:
    """Brings a shard to standard units, and its folds to what networks are trained on.

    Attributes
    ----------
    estimator : MixedRegressor
        That checks weights and outcomes.
    scales : StandardUnits
    structure : Structure
    edges : ndarray
        Between the folds that clusters are dealt to.
    seed, n_threads : int
    takes_means : bool
        Whether the mean takes the clusters' means of X as well.
    parameters : ndarray or None
        Of the covariance that the loss is whitened by.
    scale : float
        As `Whitening.scale` has it, of all shards.
    """

    estimator: Any
    scales: StandardUnits
    structure: Structure
    edges: Keys
    seed: int
    n_threads: int
    takes_means: bool
    parameters: Floats | None = None
    scale: float = 1.0

    @property
    def n_folds(self) -> int:
        """Folds of clusters."""
        return len(self.edges) + 1

    def fold(self, keys: Keys) -> NDArray[np.intp]:
        """(C,) each cluster's fold."""
        return fold_of(dealt_keys(keys, self.seed), self.edges)

    @one_blas_thread
    def __call__(self, read: Rows) -> MixedShard:
        """The shard."""
        n = len(read.X)
        y, weights = outcomes(self.estimator, read)
        found = grouping(read.groups, n, 1)
        order, keys = np.argsort(found.codes, kind="stable"), label_keys(found.labels)
        problem, before = self.problem(
            found,
            self.scales.features(read.X)[order],
            self.scales.outcomes(y)[order],
            self.scales.weights(weights, order),
            keys,
        )
        folds = tuple(self._fold(problem, fold) for fold in range(self.n_folds))
        effects = problem.effects
        smooth = 0 if effects.smooth is None else effects.smooth.nbytes
        whole = problem.X.nbytes + problem.y.nbytes + effects.columns.nbytes + smooth
        if self.parameters is not None:
            whole += int(4 * (np.diff(problem.offsets) ** 2).sum())
        return MixedShard(problem, keys, before.means, folds, 2 * whole)

    def problem(
        self,
        found: Grouping,
        Z: Floats,
        y: Floats,
        weights: Floats | None,
        keys: Keys,
        means: Floats | None = None,
    ) -> tuple[MixedProblem, ClusterEffects]:
        """Of rows sorted by cluster; and the effects before anything is known of them."""
        nothing, about = np.zeros(self.structure.n_parameters), origin(self.structure, self.scales)
        effects = effects_of(self.structure, nothing, found, Z, weights, about, None, self.n_threads, means)
        return problem_of(effects, Z, y, self.fold(keys), self.seed, self.takes_means), effects

    def _fold(self, problem: MixedProblem, fold: int) -> FoldRows | None:
        clusters = np.flatnonzero(problem.fold == fold)
        if not len(clusters):
            return None
        part, precision = problem.take(clusters), None
        weight = float(len(part.y))
        if self.parameters is None:
            weight = float(_networks.cluster_counts(part).sum())
        else:
            factors = Whitening.of(part, self.parameters).factors
            precision = factors.precision(True, self.scale, self.n_threads)
        return FoldRows(_networks.training_rows(part, precision), weight)


def dealt_keys(keys: Keys, seed: int) -> Keys:
    """By which clusters are dealt to folds."""
    return mixed(keys, seed % 2**32 + 3)


def sampling_keys(keys: Keys, seed: int) -> Keys:
    """Of which the lowest are those of the clusters that variances come from."""
    return mixed(keys, seed % 2**32 + 4)


class SampledClusters(NamedTuple):
    """Rows of some clusters, sorted by cluster, in standard units; their clusters' keys, sizes and means."""

    Z: Floats
    y: Floats
    weights: Floats | None
    keys: Keys
    sizes: NDArray[np.int64]
    means: Floats


def draw(shard: MixedShard, highest: np.uint64) -> SampledClusters:
    """Clusters up to a sampling key; of large ones some rows, drawn by label and order in the cluster."""
    problem, seed = shard.problem, shard.problem.seed
    sizes = np.diff(problem.offsets)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    chosen = sampling_keys(shard.keys, seed) <= highest
    shuffled = shuffled_rows(shard.keys, codes, seed)
    shuffled = shuffled[np.argsort(codes[shuffled], kind="stable")]
    within = np.arange(len(codes)) - np.repeat(problem.offsets[:-1], sizes)
    rows = np.sort(shuffled[chosen[codes] & (within < ROWS_OF_A_CLUSTER)])
    weights = problem.effects.weights
    return SampledClusters(
        problem.X[rows, : shard.means.shape[1]],
        problem.y[rows],
        None if weights is None else weights[rows],
        shard.keys[chosen],
        np.minimum(sizes[chosen], ROWS_OF_A_CLUSTER),
        shard.means[chosen],
    )


class NetworkRuns(NamedTuple):
    """Where the trainings of all folds and decays stand.

    Attributes
    ----------
    net : MLP
    thetas : list of ndarray or None
        Of each, the folds of a decay together; None of one that has diverged.
    n_threads : int
    """

    net: MLP
    thetas: list[Array | None]
    n_threads: int


def gradients(shard: MixedShard, runs: NetworkRuns) -> list[Measured]:
    """Each training's loss on the clusters that it has, and its gradient; infinite where it diverges."""
    folds = len(shard.folds)
    return [
        _measured([data for k, data in enumerate(shard.folds) if k != run % folds], theta, runs)
        for run, theta in enumerate(runs.thetas)
    ]


def losses_left_out(shard: MixedShard, runs: NetworkRuns) -> list[Measured]:
    """Each training's loss on the fold that it leaves out."""
    folds = len(shard.folds)
    found = [_measured([shard.folds[run % folds]], theta, runs) for run, theta in enumerate(runs.thetas)]
    return [each._replace(gradient=None) for each in found]


def _measured(folds: list[FoldRows | None], theta: Array | None, runs: NetworkRuns) -> Measured:
    if theta is None:
        return NOTHING
    found = WeightedSum()
    for fold in folds:
        if fold is None:
            continue
        given = (runs.net._architecture, theta, fold.data, 1.0, _rfpcore.Inner(0, 1.0), "squared", False)
        try:
            value, gradient = _rfpcore.value_and_grad(*given, runs.n_threads)
        except _rfpcore.DivergenceError:
            return Measured(1.0, np.inf, None, 0)
        found.add(Measured(fold.weight, value, gradient, 0))
    return found.mean(F64)


def _pieces(problem: MixedProblem) -> Iterator[MixedProblem]:
    """Whole clusters of some rows each: a Gaussian process's columns take 2 KB a row."""
    offsets, first = problem.offsets, 0
    while first < len(problem.fold):
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + PIECE_ROWS, "right")) - 1)
        yield problem.take(np.arange(first, last))
        first = last


@one_blas_thread
def per_noise(shard: MixedShard, parameters: Floats) -> float:
    """tr(V^-1 / w) of a shard's rows."""
    return sum(Whitening.of(piece, parameters).per_noise for piece in _pieces(shard.problem))


@one_blas_thread
def process_gram(shard: MixedShard, given: tuple[Process, Floats]) -> Floats:
    """[Phi, y]'V^-1[Phi, y] of a Gaussian process beside a covariance."""
    process, parameters = given
    gram: Floats | float = 0.0
    for piece in _pieces(shard.problem):
        columns = np.column_stack([process.features(piece.X), piece.y])
        gram = gram + columns.T @ Whitening.of(piece, parameters).solve(columns)
    return np.asarray(gram)


def differences(shard: MixedShard, means: tuple[NetworkMean, NetworkMean]) -> Floats:
    """The guard's, of a shard's clusters: of ordinary training and of networks on the whitened loss."""
    ordinary, whitened = (
        FittedMean("network", _networks.left_out(shard.problem, mean), mean) for mean in means
    )
    return differences_of(shard.problem, ordinary, whitened)
