"""Networks as the population's function, one a fold of clusters: the kernel trains them all in one call."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ... import _rfpcore
from ..._arrays import F32
from ..._options import Activation
from ...network import MLP
from ...optimizers import Adam
from ...regularize import L2
from .._finite import overflow
from ._components import Floats
from ._problem import FittedMean, MixedProblem, Whitening

FEW_COLUMNS = 2
EVERY = 20  # steps between two looks at the clusters left out


@dataclass(frozen=True)
class NetworkTraining:
    """How the networks are trained."""

    hidden_layer_sizes: tuple[int, ...]
    activation: Activation
    learning_rate: float
    max_iter: int
    decays: tuple[float, ...]

    def without_decay(self) -> "NetworkTraining":
        """The same with no decay to choose."""
        return replace(self, decays=self.decays[:1])

    def of_columns(self, n_columns: int) -> "NetworkTraining":
        """The same with weak decays only where one or two columns leave little to shrink."""
        return replace(self, decays=self.decays[:2]) if n_columns <= FEW_COLUMNS else self


@dataclass(frozen=True, eq=False)
class NetworkMean:
    """The mean of several networks.

    Attributes
    ----------
    net : MLP
    thetas : ndarray (folds, P)
    n_iter : int or None
        Steps of training that were best for clusters left out; None from a file that does not say.
    weight_decay : float or None
        That which was best; likewise.
    """

    net: MLP
    thetas: Any
    n_iter: int | None
    weight_decay: float | None

    def predict(self, X: Floats) -> Floats:
        """Their mean at rows."""
        outputs = [self.net.predict(theta, X)[:, 0].astype(np.float64) for theta in self.thetas]
        return np.asarray(np.mean(outputs, axis=0))


def fit(
    problem: MixedProblem, whitening: Whitening | None, training: NetworkTraining, loss: str = "squared"
) -> FittedMean:
    """Networks for each fold and weight decay; the decay and the number of steps of the lowest loss left out.

    The loss is r'V^-1 r, or without a whitening r'r.
    """
    folds = problem.n_folds
    net, starts = outset(problem.X.shape[1], training, folds, problem.seed)
    out = np.arange(folds)[:, None] == problem.fold
    if whitening is None:  # trained on outcomes, and not on what is left of them above the level
        starts[:, -1] += problem.level
    losses, looks = _train(problem, whitening, training, net, starts, out, loss)
    counts = np.diff(problem.offsets) if whitening is not None else cluster_counts(problem)
    mean = best(net, training, np.bincount(problem.fold, counts, minlength=folds), losses, looks)
    if whitening is None:
        mean.thetas[:, -1] -= problem.level
    return FittedMean("ordinary network" if whitening is None else "network", left_out(problem, mean), mean)


def outset(n_inputs: int, training: NetworkTraining, folds: int, seed: int) -> tuple[MLP, Any]:
    """The network, and where its runs start: (decays * folds, P), the first decay's folds first."""
    net = MLP(n_inputs, training.hidden_layer_sizes, 1, training.activation)
    starts = np.stack([net.init(seed + k, F32) for k in range(folds)])
    return net, np.tile(starts, (len(training.decays), 1))


def optimizers(training: NetworkTraining, folds: int) -> list[_rfpcore.Optimizer]:
    """One a run."""
    return [
        _rfpcore.Optimizer(Adam(training.learning_rate), [L2(decay)] if decay else None)
        for decay in training.decays
        for _ in range(folds)
    ]


def best(net: MLP, training: NetworkTraining, rows: Any, losses: Floats, looks: Any) -> NetworkMean:
    """The networks of the decay and the number of steps that are best for folds of `rows` or weights.

    `losses` (runs, looks) left out and parameters (runs, looks, P), of runs in the order of `outset`.
    """
    folds, decays = len(rows), training.decays
    pooled = np.tensordot(rows / rows.sum(), losses.reshape(len(decays), folds, -1), axes=(0, 1))
    if not np.isfinite(pooled).any():
        raise overflow(training.max_iter, "steps")
    decay, look = np.unravel_index(int(np.argmin(pooled)), pooled.shape)
    thetas = looks.reshape(len(decays), folds, *looks.shape[1:])[decay, :, look]
    n_iter = min(int(look + 1) * EVERY, training.max_iter)
    return NetworkMean(net, np.array(thetas, order="C"), n_iter, float(decays[decay]))


def training_rows(problem: MixedProblem, precision: _rfpcore.Precision | None) -> _rfpcore.ClusterData:
    """A problem's rows for networks: by their weights, unless a precision has these."""
    X, y, offsets = problem.X.astype(F32), problem.y[:, None].astype(F32), problem.offsets
    weights = problem.effects.weights
    if precision is not None or weights is None:
        return _rfpcore.ClusterData(X, y, offsets, precision=precision)
    # Parts of the cluster's largest: float32 has no room for a cluster of hardly any weight.
    most = np.repeat(np.maximum.reduceat(weights, offsets[:-1]), np.diff(offsets))
    within = (weights / most).astype(F32)
    return _rfpcore.ClusterData(X, y, offsets, within, cluster_weights=cluster_counts(problem))


def cluster_counts(problem: MixedProblem) -> Floats:
    """(C,) how much clusters count in ordinary training: the sums of their rows' weights."""
    weights = problem.effects.weights
    return problem.sums(np.ones(len(problem.y)) if weights is None else weights)


def left_out(problem: MixedProblem, mean: NetworkMean) -> Floats:
    """(N,) each row's prediction by the network that has not seen its fold."""
    found = np.empty(len(problem.y))
    for k, theta in enumerate(mean.thetas):
        own = problem.fold_of_row == k
        if own.any():
            found[own] = mean.net.predict(theta, problem.X[own])[:, 0]
    return found


def _train(
    problem: MixedProblem,
    whitening: Whitening | None,
    training: NetworkTraining,
    net: MLP,
    starts: Any,
    out: Any,
    loss: str,
) -> tuple[Floats, Any]:
    """(runs, looks) losses left out, infinite where a run diverged; (runs, looks, P) parameters."""
    n_threads, precision = problem.n_threads, None
    if whitening is not None:
        precision = whitening.factors.precision(True, whitening.scale, n_threads)
    data = training_rows(problem, precision)
    held_out = np.tile(out, (len(training.decays), 1))
    runs = len(held_out)
    found = _rfpcore.refit(
        net._architecture,
        starts,
        data,
        1.0 - held_out,
        np.ones(runs),
        [_rfpcore.Inner(0, 1.0)] * runs,
        loss,
        optimizers(training, len(out)),
        training.max_iter,
        np.zeros(runs, np.uint64),
        held_out,
        every=EVERY,
        n_threads=n_threads,
        keep_looks=True,
    )
    return np.where(np.isfinite(found[4]), found[4], np.inf), found[-1]
