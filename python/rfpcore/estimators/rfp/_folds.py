"""What clusters left out say: folds of whole clusters, and how long to train."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import _rfpcore
from ..._arrays import F32, Array
from ..._options import folds_of_clusters
from ..._progress import make_progress
from ...clusters import Clusters
from ...network import MLP
from ...second_order import auto_inner_lr
from .._dealt import dealt
from ._settings import AUTO_STEPS, Settings
from ._shrinkage import rows_of

HORIZONS = (10, 20, 40, 80, 160, 320, AUTO_STEPS)
"""Numbers of outer steps that `max_iter="auto"` tries."""
FEW, MANY = 5, 3
"""Folds of up to `ENOUGH` clusters, and of more, whose mean loss is known well enough."""
ENOUGH = 100
PATIENCE = 2  # numbers in a row that do no better end the search


def require_several(n_clusters: int) -> None:
    """ValueError where no cluster can be left out."""
    if n_clusters < 2:
        raise ValueError(f"there is {n_clusters} cluster; to leave clusters out, at least 2 are needed")


def deal(n_clusters: int, n_folds: Any, seed: int) -> NDArray[np.intp]:
    """(C,) a fold for each cluster, equally many each."""
    require_several(n_clusters)
    return dealt(n_clusters, folds_of_clusters(n_folds, n_clusters), seed)


def checked_steps(max_iter: int, every: int) -> NDArray[np.int64]:
    """Outer steps after which clusters left out are looked at."""
    return np.minimum(np.arange(every, max_iter + every, every), max_iter)


def searched(estimator: Any, theta: Array) -> Array:
    """Where a search starts: standardised data lose nothing in float32, and half the time is enough."""
    return theta.astype(F32) if estimator.standardize else theta


def first_thetas(estimator: Any, net: MLP, theta: Array, data: Clusters, counts: Array) -> Array:
    """(R, P) the parameters that fits on counted clusters start from: `theta` but for the output's bias."""
    thetas = np.tile(theta, (len(counts), 1))
    codes = np.repeat(np.arange(data.n_clusters), data.sizes)
    for own, row in zip(thetas, counts[:, codes], strict=True):
        keep = row > 0
        weights = None if data.sample_weight is None else data.sample_weight[keep]
        if (row[keep] != 1).any():
            weights = row[keep] if weights is None else weights * row[keep]
        net.unflatten(own)[-1][1][:] = estimator._first_bias(data.y[keep], weights)
    return thetas


def leave_out(
    net: MLP,
    starts: Array,
    data: Clusters,
    folds: NDArray[np.intp],
    settings: Sequence[Settings],
    seed: int,
    every: int,
) -> tuple[Array, NDArray[np.float64]]:
    """Fits without each fold's clusters, all in one call, and the loss of these clusters under them.

    (settings, folds, P) the parameters with the lowest loss, and (settings, folds, looks) the loss of the
    population's parameters, infinite from where a fit diverges. `starts` (folds, P) are where the fits begin;
    optimizer, steps and batches are those of the first settings.
    """
    n_folds, first = len(starts), settings[0]
    out = np.tile(np.arange(n_folds)[:, None] == folds, (len(settings), 1))
    each = [s for s in settings for _ in range(n_folds)]
    result = _rfpcore.refit(
        net._architecture,
        np.tile(starts, (len(settings), 1)),
        data.handle(net, first.loss, starts.dtype),
        1.0 - out,
        np.array([s.alpha for s in each]),
        [s.inner(net.n_parameters, 1.0 if s.inner_lr is None else s.inner_lr) for s in each],
        first.loss,
        first.optimizer,
        first.max_iter,
        np.full(len(each), seed, np.uint64),
        out,
        first.batch_size,
        every,
        first.max_iter,
        0.0,
        1.0,
        first.skip_diverged,
        first.n_threads,
    )
    losses = np.full((len(each), len(checked_steps(first.max_iter, every))), np.inf)
    losses[:, : result[4].shape[1]] = np.nan_to_num(result[4], nan=np.inf, posinf=np.inf)
    shape = (len(settings), n_folds, -1)
    return result[0].reshape(shape), losses.reshape(shape)


def share_of_folds(data: Clusters, folds: NDArray[np.intp]) -> NDArray[np.float64]:
    """The folds' shares of the clusters' weight."""
    weight = rows_of(data)
    return np.asarray(np.bincount(folds, weight) / weight.sum())


def _rows_as_clusters(data: Clusters) -> Clusters:
    """Each row as a cluster: rows that are alike as one, so that a row of weight 2 is the row twice."""
    weights = data.sample_weight
    kept = slice(None) if weights is None else weights > 0
    X, y = data.X[kept], data.y[kept]
    alike = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)[1]
    return Clusters(
        X, y, alike.reshape(-1), None if weights is None else weights[kept], cluster_weight="weight"
    )


class Choice(NamedTuple):
    """A number of outer steps, and the fits of so many that left out a fold each, if there are any."""

    steps: int
    thetas: Array | None = None
    folds: NDArray[np.intp] | None = None

    def predict(self, net: MLP, data: Clusters, theta: Array) -> Array:
        """Each row's outputs (N, outputs) by the fit that its cluster had no part in; or by `theta`."""
        if self.thetas is None or self.folds is None:
            return net.predict(theta, data.X).astype(np.float64)
        return outputs_left_out(net, self.thetas, np.repeat(self.folds, data.sizes), data.X)


def outputs_left_out(net: MLP, thetas: Array, folds: NDArray[np.intp], X: Array) -> Array:
    """(N, outputs) of rows, each by the parameters (folds, P) that its fold had no part in."""
    found = np.empty((len(X), net.n_outputs))
    for fold in np.unique(folds):  # some may have no rows here
        found[folds == fold] = net.predict(thetas[fold], X[folds == fold])
    return found


def number_of_folds(n_clusters: int) -> int:
    """Of which each is left out once to choose `max_iter`."""
    return min(FEW if n_clusters <= ENOUGH else MANY, n_clusters)


def best_steps(
    attempt: Callable[[int], tuple[Array, NDArray[np.float64]]],
    starts: Array,
    share: NDArray[np.float64],
    verbose: bool,
) -> tuple[int, Array]:
    """The number of outer steps, of `HORIZONS`, with the lowest loss left out, and the fits of so many.

    From few to many, until two in a row do no better, or one is worse in every fold.

    Parameters
    ----------
    attempt : callable
        Takes a number of steps; parameters (folds, P) and losses (folds,) of what was left out.
    starts : ndarray (folds, P)
        Where the fits begin.
    share : ndarray (folds,)
        Of the clusters' weight.
    """
    best, chosen, worse, thetas = np.full(len(share), np.inf), HORIZONS[0], 0, starts
    with make_progress("choosing max_iter", len(HORIZONS), "numbers", verbose) as progress:
        for tried, steps in enumerate(HORIZONS, 1):
            found, losses = attempt(steps)
            progress.update(tried, f"loss {losses @ share:.4g} after {steps} steps")
            if losses @ share < best @ share:
                best, chosen, worse, thetas = losses, steps, 0, found
                continue
            worse += 1
            if worse == PATIENCE or (losses > best).all():
                break
    return chosen, thetas


def choose_steps(
    estimator: Any,
    net: MLP,
    theta: Array,
    data: Clusters,
    settings_of: Callable[[int], Settings],
    seed: int,
) -> Choice:
    """The number of outer steps, of `HORIZONS`, whose fits predict clusters left out best.

    Each number is tried with its own schedule. Where all rows are one cluster, rows are left out of ordinary
    training.
    """
    first = settings_of(AUTO_STEPS)
    alone = data.n_clusters == 1
    if alone:
        data = _rows_as_clusters(data)
    if data.n_clusters == 1:
        return Choice(AUTO_STEPS)
    inner_lr = first.inner_lr
    if inner_lr is None and first.adapts and not alone:
        inner_lr = auto_inner_lr(net, theta, data, first.loss, n_jobs=first.n_jobs)
    folds = deal(data.n_clusters, number_of_folds(data.n_clusters), 0)
    share = share_of_folds(data, folds)
    left_in = (np.arange(len(share))[:, None] != folds) * 1.0
    starts = first_thetas(estimator, net, searched(estimator, theta), data, left_in)

    def attempt(steps: int) -> tuple[Array, NDArray[np.float64]]:
        settings = replace(settings_of(steps), inner_lr=inner_lr)
        if alone:
            settings = replace(settings, alpha=1.0, batch_size=None)
        found, losses = (each[0] for each in leave_out(net, starts, data, folds, [settings], seed, steps))
        return found, losses[:, 0]

    chosen, thetas = best_steps(attempt, starts, share, first.verbose)
    return Choice(chosen) if alone else Choice(chosen, thetas, folds)
